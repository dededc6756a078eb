"""Does a calibrated reader keep its promise on labelled inputs that calibration did not see?

Everything is read, then the reader's own operating point (or another), both through the pipeline,
and compared answer by answer. A drop within the noise of a small file may lie on either side of the
bound that was certified; where even its exact 95 % interval does, the promise is refuted for data
like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from temporal.models.operating_points import Point, point_for_budget, point_for_drop
from temporal.training.calibration import PolicyGrid
from temporal.training.model_card import promise
from temporal.training.policy_grids import read_grid
from temporal.training.risk import Change, upper_bound

from ..held_out.faulty import check_read
from .offered import read_at
from .options import CheckOptions


def point_to_check(config: Any, options: CheckOptions) -> Point:
    """The operating point that is asked for, with bounds.

    Raises:
        ValueError: there is none.
    """
    points = getattr(config, "operating_points", None)
    if options.max_drop is not None:
        return {**point_for_drop(points, options.max_drop), "max_drop": options.max_drop}
    if options.budget is not None:
        point = point_for_budget(points, options.budget)
    else:
        own = [
            p for p in points or [] if all(getattr(config, k) == v for k, v in p["policy"].items())
        ]
        if not own:
            raise ValueError(
                "the reader's policy is none of its operating points: run temporal calibrate, or "
                "give --budget or --max_drop"
            )
        (point,) = own[:1]
    if point.get("risk") is None:
        raise ValueError("the operating point has no bounds: run temporal calibrate again")
    return point


def check(pipe: Any, inputs: Sequence[Any], labels_N: Tensor | None, point: Point) -> Point:
    """Read everything, and at an operating point, and compare.

    Args:
        pipe: around a calibrated reader.
        inputs: N, which calibration did not see.
        labels_N: int64 class numbers of the reader; not used for the risk of disagreement.
        point: of `point_to_check`.

    Returns:
        The promise and what became of it, see `verdict`; and `unread`, inputs that could not be
        read, where there are such.

    Raises:
        TooManyFaulty: of these are too many.
    """
    policies = [pipe.model.config.operating_points[0]["policy"], point["policy"]]
    unit = point["cost_unit"]
    if point["risk"] == "disagreement":
        labels_N = None
    read = partial(read_at, pipe, inputs=inputs, unit=unit, told=set())
    grid = read_grid(read, policies, labels_N, unit)
    unread = check_read(grid.losses_PN.shape[1], len(inputs))
    found = {"promise": promise(point), **verdict(point, grid)}
    return {**found, "unread": unread} if unread else found


def verdict(point: dict[str, Any], grid: PolicyGrid) -> dict[str, Any]:
    """Compare what was certified with what was measured.

    Args:
        point: an operating point with bounds.
        grid: the full reading, then the point, on data that calibration did not see.
    """
    full_N, losses_N = grid.losses_PN
    change = Change.between(full_N, losses_N)
    back = Change.between(losses_N, full_N)
    risk = point["risk"]
    certified = point["drop_bound_all"] if point["max_drop"] is None else point["max_drop"]
    if risk == "accuracy_drop":
        measured, low = change.drop, -upper_bound(risk, back, 0.025)
    else:
        rest = change.num_sources - change.num_lost
        kept = Change(num_lost=rest, num_gained=0, num_sources=change.num_sources)
        measured, low = change.num_lost / change.num_sources, 1 - upper_bound(risk, kept, 0.025)
    return {
        "risk": risk,
        "certified": certified,
        "confidence": point["confidence"],
        "num_calibration": point["num_calibration"],
        "measured": measured,
        "interval": [low, upper_bound(risk, change, 0.025)],
        "holds": measured <= certified,
        "refuted": low > certified,
        "sources": change.num_sources,
        "lost": change.num_lost,
        "gained": change.num_gained,
        "full_accuracy": 1 - full_N.double().mean().item(),
        "accuracy": 1 - losses_N.double().mean().item(),
        "cost_share": (grid.costs_PN[1].sum() / grid.costs_PN[0].sum()).item(),
        "certified_cost_share": point["cost_share"],
    }
