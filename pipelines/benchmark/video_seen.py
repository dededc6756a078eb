"""What one reading of a video gave and cost, whoever read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ...trace import Cost
from ..reading import Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSeen:
    """An answer, and what was done for it."""

    answer: int
    """Number of the class."""
    frames_read: int
    frames_glanced: int = 0
    """Frames that were looked at, small, whether or not they were read then."""
    glance_size: tuple[int, int] | None = None
    """(height, width) of these looks."""
    cost: Cost = Cost()

    @classmethod
    def of(cls, reading: Reading) -> VideoSeen:
        """What a pipeline's reading did."""
        trace = reading.trace
        assert trace is not None and reading.classes
        glances = [view for view in trace.views if view.is_glance]
        return cls(
            answer=reading.classes[0],
            frames_read=trace.units_read,
            frames_glanced=len({unit for view in glances for unit in view.units}),
            glance_size=glances[0].size if glances else None,
            cost=trace.cost,
        )


def means_of(seen: Sequence[VideoSeen]) -> dict[str, Any]:
    """Frames and MACs of a video, in the mean."""
    return {
        "frames_decoded": fmean(one.cost.frames_decoded for one in seen),
        "frames_glanced": fmean(one.frames_glanced for one in seen),
        "glance_size": next((one.glance_size for one in seen if one.glance_size), None),
        "frames_read": fmean(one.frames_read for one in seen),
        "macs": fmean(one.cost.macs for one in seen),
    }
