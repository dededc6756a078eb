"""Sources and collections: videos and texts that can be read in part, and lists of them."""

from typing import TYPE_CHECKING, Any

from . import evidence as evidence
from .collection import collect as collect
from .decode.errors import VideoError as VideoError
from .decode.packets.index import VideoIndex as VideoIndex
from .decode.streaming.stream import StreamFrame as StreamFrame
from .features import FrameFeatures as FrameFeatures
from .item import InputError as InputError
from .item import Item as Item
from .live import LiveVideo as LiveVideo
from .part import VideoPart as VideoPart
from .text import Document as Document
from .text import TextError as TextError
from .video import Video as Video

if TYPE_CHECKING:
    from .decode.isolation.isolated import IsolatedVideo as IsolatedVideo
    from .decode.isolation.pool import DecodePool as DecodePool
    from .loading import BadClip as BadClip
    from .loading import ClipDataset as ClipDataset
    from .loading import ClipList as ClipList
    from .loading import ClipLoader as ClipLoader
    from .loading import load_clips as load_clips
    from .loading import read_bad_clips as read_bad_clips

_OF_PROCESSES = ("DecodePool", "IsolatedVideo")
_OF_TRAINING = (
    "BadClip",
    "ClipDataset",
    "ClipList",
    "ClipLoader",
    "load_clips",
    "read_bad_clips",
)


def __getattr__(name: str) -> Any:
    """Import worker processes and loaders when they are asked for: 4 MB, and torch."""
    if name in _OF_PROCESSES:
        from .decode.isolation import pool

        return getattr(pool, name)
    if name in _OF_TRAINING:
        from . import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_PROCESSES, *_OF_TRAINING})
