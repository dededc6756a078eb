"""`LiveWindow`: some seconds of a stream, a source of frames as a `Video` is."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from .decode.live.cutting import Cut, Why
from .decode.live.held import HeldOpening, LiveDecoder
from .decode.packets.motion import MotionHistory
from .decode.pictures.shelf import Expectation
from .video import Video


class LiveWindow(Video):
    """A part of a stream, a few seconds long: a source of frames as a `Video` is.

    Its packets are in memory, undecoded: any reader reads it, in any order, and what it does not
    read is not decoded. Times are on the stream's clock, in `index.timestamps_seconds`.
    """

    number: int
    """Which window of the stream it is, from 0."""

    why: Why
    """Why it ends where it does: it is `"full"`, the stream has `"stalled"`, frames after it were
    `"skipped"`, its clock made a `"jump"`, or it has `"ended"`."""

    motion_before: NDArray[np.float32]
    """[M] `motion()` of the frames that came before it, the latest ten minutes: what is usual."""

    def __init__(
        self, cut: Cut, decoder: LiveDecoder, history: MotionHistory, *, name: str, number: int
    ) -> None:
        super().__init__(b"", id=f"{name}#{number}", max_pixels=decoder.max_pixels)
        self.number, self.why = number, cut.why
        self._held = HeldOpening(cut, decoder, self.id)
        self._opening: Any = self._held
        self._cut, self._decoder = cut, decoder
        self._motion, self.motion_before = history.add(self.index, cut.frames_told)

    @property
    def start_seconds(self) -> float:
        """Time of the first frame, on the stream's clock."""
        return float(self.index.timestamps_seconds[0])

    @property
    def end_seconds(self) -> float:
        """Until when it has been seen: the time of the last frame, and as long as that takes."""
        index = self.index
        usual = float(self._decoder.frame_seconds)
        return float(index.timestamps_seconds[-1]) + (usual if usual < 1 else 0.0)

    @property
    def arrived_seconds(self) -> NDArray[np.float64]:
        """[N] when each frame's packet came, in seconds since 1970."""
        came = np.array([one.wall_seconds for one in self._cut.arrived])
        return came[self.index.frame_packets]

    @property
    def packet_bytes_held(self) -> int:
        """Bytes of its packets, those included that are only decoded on the way."""
        return sum(one.packet.size for one in self._cut.arrived)

    def motion(self) -> NDArray[np.float32]:
        """How much each frame seems to change, [N], compared with all of the stream so far."""
        return self._motion

    def audio(self, *, between: Any = None) -> None:
        """Return None: the sound of a stream is not kept."""

    def close(self) -> None:
        """Let go of the decoder and of what was expected; the packets stay with the window."""
        with self._held.lock:
            self._held.close()
            self._expectation = Expectation()

    def _spend(self, cost: Cost) -> None:
        super()._spend(cost)
        self._decoder.spent += cost
        self._held.learn()

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{self.id} is a part of a stream: its packets are in this process and do not cross to "
            "another; read its frames here"
        )
