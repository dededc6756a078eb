"""How stored frames are to be turned and mirrored to stand upright, as FFmpeg's tools do it.

A display matrix says it: of the file's header, or of a message in the coded video. One orientation
holds for all frames of a video. Decoders attach a header's matrix to each frame, but a message's to
some frames only, although it holds for those after it, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways in which a picture may be stored."""

    quarter_turns: int = 0
    """How often a stored frame is to be turned counterclockwise by 90 degrees, 0..3."""

    is_mirrored: bool = False
    """Whether left and right are to be exchanged then."""

    @property
    def degrees(self) -> int:
        """The turns in degrees counterclockwise: 0, 90, 180 or -90."""
        return (0, 90, 180, -90)[self.quarter_turns]

    def stored_size(self, height: int, width: int) -> tuple[int, int]:
        """Exchange the upright (height, width) for that of the stored frame, or the reverse."""
        return (width, height) if self.quarter_turns % 2 else (height, width)

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Make an image [height, width, ...] upright; the result is a view."""
        if self.quarter_turns:
            image = np.rot90(image, self.quarter_turns)
        return image[:, ::-1] if self.is_mirrored else image


UPRIGHT = Orientation()


def from_matrix(a: float, b: float, c: float, d: float) -> Orientation:
    """Read a display matrix: a stored pixel (x, y) is shown at (a x + c y, b x + d y), y down.

    A picture that is turned by no multiple of 90 degrees is turned to the nearest one.
    """
    across, down = math.hypot(a, c), math.hypot(b, d)
    if across == 0 or down == 0:
        return UPRIGHT
    is_mirrored = a * d - b * c < 0
    if is_mirrored:  # what is mirrored last: without it, there is a turn
        a = -a
    angle = -math.degrees(math.atan2(b / down, a / across))
    return Orientation(round(angle / 90) % 4, is_mirrored)


def from_roll(degrees: float, *, is_mirrored: bool = False) -> Orientation:
    """Read a projection: a roll in degrees counterclockwise, mirrored where it looks back."""
    if not math.isfinite(degrees) or abs(degrees) > 180:
        return UPRIGHT
    return Orientation(round(degrees / 90) % 4, is_mirrored)


def from_message(turn: int, *, flips_across: bool, flips_down: bool) -> Orientation:
    """Read a display orientation message of H.264 or HEVC: the flips come first, then the turn.

    Args:
        turn: Counterclockwise, in 1/65536 of a full turn.
        flips_across: Left and right are exchanged.
        flips_down: Top and bottom are exchanged: this is the other flip and half a turn.
    """
    turns = round(turn / 16384) + 2 * flips_down
    is_mirrored = flips_across != flips_down
    # Mirrored last instead of first, turns go the other way round.
    return Orientation((-turns if is_mirrored else turns) % 4, is_mirrored)


def from_frame(frame: VideoFrame) -> Orientation:
    """Read the display matrix that the decoder attached to a frame."""
    try:
        found: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know what else is attached to it
        return Orientation(round(frame.rotation / 90) % 4)
    entries = [] if found is None else np.frombuffer(found, dtype=np.int32).tolist()
    if len(entries) < 9:
        return UPRIGHT
    a, b, _, c, d = entries[:5]
    return from_matrix(a, b, c, d)
