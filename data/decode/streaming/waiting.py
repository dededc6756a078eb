"""Frames of a stream that are out, and may refer to a picture that is not: these wait for it.

Frames come in the order in which they are shown, so one that refers forward (a B-frame) comes
before the picture that it refers to; and only when that one comes is it known to be damaged::

    packets   I0  P3  B1  B2  P6  B4  B5 ...
    frames        I0  B1  B2  P3      B4     B1 and B2 wait for P3
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from av.packet import Packet
from av.video.frame import VideoFrame

_LONGEST_WAIT_PACKETS = 32  # 16 is the most that any codec lets pass between a packet and its frame


@dataclass(kw_only=True, slots=True)
class Waiter:
    """A frame that came out."""

    frame: VideoFrame
    """As the decoder made it."""

    ticks: int
    """When it is shown, on the stream's clock."""

    is_good: bool
    """Whether it is whole, as far as is known."""

    number: int
    """Its packet's place in the order of feeding; -1 where not known."""


class WaitingRoom:
    """Takes the frames of a decode in the order in which they come, and gives them back in it."""

    def __init__(self) -> None:
        self._num_fed = 0
        self._flight: dict[int, int | None] = {}  # packets whose frames are not out -> their times
        self._waiters: deque[Waiter] = deque()

    def feed(self, packet: Packet) -> None:
        """A packet is about to be fed: mark it, so that its frame says whose it is."""
        packet.opaque = (self._num_fed,)  # a new object each time: PyAV keeps them by identity
        self._flight[self._num_fed] = packet.pts
        self._flight.pop(self._num_fed - _LONGEST_WAIT_PACKETS, None)
        self._num_fed += 1

    def enter(self, frame: VideoFrame, ticks: int, *, is_good: bool) -> Iterator[Waiter]:
        """A frame came out: yield those that need not wait any more, in order."""
        number = -1 if frame.opaque is None else int(frame.opaque[0])  # type: ignore[index]  # ours
        self._flight.pop(number, None)
        if frame.pts is not None:  # a packet that was overtaken gave no frame
            late = [n for n, pts in self._flight.items() if pts is not None and pts < frame.pts]
            for packet in late:
                del self._flight[packet]
        if not is_good and number >= 0:
            for waiter in self._waiters:
                waiter.is_good &= waiter.number < number
        self._waiters.append(Waiter(frame=frame, ticks=ticks, is_good=is_good, number=number))
        first = min(self._flight, default=self._num_fed)
        while self._waiters and self._waiters[0].number < first:
            yield self._waiters.popleft()

    def leave(self) -> Iterator[Waiter]:
        """The decoder was emptied: yield all that wait, in order."""
        self._flight.clear()
        while self._waiters:
            yield self._waiters.popleft()
