"""Sources and collections: videos and texts that can be read in part, and lists of them."""

from typing import TYPE_CHECKING, Any

from . import evidence as evidence
from .collection import collect as collect
from .decode.errors import VideoError as VideoError
from .decode.packets.index import VideoIndex as VideoIndex
from .decode.streaming.stream import StreamFrame as StreamFrame
from .item import InputError as InputError
from .item import Item as Item
from .text import Document as Document
from .text import TextError as TextError
from .video import Video as Video

if TYPE_CHECKING:
    from .decode.isolation.isolated import IsolatedVideo as IsolatedVideo
    from .decode.isolation.pool import DecodePool as DecodePool

_OF_PROCESSES = ("DecodePool", "IsolatedVideo")


def __getattr__(name: str) -> Any:
    """Import worker processes when they are asked for: not every reader needs their 4 MB."""
    if name not in _OF_PROCESSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .decode.isolation import pool

    return getattr(pool, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_PROCESSES})
