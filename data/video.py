"""`Video`: a file of frames that can be read in part, and that says what a read costs."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from numpy.typing import NDArray

from temporal.trace import Cost

from .decode.decoders.apart import decode_apart
from .decode.decoders.backends import Backend
from .decode.decoders.rows import decode_rows, make_rows
from .decode.files.container import MAX_PIXELS
from .decode.files.sniff import source_name
from .decode.opening import Opening
from .decode.packets import choice, price
from .decode.packets.index import VideoIndex
from .decode.packets.motion import packet_motion
from .decode.pictures.glimpse import MotionVectors, decode_small, decode_vectors
from .decode.pictures.region import Box, Size, check_region
from .decode.pictures.shelf import Expectation, check_size
from .decode.pictures.sink import FrameSink
from .decode.remote.urls import AllowRemote
from .decode.sound import Sounding
from .decode.streaming.stream import StreamArray, StreamFrame, stream_arrays, to_frames
from .places.content import Content

if TYPE_CHECKING:
    import numpy as np
    import torch


class Video(Sounding):
    """A source of frames.

    Nothing is opened before it is needed: `len(video)` and `video.index` read packets and decode
    nothing, `video.read` decodes the frames asked for and those they depend on. The file stays open
    between reads, so reading on costs only what is new; `close()` or `with` lets it go. A video may
    be used by several threads (reads take turns) and in a forked process (it opens its file anew);
    it pickles as its path, its URL or its bytes.

    A moving GIF, PNG or WebP is a video, too. Its frames are composed; what is transparent has the
    colour that FFmpeg gives it (of WebP, Pillow), as for transformers' video pipeline: nothing is
    put behind it.

    Args:
        source: Path of a local file, its bytes, an open seekable binary file, a permitted URL, or
            what `collect` gives of an archive or a store.
        backend: `"auto"` and `"pyav"` are right for every file. `"decord"` is used where it is
            right and replaced by PyAV where it is not; `video.backend` says which one reads.
        id: The video's name in results; the path by default.
        max_pixels: Refuse videos whose frames have more pixels (default 4096 x 2304).
        root: Refuse paths that lead outside this directory.
        num_threads: Cores that one read may use; None: all that this process has. Where many videos
            are read at the same time, 1 is best.
        index_cache_dir: Keep the index of a path in a file in this directory, for as long as the
            video's size, time of change and ends are the same; `":memory:"`: the latest at hand.
        allow_remote: True: `https` URLs are read, in parts, from public addresses. A list of
            origins (`["http://localhost:8000"]`) or buckets (`["s3://bucket"]`, through fsspec):
            URLs of these only, wherever they are.

    Example:
        >>> with Video("clip.mp4") as video:
        ...     frames = video.read(video.index.keyframes, size=(224, 224))  # [K, 3, 224, 224]
        ...     video.spent.frames_decoded == len(frames)
        True
    """

    unit = "frame"
    in_memory = False

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | BinaryIO | Content,
        *,
        backend: Backend = "auto",
        id: str | None = None,
        max_pixels: int = MAX_PIXELS,
        root: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        index_cache_dir: str | os.PathLike[str] | None = None,
        allow_remote: AllowRemote = False,
    ) -> None:
        self.id = id if id is not None else source_name(source)
        self._backend = backend
        self._max_pixels = max_pixels
        self._opening = Opening(
            source,
            name=self.id,
            backend=backend,
            max_pixels=max_pixels,
            root=root,
            num_threads=num_threads,
            index_cache_dir=index_cache_dir,
            allow_remote=allow_remote,
        )
        self._spent = Cost()
        self._expectation = Expectation()

    @property
    def index(self) -> VideoIndex:
        """Frames, times, keyframes and prices, from packets alone; read at the first use.

        Raises:
            VideoError: The source cannot be opened; see `VideoError.reason`.
        """
        self._own_process()
        return self._opening.get_index()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def backend(self) -> str:
        """The decoder that reads this file: `"pyav"`, `"decord"`, `"torchcodec"` or `"pillow"`.

        The last reads animated WebP, and nothing else.
        """
        self._own_process()
        return self._opening.get_backend()

    @property
    def spent(self) -> Cost:
        """What the reads so far cost, counted in the decoder."""
        return self._spent

    def cost(self, units: Sequence[int]) -> Cost:
        """What a fresh reader would spend on these frames: decodes, packet bytes, seconds.

        Frames of one GOP share its decoding; those on the way that no other frame refers to are not
        decoded. Reading on from where the last read ended may cost less. `decode_seconds` is an
        estimate for one core, for comparing; the counts are exact.

        Raises:
            IndexError: An index is not in 0..len - 1.
        """
        discards = self.backend == "pyav"
        return price.read_cost(self.index, self._check(units), discards=discards)

    def read(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> torch.Tensor:
        """Decode frames.

        Args:
            units: Frame indices, in any order, repeats allowed.
            size: (height, width) to scale to while decoding; None keeps the video's (or the
                region's) own.
            region: The part to read, (top, left, height, width) in pixels of the upright frame as
                it is shown, which has `index.height` x `index.width`; it is cut out before it is
                scaled. None: the whole frame.

        Returns:
            uint8 [K, 3, height, width], RGB, upright, in the order asked for.

        Raises:
            IndexError: An index is not in 0..len - 1.
            ValueError: The region does not lie in the frame.
            VideoError: A wanted frame cannot be had; `frames_read` says how many could.
        """
        import torch  # here: a decode worker, which never comes here, starts ten times faster

        return torch.from_numpy(self.read_array(units, size=size, region=region))

    def read_array(
        self,
        units: Sequence[int],
        *,
        size: Size | None = None,
        region: Box | None = None,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Decode frames as `read` does, into a NumPy array: `out`, if it is given."""
        return self._read(units, size, region, out)

    def glance(self, units: Sequence[int], *, size: Size = (64, 64)) -> torch.Tensor:
        """Look at frames, small, before deciding which to read, and at which size and region.

        Takes, returns and raises what `read` does, but to look at: its pixels are not promised to
        the last bit. The frames (`index.keyframes` are the cheapest) stay on a shelf, whole, and a
        read of them decodes nothing: the latest, up to 32 MB (10 of 1080p), until `close()` or
        `expect([])`. Only PyAV keeps frames. `Cost.frames_glanced` counts what it decoded.
        """
        import torch  # here: as for `read`

        return torch.from_numpy(self.glance_array(units, size=size))

    def glance_array(
        self, units: Sequence[int], *, size: Size, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Look at frames as `glance` does, in a NumPy array: `out`, if it is given."""
        return self._read(units, size, None, out, is_glance=True)

    def motion(self) -> NDArray[np.float32]:
        """How much each frame seems to change, [N]; decodes nothing: `evidence.packet_motion`."""
        return packet_motion(self.index)

    def vectors(self, units: Sequence[int]) -> MotionVectors:
        """Take the motion vectors out of coded frames; see `evidence.motion_vectors`."""
        return decode_vectors(self, units)

    def stream(
        self, every_seconds: float = 1.0, *, size: tuple[int, int] | None = None
    ) -> Iterator[StreamFrame]:
        """Read forward from the start, in constant memory and without an index.

        For live and very long sources: also a file object that cannot seek (a pipe), or one whose
        `read` waits for what is still being recorded. Frames that are not due are not converted,
        and GOPs without a due frame not decoded. Other reads of this video do not disturb it.

        Timestamps that are missing or go back do not end the stream: its clock goes on from there,
        one frame later (`StreamFrame.clock_breaks`). Nor does a damaged packet: the stream goes on
        at the next keyframe (`StreamFrame.packets_lost`).

        Args:
            every_seconds: A frame is due at each multiple of this after the first frame: the first
                one shown at that time or later. 0: every frame.
            size: (height, width) to scale to; None keeps each frame's own, which may change.

        Yields:
            `StreamFrame`s, their times never decreasing.

        Raises:
            VideoError: The source cannot be opened, a frame is too large or, at the end, there was
                damage after the last frame. `frames_read` counts those that were yielded.
        """
        return to_frames(self.stream_arrays(every_seconds, size=size))

    def stream_arrays(
        self, every_seconds: float = 1.0, *, size: tuple[int, int] | None = None
    ) -> Generator[StreamArray, None, None]:
        """Read forward as `stream` does, into NumPy arrays."""
        self._own_process()
        get_checked = functools.partial(self._opening.get_checked, forward_only=True)
        return stream_arrays(get_checked, every_seconds, size, self._max_pixels, self._spend)

    def expect(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> None:
        """Name frames that may be read later, so that those on the way to others are kept.

        Nothing is decoded now. But when a read decodes past one of them, it is scaled and kept (and
        decoded, where it was not needed on the way), and its own read then costs no decoding. So
        frames can be read in any order, one by one, for about the price of reading them at once.
        Returns at once; only PyAV keeps frames.

        Args:
            units: Frame indices, in the order in which they are likely to be read. They replace
                those named before; an empty list frees what was kept. Each is struck off when it is
                read, so memory is bounded by `len(units)` scaled frames.
            size: (height, width) with which they will be read; a read with another decodes anew.
            region: The part that will be read, as `read` takes it; the same holds.

        Example:
            >>> video.expect([50, 0, 99], size=(224, 224))
            >>> middle = video.read([50], size=(224, 224))  # decodes 51 frames of a single GOP
            >>> first = video.read([0], size=(224, 224))    # decodes none: it was on the way
        """
        self._own_process()
        self._expectation.set(units, size, region)

    def plan(self, times_seconds: Sequence[float], tolerance_seconds: float = 0.0) -> list[int]:
        """Choose frames for wished times: within the tolerance, the ones cheapest to decode.

        Args:
            times_seconds: Times on the clock of `index.timestamps_seconds`.
            tolerance_seconds: How far a frame may lie from its time to be cheaper (a keyframe
                costs one decoded frame); 0 takes the nearest frame.

        Returns:
            Frame indices in the order of the times; two times may share a frame.
        """
        return choice.nearest_frames(self.index, times_seconds, tolerance_seconds)

    def snap(self, frame_indices: Sequence[int], tolerance_frames: int) -> list[int]:
        """Replace each frame by the cheapest one at most `tolerance_frames` away."""
        return choice.snap_frames(self.index, self._check(frame_indices), tolerance_frames)

    def decode_apart(self, units: Sequence[int], sink: FrameSink, **decoder_options: str) -> Cost:
        """Decode frames into a sink, in a decoder of its own that has these FFmpeg options.

        For `temporal.data.evidence`. What `read` uses keeps its place. Raises what `read` raises.
        """
        index, frames = self.index, self._check(units)
        opened = self._opening.open_apart(decoder_options)
        return decode_apart(opened, index, frames, sink, self._max_pixels, self._spend)

    def decode_small(
        self, frames: Sequence[int], size: tuple[int, int], options: Mapping[str, str]
    ) -> tuple[NDArray[np.uint8], Cost]:
        """For `temporal.data.evidence`: see `glimpse.decode_small`."""
        return decode_small(self, frames, size, options)

    def close(self) -> None:
        """Let go of the file and of what was expected; a later read opens it again.

        The index stays.
        """
        self._own_process()
        with self._opening.lock:
            self._opening.close()
            self._expectation = Expectation()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Video({self.id!r}, backend={self._backend!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_spent": Cost(), "_expectation": Expectation()}

    def _own_process(self) -> None:
        if self._opening.own_process():
            self._expectation = Expectation()

    def _spend(self, cost: Cost) -> None:
        with self._opening.lock:
            self._spent += cost

    def _check(self, units: Sequence[int]) -> list[int]:
        return choice.check_frames(self.index, units, name=self.id)

    def _read(
        self,
        units: Sequence[int],
        size: Size | None,
        region: Box | None,
        out: NDArray[np.uint8] | None,
        *,
        is_glance: bool = False,
    ) -> NDArray[np.uint8]:
        frames, own_size = self._check(units), (self.index.height, self.index.width)
        part = check_region(region, own_size, name=self.id)
        own = part.size if part else own_size
        height, width = own if size is None else check_size(size)
        out = make_rows(out, (len(frames), 3, height, width))
        self._own_process()
        with self._opening.lock:
            reader = self._opening.get_reader()
            shelf = self._expectation.get_shelf(own_size, is_glance=is_glance)
            decode_rows(reader, frames, out, shelf, part, self._spend)
        return out
