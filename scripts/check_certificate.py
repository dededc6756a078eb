"""Does a calibrated reader keep its promise on labelled data that calibration did not see?

    python scripts/check_certificate.py --task text --model out/sst2 --data_file dev.txt

Reads everything, then at the reader's own operating point (or that of --budget or --max_drop), both
through the pipeline, and compares answer by answer. Prints JSON: the bound that was certified, the
drop that was measured here with its exact 95 % interval, and whether the drop lies within the
bound. A drop within the noise of a small file may lie on either side; where even the interval does,
the promise is refuted for data like this. Rows that the reader was trained or calibrated on are
refused: its folder remembers them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from held_out import HeldOutArguments, read_held_out
from policy_grids import read_grid
from transformers import HfArgumentParser

from temporal.models.operating_points import point_for_budget, point_for_drop
from temporal.pipelines import pipeline
from temporal.training.calibration import PolicyGrid
from temporal.training.model_card import promise
from temporal.training.risk import Change, upper_bound


@dataclass
class CheckArguments(HeldOutArguments):
    """Which operating point to check."""

    budget: float | None = field(default=None, metadata={"help": "Default: the reader's own."})
    max_drop: float | None = field(default=None, metadata={"help": "Default: the reader's own."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.budget is not None and self.max_drop is not None:
            raise ValueError(
                f"--budget ({self.budget}) and --max_drop ({self.max_drop}) name different points: "
                "give one of them, or neither for the reader's own"
            )


def point_to_check(args: CheckArguments, config: Any) -> dict[str, Any]:
    """The operating point that is asked for, with bounds."""
    points = config.operating_points
    if args.max_drop is not None:
        return {**point_for_drop(points, args.max_drop), "max_drop": args.max_drop}
    if args.budget is not None:
        point = point_for_budget(points, args.budget)
    else:
        own = [
            p for p in points or [] if all(getattr(config, k) == v for k, v in p["policy"].items())
        ]
        if not own:
            raise ValueError(
                "the reader's policy is none of its operating points: run scripts/calibrate.py, or "
                "give --budget or --max_drop"
            )
        (point,) = own[:1]
    if point.get("risk") is None:
        raise ValueError("the operating point has no bounds: run scripts/calibrate.py again")
    return point


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


def main() -> None:
    """Check and print."""
    (args,) = HfArgumentParser(CheckArguments).parse_args_into_dataclasses()
    pipe = pipeline(f"{args.task}-classification", args.model, batch_size=args.batch_size)
    config = pipe.model.config
    point = point_to_check(args, config)
    held_out = read_held_out(args, pipe, refuse=("training", "selection", "calibration"))
    if point["risk"] == "disagreement":
        held_out = replace(held_out, labels=None)
    policies = [config.operating_points[0]["policy"], point["policy"]]
    grid = read_grid(pipe, policies, held_out, point["cost_unit"])
    print(
        json.dumps(
            {"promise": promise(point), **verdict(point, grid), "rows": held_out.report}, indent=2
        )
    )


if __name__ == "__main__":
    main()
