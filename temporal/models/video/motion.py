"""How much each frame of a video moves, from evidence that a reader chooses by its price.

================  =================================================================================
`"packets"`       nothing is decoded: sizes of packets. Of a video of keyframes alone, or one in
                  memory, they tell nothing
`"thumbnails"`    the keyframes are decoded, and seen small: what changes from one to the next
`"vectors"`       all frames are decoded, none is made into an image; only codecs that tell their
                  motion vectors
`"pixels"`        all frames are decoded, and seen small: what changes from each to the next
================  =================================================================================

Evidence that tells nothing is 1 for every frame.

N frames of a video, S of them seen.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import check_in
from ...handle import Handle
from .reading import MAX_FAULTS, glance

Motion = NDArray[np.float64]

_BLOCK = 256
"""Frames that are seen together: 3 MB as they are compared."""
_LONGEST = 1024
"""Frames whose motion vectors may be in memory: 150 MB of 720p."""


async def frame_motion(video: Handle, evidence: str = "packets") -> Motion:
    """How much each frame changes against the one before, float64 `[N]`, finite and >= 0.

    Frames that cannot be seen are written down as faults (`Handle.fail`) and taken to move as those
    around them do.

    Args:
        video: the engine's handle on a source of frames, which is open.
        evidence: one of `EVIDENCE`.

    Raises:
        ValueError: there is no such evidence.
        Exception: the first fault, where nothing of the video can be seen.
    """
    check_in("evidence", evidence, EVIDENCE)
    return await EVIDENCE[evidence](video)


async def _packets(video: Handle) -> Motion:
    return known_motion(await video.motion())


def known_motion(motion_N: Any) -> Motion:
    """What `Handle.motion` or `FrameSource.motion` gives, as `frame_motion` gives it."""
    return _filled(np.asarray(motion_N, dtype=np.float64))


async def _vectors(video: Handle) -> Motion:
    motion = np.full(len(video), np.nan)
    most = len(video.faults) + MAX_FAULTS
    seen = 0
    for frames in _blocks(len(video), video.index.keyframes):
        try:
            motion[frames] = (await video.vectors(frames)).magnitudes
            seen += 1
        except Exception as fault:  # other blocks may tell enough
            video.fail(fault)
            if len(video.faults) >= most:
                break
    if not seen:
        raise video.faults[-1]
    return _filled(motion)


async def _thumbnails(video: Handle) -> Motion:
    keyframes = [int(frame) for frame in video.index.keyframes]
    if len(keyframes) < 2:  # there is nothing to compare it with
        return np.ones(len(video))
    return await _seen(video, keyframes)


async def _pixels(video: Handle) -> Motion:
    return await _seen(video, range(len(video)))


EVIDENCE: dict[str, Callable[[Handle], Coroutine[Any, Any, Motion]]] = {
    "packets": _packets,
    "thumbnails": _thumbnails,
    "vectors": _vectors,
    "pixels": _pixels,
}
"""What motion is told from, and how."""


async def _seen(video: Handle, frames: Sequence[int]) -> Motion:
    """Mean absolute differences of frames, each shared out over those in which it came about."""
    motion = np.full(len(video), np.nan)
    last: tuple[int, NDArray[np.int16]] | None = None
    most = len(video.faults) + MAX_FAULTS
    for start in range(0, len(frames), _BLOCK):
        try:
            seen, pixels = await glance(video, frames[start : start + _BLOCK])
        except Exception:  # it is written down; what is seen of others may be enough
            if len(video.faults) >= most:
                break
            continue
        for frame, image in zip(seen, pixels.numpy().astype(np.int16), strict=True):
            if last is not None:
                change = float(np.abs(image - last[1]).mean())
                motion[last[0] + 1 : frame + 1] = change / (frame - last[0])
            last = (frame, image)
    if last is None:
        raise video.faults[-1]
    return _filled(motion)


def _filled(motion_N: Motion) -> Motion:
    """Give frames of which nothing is known the motion that lies between their neighbours'."""
    known = np.flatnonzero(np.isfinite(motion_N))
    if not len(known):
        return np.ones(len(motion_N))
    return np.interp(np.arange(len(motion_N)), known, motion_N[known])


def _blocks(num_frames: int, keyframes: Sequence[int]) -> Iterator[range]:
    """Pieces that begin at keyframes, so that none is decoded twice, unless these are too far."""
    cuts = np.append(np.asarray(keyframes, dtype=np.int64), num_frames)
    start = 0
    while start < num_frames:
        next_cut = int(cuts[np.searchsorted(cuts, min(start + _BLOCK, num_frames))])
        stop = min(next_cut, start + _LONGEST)
        yield range(start, stop)
        start = stop
