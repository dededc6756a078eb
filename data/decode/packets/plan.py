"""Which packets to decode for a set of frames: arithmetic on the index.

The reader executes these runs and the price list (`price`) adds them up, so what `cost` says before
reading is what reading spends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .index import VideoIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Packets `first_packet` to `last_packet` (both included), decoded without a break."""

    first_packet: int
    """Where decoding starts."""

    last_packet: int
    """The last packet that is needed."""

    frames: tuple[int, ...]
    """The wanted frames that come out, in presentation order."""


def plan_runs(index: VideoIndex, frame_indices: Sequence[int], *, joins: bool = True) -> list[Run]:
    """Group wanted frames into runs of packets: frames of one GOP share a run.

    Args:
        index: The video's index.
        frame_indices: Wanted frames, ascending, without repeats.
        joins: Let a run go on into the next GOP when it ends right before it.

    Returns:
        Runs in presentation order; none shares a packet with another.
    """
    spans: list[tuple[int, int, list[int]]] = []
    for frame in frame_indices:
        entry, packet = int(index.frame_entries[frame]), int(index.frame_packets[frame])
        if spans and spans[-1][0] <= entry <= spans[-1][1] + joins:
            first, last, frames = spans[-1]
            frames.append(frame)
            spans[-1] = (first, max(last, packet), frames)
        else:
            spans.append((entry, packet, [frame]))
    return [
        Run(first_packet=first, last_packet=last, frames=tuple(frames))
        for first, last, frames in spans
    ]


def leads_on(index: VideoIndex, run: Run, expected: Iterable[int]) -> bool:
    """Whether the next decode for an expected frame would go over this run's packets again."""
    for frame in expected:
        if not 0 <= frame < len(index):
            continue  # its own read will say so
        entry, packet = index.frame_entries[frame], index.frame_packets[frame]
        if not run.first_packet <= packet <= run.last_packet:  # else this run passes it
            return bool(entry <= run.last_packet < packet)
    return False


def check_frames(index: VideoIndex, frame_indices: Sequence[int], *, name: str) -> list[int]:
    """Return the indices as integers.

    Raises:
        IndexError: An index is not in 0..len - 1.
    """
    frames = [int(frame) for frame in frame_indices]
    count = len(index)
    for frame in frames:
        if not 0 <= frame < count:
            raise IndexError(
                f"frame index ({frame}) must be in 0..{count - 1}: {name} has {count} frames"
            )
    return frames


def decoded_packets(
    index: VideoIndex, run: Run, *, discards: bool = True, also: Sequence[int] = ()
) -> NDArray[np.int64]:
    """The packets of a run that are given to the decoder, ascending.

    Args:
        index: The video's index.
        run: The run.
        discards: Leave out those on the way that no other frame refers to.
        also: Frames that lie within the run and are decoded with it.
    """
    numbers = np.arange(run.first_packet, run.last_packet + 1)
    if not discards:
        return numbers
    is_decoded = ~index.packets.is_disposable[run.first_packet : run.last_packet + 1]
    is_decoded[index.frame_packets[[*run.frames, *also]] - run.first_packet] = True
    return numbers[is_decoded]


def nearest_frames(
    index: VideoIndex, times_seconds: Sequence[float], tolerance_seconds: float
) -> list[int]:
    """For each time the cheapest frame within the tolerance, the nearest where prices are equal.

    Args:
        index: The video's index.
        times_seconds: Wished times on the clock of `index.timestamps_seconds`.
        tolerance_seconds: How far from the wished time a cheaper frame may lie. Where no frame is
            that near, the nearest is taken.

    Returns:
        One frame index per time, in the order of the times.
    """
    if not tolerance_seconds >= 0:
        raise ValueError(f"tolerance_seconds ({tolerance_seconds}) must be >= 0")
    if not np.isfinite(times_seconds).all():
        raise ValueError(f"times_seconds ({list(times_seconds)}) must be finite")
    times = index.timestamps_seconds
    found: list[int] = []
    for wish in times_seconds:
        away = np.abs(times - wish)
        nearest = int(away.argmin())
        reach = max(tolerance_seconds, float(away[nearest]))
        found.append(_cheapest(index, np.flatnonzero(away <= reach), away))
    return found


def snap_frames(
    index: VideoIndex, frame_indices: Sequence[int], tolerance_frames: int
) -> list[int]:
    """For each frame the cheapest one at most `tolerance_frames` away, the nearest among equals."""
    if tolerance_frames < 0:
        raise ValueError(f"tolerance_frames ({tolerance_frames}) must be >= 0")
    place = np.arange(len(index))
    found: list[int] = []
    for frame in frame_indices:
        low, high = max(0, frame - tolerance_frames), min(len(index), frame + tolerance_frames + 1)
        found.append(_cheapest(index, place[low:high], np.abs(place - frame)))
    return found


def _cheapest(index: VideoIndex, choices: NDArray[np.int64], away: NDArray[np.generic]) -> int:
    costs = index.frame_costs[choices]
    best = np.lexsort((away[choices], costs))[0]
    return int(choices[best])
