"""Frames read in groups, robustly: what a reader of videos does about those that cannot be had.

A group (the frames that are read in any case, one more frame, a clip) is read together. Where that
fails, its frames are read one by one; those that fail again are written down as faults and passed
over, for others may still tell enough. After `MAX_FAULTS` the reading ends, and what was read
answers.

G frames of a group, C, H, W.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...handle import Handle

MAX_FAULTS = 3
"""Frames of a video that may fail before a reader gives up on the rest of it."""
_KEPT_BYTES = 64 * 2**20


def whole_frames_fit(index: Any, num_frames: int) -> bool:
    """Whether so many whole frames of a video may wait in memory: ten of 1080p, not of 4K."""
    return 3 * index.height * index.width * num_frames <= _KEPT_BYTES


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Group:
    """What could be read of a group."""

    number: int
    """Which of the groups it is, from 0."""

    wanted: list[int]
    """The frames asked for, in their order."""

    frames: list[int]
    """Those that could be read, in their order; never empty."""

    pixels: Tensor
    """uint8 `[G, C, H, W]` of `frames`."""

    is_last: bool
    """Whether no other group will follow."""

    def filled(self) -> Tensor:
        """Pixels of all that is `wanted`: of the nearest frame that was read, where one was not."""
        if len(self.frames) == len(self.wanted):
            return self.pixels
        read = torch.tensor(self.frames)
        nearest = [int((read - frame).abs().argmin()) for frame in self.wanted]
        return self.pixels[nearest]


class Groups:
    """Reads groups of frames, each when it is asked for: `async for group in Groups(...)`.

    All frames are named to the video first (`expect`), so that those passed on the way to others
    are not decoded again. A reader that halts leaves the loop, and the rest is never read:

        async for group in Groups(video, [[0, 50], [25], [75]], size=(224, 224)):
            features = await self.features(group.pixels)
            if not group.is_last and self.halts(features):
                break

    Where no frame of any group can be read, the loop ends with the first fault.

    (A class and no asynchronous generator: one that is left early would wait for the event loop of
    a notebook to close it, with the video in its hand.)

    Args:
        video: the engine's handle on a source of frames, which is open.
        groups: frame indices, in reading order.
        size: (height, width) of the pixels; None: the region's or the video's own.
        region: the part to read, see `FrameSource.read`.
        regions: one for each group, of frames that were glanced at: these are kept already.
    """

    def __init__(
        self,
        video: Handle,
        groups: Sequence[Sequence[int]],
        *,
        size: tuple[int, int] | None = None,
        region: tuple[int, int, int, int] | None = None,
        regions: Sequence[tuple[int, int, int, int]] | None = None,
    ) -> None:
        self._video = video
        self._options: dict[str, Any] = {"size": size}
        if region is not None:
            self._options["region"] = region
        self._regions = regions
        self._left = deque(enumerate(map(list, groups)))
        self._any_read = False
        # Those of a glance do not count: what it saw may still be read.
        self._most = len(video.faults) + MAX_FAULTS
        frames = [frame for _, group in self._left for frame in group]
        # Whole frames of a large video would fill the memory.
        if regions is None and (size or region or whole_frames_fit(video.index, len(set(frames)))):
            video.expect(frames, **self._options)

    def __aiter__(self) -> Groups:
        return self

    async def __anext__(self) -> Group:
        """Read the next group of which a frame can be had."""
        while self._left and not self._gives_up:
            number, wanted = self._left.popleft()
            ask = partial(self._video.read, **self._options)
            if self._regions is not None:
                ask = partial(ask, region=self._regions[number])
            frames, pixels = await _have(self._video, wanted, ask, self._most)
            if pixels is not None:
                self._any_read = True
                is_last = self._gives_up or not self._left
                return Group(
                    number=number, wanted=wanted, frames=frames, pixels=pixels, is_last=is_last
                )
        if not self._any_read and self._video.faults:
            raise self._video.faults[0]
        raise StopAsyncIteration

    @property
    def _gives_up(self) -> bool:
        return len(self._video.faults) >= self._most


async def glance(
    video: Handle, frames: Sequence[int], *, size: tuple[int, int] = (64, 64)
) -> tuple[list[int], Tensor]:
    """Glance at frames, as robustly as `Groups` reads them.

    Args:
        video: the engine's handle on a source of frames, which is open.
        frames: frame indices, at least one.
        size: (height, width) of the pixels.

    Returns:
        The frames that could be seen, in their order, and their pixels, uint8 `[G, C, H, W]`.

    Raises:
        Exception: the first fault, where no frame can be seen.
    """
    most = len(video.faults) + MAX_FAULTS
    seen, pixels = await _have(video, list(frames), partial(video.glance, size=size), most)
    if pixels is None:
        raise video.faults[0]
    return seen, pixels


async def read_each(
    video: Handle, frames: Sequence[int], *, size: tuple[int, int] | None = None
) -> tuple[list[int], Tensor]:
    """Read frames at once or, where that fails, each that can be had, however many cannot.

    Args:
        video: the engine's handle on a source of frames, which is open.
        frames: frame indices, at least one.
        size: (height, width) of the pixels; None: the video's own.

    Returns:
        The frames that could be read, in their order, and their pixels, uint8 `[G, C, H, W]`.

    Raises:
        Exception: the last fault, where no frame can be read.
    """
    most = len(video.faults) + len(frames)
    had, pixels = await _have(video, list(frames), partial(video.read, size=size), most)
    if pixels is None:
        raise video.faults[-1]
    return had, pixels


async def one_frame(
    video: Handle, frame: int, ask: Callable[[list[int]], Awaitable[Tensor]]
) -> Tensor | None:
    """Ask for a frame, `[1, C, H, W]`; None: it cannot be had, and the fault is written down."""
    try:
        return await ask([frame])
    except Exception as fault:  # other frames may still tell enough
        video.fail(fault)
        return None


async def _have(
    video: Handle,
    wanted: list[int],
    ask: Callable[[list[int]], Awaitable[Tensor]],
    most: int,
) -> tuple[list[int], Tensor | None]:
    """Ask for frames together or, where that fails, one by one; None: none of them can be had.

    It stops where the video has `most` faults.
    """
    try:
        return wanted, await ask(wanted)
    except Exception as fault:  # other frames may still tell enough
        if len(set(wanted)) == 1:
            video.fail(fault)
            return [], None
    found: dict[int, Tensor] = {}
    for frame in dict.fromkeys(wanted):
        if len(video.faults) >= most:
            break
        try:
            found[frame] = await ask([frame])
        except Exception as fault:
            video.fail(fault)
    return list(found), torch.cat(list(found.values())) if found else None
