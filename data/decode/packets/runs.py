"""Which packets to decode for a set of frames: arithmetic on the index.

The reader executes these runs and the price list (`price`) adds them up, so what `cost` says before
reading is what reading spends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Their home before, when this was `plan`.
from .choice import check_frames as check_frames
from .choice import nearest_frames as nearest_frames
from .choice import snap_frames as snap_frames
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
