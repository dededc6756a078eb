"""The stream of a source whose frames are known: those that are due are read, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .due import DueTimes
from .stream import StreamFrame, check_stream


def stream_by_index(
    source: Any, every_seconds: float, size: tuple[int, int] | None
) -> Iterator[StreamFrame]:
    """Yield the frames that are due; see `Video.stream`.

    Args:
        source: Has an index, and reads.
        every_seconds: A frame is due at each multiple of this after the first; 0: every frame.
        size: (height, width) to scale to; None keeps the source's own.

    Raises:
        ValueError: An argument is out of its range: at once, and not with the first frame.
    """
    return _frames(source, *check_stream(every_seconds, size))


def _frames(
    source: Any, every_seconds: float, size: tuple[int, int] | None
) -> Iterator[StreamFrame]:
    index = source.index
    due = DueTimes(every_seconds, index.time_base)
    for frame, ticks in enumerate(index.pts.tolist()):
        if due.includes(ticks):
            due.give(ticks)
            yield StreamFrame(
                timestamp_seconds=float(index.timestamps_seconds[frame]),
                image=source.read([frame], size=size)[0],
                clock_breaks=0,
                packets_lost=0,
            )
