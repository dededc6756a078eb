"""Choose how much a reader reads from held-out data, say what is certain, and save both.

    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.3 --max_drop 0.01
    python scripts/calibrate.py --task text --model out/skim --data_file imdb.parquet --budget 0.3
    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.3 --cost_unit ms --budget_cost 1.5
    python scripts/calibrate.py --task video --model DIR --data_file CLIPS_DIR --budget 0.6

The chosen policy becomes the reader's own; operating points with bounds are stored beside it, so
that `budget=` and `max_drop=` can pick others at call time. `temporal.training.calibration` says
what the bounds promise. Prints one JSON line, with the promise in a sentence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from held_out import HeldOut, HeldOutArguments, read_held_out
from policy_grids import (
    ExitRun,
    chunk_policies,
    exit_answers,
    exit_costs,
    family_of,
    read_grid,
    run_exits,
    with_real_costs,
)
from torch import Tensor
from transformers import HfArgumentParser

from temporal.models.operating_points import point_for_budget, point_for_drop
from temporal.models.rows_seen import RowsSeen, load_rows_seen
from temporal.pipelines import pipeline
from temporal.training.calibration import (
    OperatingPoint,
    PolicyGrid,
    operating_points,
    split_rows,
    within_drop,
)
from temporal.training.exit_policies import searched_thresholds, shared_thresholds
from temporal.training.model_card import promise


@dataclass
class CalibrationArguments(HeldOutArguments):
    """To what to calibrate."""

    max_drop: float | None = field(
        default=None,
        metadata={"help": "Largest accuracy drop against reading everything, 0 to 1, certified."},
    )
    measured: bool = field(
        default=False,
        metadata={"help": "With --max_drop: by the measured drop instead, which promises nothing."},
    )
    budget: float | None = field(
        default=None, metadata={"help": "Share of the full cost that may be spent, 0 to 1."}
    )
    budget_cost: float | None = field(
        default=None, metadata={"help": "Mean cost of a source that may be spent, in --cost_unit."}
    )
    cost_unit: Literal["macs", "ms"] = field(
        default="macs",
        metadata={"help": "Multiply-accumulates, or milliseconds on this machine at --batch_size."},
    )
    risk: Literal["accuracy_drop", "lost_answers", "disagreement"] = field(
        default="accuracy_drop",
        metadata={"help": "What the bounds bound; without labels it is disagreement."},
    )
    confidence: float = field(default=0.95, metadata={"help": "Of the bounds."})
    criterion: str | None = field(default=None, metadata={"help": "Default: the reader's."})
    per_exit: bool = field(
        default=False, metadata={"help": "Search a threshold for each exit; default: one for all."}
    )
    temperature_scaling: bool = field(
        default=False, metadata={"help": "Fit a temperature for each exit first."}
    )
    choose_share: float = field(
        default=0.33,
        metadata={
            "help": "Share of the rows that thresholds are searched, temperatures fitted or "
            "unordered policies sorted on; the bounds are from the others. Else all rows test."
        },
    )
    cost_samples: int = field(
        default=256, metadata={"help": "Readers with exits: inputs that costs are measured on."}
    )
    num_levels: int = field(
        default=8, metadata={"help": "chunk_reader: thresholds of each kind that are combined."}
    )
    num_points: int = field(default=20, metadata={"help": "Operating points to store at most."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.choose_share < 1:
            raise ValueError(
                f"--choose_share ({self.choose_share}) must be between 0 and 1, both excluded: "
                "some rows choose and the others test, 0.33 by default"
            )
        if self.measured and self.max_drop is None:
            raise ValueError(
                "--measured (True) says how --max_drop is met: give --max_drop, or leave it out"
            )
        goals = (self.max_drop, self.budget, self.budget_cost)
        if sum(goal is not None for goal in goals) != 1:
            raise ValueError("give one of --max_drop, --budget and --budget_cost")


def measured_points(
    args: CalibrationArguments, pipe: Any, held_out: HeldOut, risk: str
) -> list[OperatingPoint]:
    """Run the reader on the held-out rows; points with bounds.

    The configuration of a reader with exits gets criterion and temperatures.
    """
    config, options = pipe.model.config, {"count": args.num_points, "confidence": args.confidence}
    if not hasattr(config, "thresholds"):
        return operating_points(*family_grid(args, pipe, held_out), risk=risk, **options)
    if getattr(config, "gate", False):
        raise SystemExit("gate (True) halts without thresholds: there is nothing to calibrate")
    if getattr(config, "exit_layers", None) and len(config.exit_layers) == 1:
        raise SystemExit(
            f"exit_layers ({config.exit_layers}) is the last exit alone, which never halts: there "
            "is nothing to calibrate; train the reader with exits before the last"
        )
    config.criterion = args.criterion or config.criterion
    if config.model_type == "chunk_reader":
        points = operating_points(*chunk_grid(args, pipe, held_out), risk=risk, **options)
        return with_real_costs(pipe, points, held_out.inputs[: args.cost_samples])
    run = run_exits(pipe, held_out)
    points = operating_points(*exit_grid(args, pipe, run), risk=risk, **options)
    return with_real_costs(pipe, points, run.held_out.inputs[: args.cost_samples])


def exit_grid(
    args: CalibrationArguments, pipe: Any, run: ExitRun
) -> tuple[PolicyGrid, Tensor, Tensor]:
    """Policies of a reader with exits, and the rows that choose among them and that test them."""
    config = pipe.model.config
    num_exits, num_classes = run.logits_NEK.shape[1:]
    chooses = args.per_exit or args.temperature_scaling
    first, rest = split_rows(
        len(run.lengths_N), args.choose_share if chooses else 0.0, args.split_seed()
    )
    costs = [float(k + 1) for k in range(num_exits)]  # the search needs to know them better
    if args.per_exit:
        sample = run.held_out.inputs[: args.cost_samples]
        costs = exit_costs(pipe, sample, num_exits, args.cost_unit)
    scaled_on = first if args.temperature_scaling else None
    answers = exit_answers(pipe, run, costs, args.cost_unit, temperature_rows=scaled_on)
    min_exit = getattr(config, "min_frames", 1) - 1
    if args.per_exit:
        thresholds = searched_thresholds(answers.take(first), min_exit=min_exit)
        return answers.grid(config.criterion, thresholds), first, rest
    thresholds = shared_thresholds(
        config.criterion, num_exits, num_classes, count=args.num_points - 1, min_exit=min_exit
    )
    return answers.grid(config.criterion, thresholds), first[:0], rest


def family_grid(
    args: CalibrationArguments, pipe: Any, held_out: HeldOut
) -> tuple[PolicyGrid, Tensor, Tensor]:
    """The same of any other reader. Where its policies have an order, all rows test it."""
    policies, ordered = family_of(pipe.model.config)
    grid = read_grid(pipe, policies, held_out, args.cost_unit)
    num_rows = grid.losses_PN.shape[1]
    return grid, *split_rows(num_rows, 0.0 if ordered else args.choose_share, args.split_seed())


def chunk_grid(
    args: CalibrationArguments, pipe: Any, held_out: HeldOut
) -> tuple[PolicyGrid, Tensor, Tensor]:
    """The same of a ChunkReader: thresholds of three kinds have no order, so some rows find one."""
    if args.per_exit or args.temperature_scaling:
        raise ValueError("--per_exit and --temperature_scaling are for readers with fixed exits")
    grid = chunk_policies(pipe, held_out, args.cost_unit, args.num_levels)
    return grid, *split_rows(grid.losses_PN.shape[1], args.choose_share, args.split_seed())


def choose(args: CalibrationArguments, points: list[OperatingPoint]) -> OperatingPoint:
    """The point that was asked for."""
    if args.max_drop is not None and args.measured:
        return within_drop(points, args.max_drop)
    stored = [point.to_dict() for point in points]
    if args.max_drop is not None:
        chosen = points[stored.index(point_for_drop(stored, args.max_drop))]
        return replace(chosen, max_drop=args.max_drop)
    budget = args.budget
    if args.budget_cost is not None:
        budget = min(1.0, args.budget_cost / points[0].cost)
    assert budget is not None  # one of the three is given
    return points[stored.index(point_for_budget(stored, budget))]


def remember(folder: str, held_out: HeldOut) -> None:
    """Write down which rows the operating points were measured on, in place of the last ones.

    Where nothing is known of the training, that stays so: it is no record of an empty one.
    """
    seen = load_rows_seen(folder) or RowsSeen(training_known=False)
    seen.with_use("calibration", held_out.shown).save(folder)


def main() -> None:
    """Calibrate, save and print."""
    (args,) = HfArgumentParser(CalibrationArguments).parse_args_into_dataclasses()
    pipe = pipeline(f"{args.task}-classification", args.model, batch_size=args.batch_size)
    if pipe.model.config.num_labels == 1:
        raise SystemExit("num_labels (1): the answers of a regression are not right or wrong")
    held_out = read_held_out(args, pipe)
    risk = "disagreement" if held_out.labels is None else args.risk
    if risk == "disagreement":
        held_out = replace(held_out, labels=None)
    config = pipe.model.config
    points = measured_points(args, pipe, held_out, risk)
    try:
        chosen = choose(args, points)
    except ValueError as error:
        raise SystemExit(f"--{error}") from error

    stored = [(chosen if point.policy == chosen.policy else point).to_dict() for point in points]
    file = Path(args.model, "config.json")
    saved = json.loads(file.read_text())
    saved.update(chosen.policy)
    saved["operating_points"] = stored
    if hasattr(config, "temperatures"):
        saved["temperatures"] = config.temperatures
    remember(args.model, held_out)
    file.write_text(json.dumps(saved, indent=2) + "\n")
    print(
        json.dumps(
            {
                "rows": held_out.report,
                "chosen": chosen.to_dict(),
                "full": points[0].to_dict(),
                "stored": len(stored),
                "promise": promise(chosen.to_dict()),
            }
        )
    )


if __name__ == "__main__":
    main()
