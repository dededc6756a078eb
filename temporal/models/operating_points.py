"""The operating points in a configuration, and choosing one of them.

An operating point is one way to run a reader: values for its policy fields, with the cost and the
accuracy that were measured with them on held-out data, and an upper bound on what it loses against
reading everything (of an `HMRNN` and of `AdaptiveComputationTime`: against reading as they were
trained, since what is beyond that answers worse). `temporal.training.calibration` makes them and
says what the bounds promise; temporal calibrate stores them, the full reading first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedConfig

from ..checks import check_range

Point = dict[str, Any]
"""`temporal.training.calibration.OperatingPoint` as plain values. Points that versions before 0.2
stored have `policy`, `cost_share` and `accuracy` alone that count; they serve budgets."""

_GRACE = 0.005
"""Half a percent over the budget is granted: the shares were measured on other inputs."""


def point_for_budget(points: Sequence[Point] | None, budget: float) -> Point:
    """The operating point that spends most of the budget.

    Not the one that was measured to be most accurate: neighbours differ by noise alone.

    Args:
        points: a configuration's.
        budget: share of the full cost that may be spent, 0 to 1.

    Raises:
        ValueError: the budget is not in [0, 1], nothing was calibrated, or no point is so cheap.
    """
    check_range("budget", budget, 0.0, 1.0)
    stored = _stored(points, f"budget ({budget})")
    affordable = [point for point in stored if point["cost_share"] <= budget + _GRACE]
    if not affordable:
        cheapest = min(point["cost_share"] for point in stored)
        raise ValueError(
            f"budget ({budget}) must be at least {cheapest:.3f}, "
            "the cheapest operating point that was calibrated"
        )
    return max(affordable, key=lambda point: point["cost_share"])


def point_for_drop(points: Sequence[Point] | None, max_drop: float) -> Point:
    """The cheapest operating point that is certified to lose at most `max_drop`.

    The full reading loses nothing, so a drop that no other point is certified for gives that.

    Args:
        points: a configuration's.
        max_drop: of accuracy against reading everything, 0 to 1; or of whatever risk the points
            were calibrated for.

    Raises:
        ValueError: the drop is not in [0, 1], nothing was calibrated, or the points carry no
            bounds that could be relied on.
    """
    check_range("max_drop", max_drop, 0.0, 1.0)
    stored = _stored(points, f"max_drop ({max_drop})")
    bounded = [point for point in stored if point.get("risk") is not None]
    if not bounded:
        raise ValueError(
            f"max_drop ({max_drop}) needs operating points with bounds, and this reader's have "
            "none: run temporal calibrate again, or choose by budget="
        )
    # Bounds rise along the path that was tested, so this is where fixed-sequence testing stops.
    certified = [point for point in bounded if point["drop_bound"] <= max_drop]
    if not certified:
        safest = min(point["drop_bound"] for point in bounded)
        raise ValueError(
            f"max_drop ({max_drop}) must be at least {safest:.4f}, the lowest bound of the "
            "operating points that are stored"
        )
    return min(certified, key=lambda point: point["cost_share"])


def calibrated_dtype(config: Any) -> str | None:
    """The name of the type in which a configuration's points were measured; None: there are none.

    Points that do not tell it are older than other types, and of float32.
    """
    points = getattr(config, "operating_points", None)
    return points[0].get("dtype") or "float32" if points else None


def apply_point(config: PreTrainedConfig, point: Point) -> None:
    """Set the policy fields of a configuration to those of an operating point."""
    for field, value in point["policy"].items():
        setattr(config, field, value)


@contextmanager
def set_to(config: Any, **fields: Any) -> Iterator[None]:
    """Fields of a configuration for a while."""
    kept = {name: getattr(config, name) for name in fields}
    vars(config).update(fields)
    try:
        yield
    finally:
        vars(config).update(kept)


def _stored(points: Sequence[Point] | None, asked: str) -> Sequence[Point]:
    if not points:
        raise ValueError(
            f"{asked} needs a calibrated reader, and this one stores no operating points: run "
            "temporal calibrate on held-out data first, or read everything"
        )
    return points
