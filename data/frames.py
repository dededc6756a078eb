"""`Frames`: a video whose frames are in memory already, read as a `Video` is.

An array, a tensor or a list of pictures has no file, no packets and no times. Reading it decodes
nothing, and every frame can be had at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from temporal.trace import Cost

from .decode.errors import VideoError
from .decode.packets import choice
from .decode.packets.index import Packets, VideoIndex
from .decode.pictures.region import Box, Size, check_region
from .decode.pictures.shelf import check_size
from .decode.pictures.sink import to_image
from .decode.streaming.by_index import stream_by_index
from .decode.streaming.stream import StreamFrame
from .held_frames import HeldFrames

if TYPE_CHECKING:
    import torch

FRAMES_PER_SECOND = 24.0
"""What frames without times are taken to be shown at, as transformers takes them."""


class Frames(HeldFrames):
    """A source of frames that are in memory.

    Args:
        frames: Array or tensor [T, height, width, 3] or [T, 3, height, width], or a list of
            pictures: PIL images, or arrays of one frame each, all of one size. uint8 is not copied
            before it is read. Floats run from 0 to 1 or, where one is larger, to 255, and signed
            integers to 255; other numbers (a normalized video's, 16 bits) are refused.
        id: The video's name in results.
        frames_per_second: For times; frames in memory have none of their own.

    What the frames cannot be is said at the first use, as of a broken file: `VideoError`.
    """

    def __init__(
        self, frames: Any, *, id: str = "<frames>", frames_per_second: float = FRAMES_PER_SECOND
    ) -> None:
        if not 0 < frames_per_second < float("inf"):
            raise ValueError(f"frames_per_second ({frames_per_second}) must be > 0 and finite")
        self.id = id
        self._given = frames
        self._rate = frames_per_second
        self._index: VideoIndex | None = None
        self._images: Sequence[NDArray[np.uint8]] = ()
        self._reformatter = VideoReformatter()

    @property
    def index(self) -> VideoIndex:
        """Times and sizes; every frame is a keyframe.

        Raises:
            VideoError: `not_video`: these are no frames of one video.
        """
        if self._index is None:
            self._images = _images(self._given, self.id)
            height, width = self._images[0].shape[:2]
            self._index = memory_index(len(self._images), height, width, self._rate)
        return self._index

    def read(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> torch.Tensor:
        """Return frames, uint8 [K, 3, height, width], RGB; see `Video.read`."""
        import torch  # here: as for `Video`

        return torch.from_numpy(self.read_array(units, size=size, region=region))

    def read_array(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> NDArray[np.uint8]:
        """Return frames as `read` does, as a NumPy array of their own."""
        index = self.index
        frames = choice.check_frames(index, units, name=self.id)
        own_size = (index.height, index.width)
        part = check_region(region, own_size, name=self.id)
        own = part.size if part else own_size
        height, width = own if size is None else check_size(size)
        out = np.empty((len(frames), 3, height, width), dtype=np.uint8)
        for row, frame in enumerate(frames):
            image = self._images[frame]
            if part is not None:
                out[row] = part.cut(image.transpose(2, 0, 1), height, width, self._reformatter)
            elif (height, width) == own_size:
                out[row] = image.transpose(2, 0, 1)
            else:  # scaled as decoded frames are
                whole = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                out[row] = to_image(whole, height, width, self._reformatter)
        return out

    def stream(
        self, every_seconds: float = 1.0, *, size: tuple[int, int] | None = None
    ) -> Iterator[StreamFrame]:
        """Yield the frames that are due; see `Video.stream`."""
        return stream_by_index(self, every_seconds, size)

    def glance(self, units: Sequence[int], *, size: Size = (64, 64)) -> torch.Tensor:
        """Look at frames, small; see `Video.glance`."""
        return self.read(units, size=size)

    def decode_small(
        self, frames: Sequence[int], size: Size, options: Mapping[str, str]
    ) -> tuple[NDArray[np.uint8], Cost]:
        """For `temporal.data.evidence`: there is nothing to decode."""
        return self.read_array(frames, size=size), Cost()

    def plan(self, times_seconds: Sequence[float], tolerance_seconds: float = 0.0) -> list[int]:
        """Choose frames for wished times; see `Video.plan`."""
        return choice.nearest_frames(self.index, times_seconds, tolerance_seconds)

    def snap(self, frame_indices: Sequence[int], tolerance_frames: int) -> list[int]:
        """Return the frames as they are: none is cheaper than another."""
        return choice.check_frames(self.index, frame_indices, name=self.id)


def are_frames(value: Any) -> bool:
    """Whether a value is the frames of one video: four dimensions, or a list of pictures."""
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(map(_is_picture, value))
    return _is_array(value) and value.ndim == 4


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "ndim") and hasattr(value, "shape")


def _is_picture(value: Any) -> bool:
    is_pil = hasattr(value, "convert") and hasattr(value, "getbands")
    return is_pil or (_is_array(value) and value.ndim == 3)


def _images(given: Any, name: str) -> Sequence[NDArray[np.uint8]]:
    """The frames, each uint8 [height, width, 3]."""
    images: Any
    if _is_array(given):
        images = _standing(_bytes_of([given], name)[0], name)
    else:
        arrays = iter(_bytes_of([one for one in given if _is_array(one)], name))
        images = [
            _standing(next(arrays)[None], name)[0]
            if _is_array(one)
            else np.asarray(one.convert("RGB"))
            for one in given
        ]
    if len(images) == 0 or 0 in images[0].shape:
        raise _refused(name, "have no pixels")
    if any(image.shape != images[0].shape for image in images):
        raise _refused(name, "must be of one size: scale them, or give one list for each video")
    return images


def _bytes_of(given: Sequence[Any], name: str) -> list[NDArray[np.uint8]]:
    """The arrays or tensors of one video as uint8; those that are so share their memory."""
    arrays = [_on_this_machine(one) for one in given]
    if all(array.dtype == np.uint8 for array in arrays):
        return arrays
    odd = next((array.dtype for array in arrays if array.dtype.kind not in "fi"), None)
    if odd is not None and odd != np.uint8:
        raise _refused(name, f"({odd}) must be uint8, floats or signed integers")
    filled = [array for array in arrays if array.size]
    low = min((array.min() for array in filled), default=0)
    high = max((array.max() for array in filled), default=0)
    if not (low >= 0 and high <= 255):  # NaN, too
        raise _refused(
            name,
            f"({arrays[0].dtype}) run from {low} to {high}, and must from 0 to 1 or from 0 to 255: "
            "give them as they were before they were normalized",
        )
    are_shares = high <= 1 and all(array.dtype.kind == "f" for array in arrays)
    return [np.rint(array * (255.0 if are_shares else 1.0)).astype(np.uint8) for array in arrays]


def _on_this_machine(given: Any) -> NDArray[Any]:
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        # NumPy knows fewer kinds of floats than tensors are made of.
        given = (given.float() if given.is_floating_point() else given).numpy()
    return np.asarray(given)


def _standing(array: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The same frames as [T, height, width, 3]."""
    shape = array.shape
    if array.ndim != 4:
        raise _refused(name, f"of shape {shape} must be [T, h, w, 3] or [T, 3, h, w]")
    is_last, is_first = shape[3] == 3, shape[1] == 3
    if is_last and is_first:
        raise _refused(name, f"of shape {shape} have 3 in two places: which one is colour?")
    if not (is_last or is_first):
        raise _refused(name, f"of shape {shape} need 3 colours: [T, h, w, 3] or [T, 3, h, w]")
    return array if is_last else array.transpose(0, 2, 3, 1)


def _refused(name: str, what: str) -> VideoError:
    return VideoError("not_video", f"{name}: frames {what}")


def memory_index(count: int, height: int, width: int, rate: float) -> VideoIndex:
    """The index of so many frames in memory, each a keyframe, shown at a rate."""
    time_base = 1 / Fraction(rate).limit_denominator(1_000_000)
    numbers = np.arange(count, dtype=np.int64)
    times = numbers / rate
    sizes, yes = np.full(count, height * width * 3, dtype=np.int64), np.ones(count, dtype=np.bool_)
    for array in (numbers, times, sizes, yes):
        array.setflags(write=False)
    packets = Packets(
        pts=numbers,
        dts=numbers,
        size_bytes=sizes,
        is_key=yes,
        is_shown=yes,
        is_corrupt=~yes,
        is_disposable=~yes,
    )
    return VideoIndex(
        timestamps_seconds=times,
        pts=numbers,
        keyframes=numbers,
        packet_bytes=sizes,
        width=width,
        height=height,
        rotation=0,
        is_mirrored=False,
        must_begin_anew=False,
        codec="rawvideo",
        pixel_format="rgb24",
        container="memory",
        is_progressive=True,
        is_plain=True,
        video_streams=1,
        time_base=time_base,
        start_seconds=0.0,
        duration_seconds=count / rate,
        frames_in_header=count,
        has_duration_in_header=False,
        fault=None,
        packets=packets,
        frame_packets=numbers,
        frame_entries=numbers,
        is_ordered=True,
    )
