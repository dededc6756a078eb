"""When an event begins and ends, by bisection between places that are decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from .places import Seconds


def candidates(times_N: Seconds, first: int, last: int, tolerance: float) -> list[int]:
    """Frames among which a border is looked for: both ends, and some that lie no further apart.

    Args:
        times_N: when each frame is shown.
        first, last: frames of which the border lies between.
        tolerance: seconds between neighbours, at most, where there are frames.
    """
    span = float(times_N[last] - times_N[first])
    parts = max(1, int(np.ceil(span / tolerance - 1e-9)))
    wished = np.linspace(times_N[first], times_N[last], parts + 1)[1:-1]
    inner = {int(np.abs(times_N - wish).argmin()) for wish in wished}
    return [first, *sorted(frame for frame in inner if first < frame < last), last]


async def bisect(
    frames: Sequence[int], is_before: Callable[[int, int, int], Awaitable[bool]]
) -> tuple[int, int]:
    """Two neighbours of which a border lies between.

    Args:
        frames: ascending, at least 2; the border lies between the first and the last of them.
        is_before: of three of them, first < middle < last: whether the border lies between the
            first two.

    Returns:
        Two frames that follow each other in `frames`.
    """
    low, high = 0, len(frames) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if await is_before(frames[low], frames[middle], frames[high]):
            high = middle
        else:
            low = middle
    return frames[low], frames[high]
