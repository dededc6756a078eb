"""`IsolatedVideo`: a video that is opened, indexed and decoded in a worker of a `DecodePool`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from ...video import Video
from ..packets import choice, price
from ..packets.index import VideoIndex
from ..packets.motion import packet_motion
from ..pictures import glimpse
from ..pictures.glimpse import MotionVectors
from ..pictures.region import Box, Region, Size, check_region, check_shape
from ..pictures.shelf import check_size
from ..sound import Sound, Span
from ..streaming.stream import check_stream
from .isolated_stream import IsolatedStream
from .shared import Address
from .worker import (
    Done,
    Expected,
    Pool,
    read_expected,
    read_facts,
    read_glance,
    read_small,
    read_sound,
    work,
)
from .worker_link import WorkerLink

if TYPE_CHECKING:
    import torch


class IsolatedVideo:
    """A `Video` whose opening and reading happen in a worker of a `DecodePool`.

    Its members are those of `Video`, and it may be used by several threads. In a forked child only
    what needs no worker is left of it; all else gives a `RuntimeError`.
    """

    unit = "frame"
    in_memory = False

    def __init__(self, pool: Pool, link: WorkerLink, key: int, video: Video) -> None:
        self.id = video.id
        self._pool = pool
        self._link = link
        self._key = key
        self._video = video  # never opened here: it is the recipe that the worker opens
        self._is_sent = False
        self._facts: tuple[VideoIndex, str] | None = None
        self._spent = Cost()
        self._expected: tuple[dict[int, None], Size | None, Box | None] | None = None
        self._lock = threading.Lock()

    @property
    def index(self) -> VideoIndex:
        """Frames, times, keyframes and prices; read by the worker at the first use."""
        return self._get_facts()[0]

    @property
    def backend(self) -> str:
        """The decoder that reads this file."""
        return self._get_facts()[1]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def spent(self) -> Cost:
        """What the reads so far cost, counted in the worker; killed reads are not in it."""
        return self._spent

    def cost(self, units: Sequence[int]) -> Cost:
        """What a fresh reader would spend on these frames."""
        frames = choice.check_frames(self.index, units, name=self.id)
        return price.read_cost(self.index, frames, discards=self.backend == "pyav")

    def read(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> torch.Tensor:
        """Decode frames in the worker; see `Video.read`.

        Raises:
            VideoError: Also `timeout`, `worker_crashed` and `oom`; the pool survives all three.
            IndexError: An index is not in 0..len - 1.
            ValueError: The region does not lie in the frame.
            RuntimeError: The pool was closed, or made in another process.
        """
        import torch

        return torch.from_numpy(self.read_array(units, size=size, region=region))

    def read_array(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> NDArray[np.uint8]:
        """Decode frames as `read` does, into a NumPy array."""
        frames = choice.check_frames(self.index, units, name=self.id)
        size = None if size is None else check_size(size)
        view = self._view(size, region)
        expected = self._expected
        images = self._fetch(
            (len(frames), 3, *view[0]),
            lambda address: self._work(
                read_expected,
                frames,
                size,
                None if region is None else check_shape(region),
                self._wish(expected),
                address,
                self._pool.read_function,
            ),
        )
        if expected is not None and self._is_view(view, *expected[1:]):
            with self._lock:
                for frame in frames:
                    expected[0].pop(frame, None)
        return images

    def glance(self, units: Sequence[int], *, size: Size = (64, 64)) -> torch.Tensor:
        """Look at frames, small, in the worker, where they stay on its shelf; see `Video.glance`.

        Raises what `read` raises.
        """
        import torch

        frames, size = choice.check_frames(self.index, units, name=self.id), check_size(size)
        wish = self._wish(self._expected)
        images = self._fetch(
            (len(frames), 3, *size),
            lambda address: self._work(read_glance, frames, size, wish, address),
        )
        return torch.from_numpy(images)

    def motion(self) -> NDArray[np.float32]:
        """How much each frame seems to change, [N]; decodes nothing: `evidence.packet_motion`."""
        return packet_motion(self.index)

    def audio(self, *, between: Span | None = None) -> Sound | None:
        """Decode the sound of the container, if there is any; see `Video.audio`."""
        done = self._work(read_sound, between)
        self._settle(done)
        sound: Sound | None = done.value
        return sound

    def vectors(self, units: Sequence[int]) -> MotionVectors:
        """Take the motion vectors out of coded frames; see `evidence.motion_vectors`."""
        frames = choice.check_frames(self.index, units, name=self.id)
        done = self._work(glimpse.decode_vectors, frames)
        self._settle(done)
        vectors: MotionVectors = done.value
        return vectors

    def stream(
        self, every_seconds: float = 1.0, *, size: tuple[int, int] | None = None
    ) -> IsolatedStream:
        """Read forward from the start, in constant memory and without an index.

        See `Video.stream`, and `IsolatedStream` for what a stream and other videos of one worker
        mean to each other. Each frame is under the pool's deadline.

        Raises:
            TypeError: The source cannot seek: it cannot be handed to another process.
            RuntimeError: The pool was made in another process.
        """
        every_seconds, size = check_stream(every_seconds, size)
        return IsolatedStream(self._pool, self._link, self._video, every_seconds, size, self._spend)

    def decode_small(
        self, frames: Sequence[int], size: Size, options: Mapping[str, str]
    ) -> tuple[NDArray[np.uint8], Cost]:
        """For `temporal.data.evidence`: see `glimpse.decode_small`."""
        spent: list[Cost] = []

        def work(address: Address | None) -> Done:
            done = self._work(read_small, list(frames), size, options, address)
            if done.error is None:
                spent.append(done.value[1])
                done = replace(done, value=done.value[0])
            return done

        return self._fetch((len(frames), 3, *size), work), spent[0]

    def expect(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> None:
        """Name frames that may be read later; see `Video.expect`. Goes along with the next read."""
        self._video.expect(units, size=size, region=region)  # checks them
        self._expected = (dict.fromkeys(int(unit) for unit in units), size, region)

    def plan(self, times_seconds: Sequence[float], tolerance_seconds: float = 0.0) -> list[int]:
        """Choose frames for wished times; see `Video.plan`."""
        return choice.nearest_frames(self.index, times_seconds, tolerance_seconds)

    def snap(self, frame_indices: Sequence[int], tolerance_frames: int) -> list[int]:
        """Replace frames by cheaper ones near them; see `Video.snap`."""
        frames = choice.check_frames(self.index, frame_indices, name=self.id)
        return choice.snap_frames(self.index, frames, tolerance_frames)

    def close(self) -> None:
        """Have the worker let go of the file; a later read opens it again. Waits for nothing.

        The index stays.
        """
        self._expected = None
        if self._is_sent:
            self._is_sent = False
            self._link.forget(self._key)

    def __enter__(self) -> IsolatedVideo:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"IsolatedVideo({self.id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"video {self.id!r} belongs to a DecodePool of this process and cannot go to another; "
            "send its path, and open it there"
        )

    def _get_facts(self) -> tuple[VideoIndex, str]:
        if self._facts is not None:
            return self._facts
        self._link.check_process()
        done = self._work(read_facts)
        self._settle(done)
        with self._lock:
            self._facts = self._facts or done.value
            return self._facts

    def _view(self, size: Size | None, region: Box | None) -> tuple[Size, Region | None]:
        """The size of the images, and the part of the frames that they show."""
        own_size = (self.index.height, self.index.width)
        part = check_region(region, own_size, name=self.id)
        return (size if size is not None else part.size if part else own_size), part

    def _is_view(
        self, view: tuple[Size, Region | None], size: Size | None, region: Box | None
    ) -> bool:
        try:
            return view == self._view(size, region)
        except ValueError:  # a wish that cannot come true
            return False

    def _wish(
        self, expected: tuple[dict[int, None], Size | None, Box | None] | None
    ) -> Expected | None:
        """All of what is expected goes along with every read: the worker may be a new one."""
        with self._lock:
            return None if expected is None else (list(expected[0]), *expected[1:])

    def _fetch(
        self, shape: tuple[int, ...], work: Callable[[Address | None], Done]
    ) -> NDArray[np.uint8]:
        """Have images made in the worker, which come back through shared memory where they can.

        Args:
            shape: Of the images.
            work: Gets the address of the memory; its value is the images, or None where they are
                in it.
        """
        self._link.check_process()
        with self._link.buffers.lend() as buffer:
            done = work(buffer.fit(int(np.prod(shape))))
            if done.error is None:
                images = buffer.copy(shape) if done.value is None else done.value
        self._settle(done)
        return images

    def _work(self, function: Callable[..., Any], *args: Any) -> Done:
        """Run a function in the worker, which gets the video (perhaps all its bytes) only once."""
        for recipe in (None, self._video) if self._is_sent else (self._video,):
            done = self._link.call(
                self._pool.deadline_seconds, self.id, work, self._key, recipe, function, *args
            )
            if done is not None:
                break
        self._is_sent = True
        return done

    def _settle(self, done: Done) -> None:
        self._spend(done.spent)
        if done.error is not None:
            raise done.error

    def _spend(self, cost: Cost) -> None:
        with self._lock:
            self._spent += cost
