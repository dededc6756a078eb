"""Sources and collections: videos and texts that can be read in part, and lists of them."""

from . import evidence as evidence
from .collection import collect as collect
from .decode.errors import VideoError as VideoError
from .decode.index import VideoIndex as VideoIndex
from .decode.isolate import DecodePool as DecodePool
from .decode.isolated import IsolatedVideo as IsolatedVideo
from .decode.stream import StreamFrame as StreamFrame
from .item import InputError as InputError
from .item import Item as Item
from .text import Document as Document
from .text import TextError as TextError
from .video import Video as Video
