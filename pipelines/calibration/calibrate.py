"""Choose how much a reader reads from held-out inputs, and say what is certain.

The reader says what may be turned (`policy_space`) and what it would answer (`answers`);
`temporal.training.calibration` says what the bounds promise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from temporal.checks import num_classes
from temporal.models.every_exit import EveryExit
from temporal.models.halting import check_criterion
from temporal.models.operating_points import point_for_budget, point_for_drop
from temporal.models.policy_space import Answers
from temporal.models.rows_seen import RowsSeen, Shown, load_rows_seen
from temporal.models.weights import digest_of_weights
from temporal.training.calibration import (
    OperatingPoint,
    PolicyGrid,
    operating_points,
    split_rows,
    within_drop,
)
from temporal.training.model_card import promise
from temporal.training.policy_grids import (
    fit_exit_temperatures,
    read_grid,
    replayed_grid,
    searched_grid,
    with_real_costs,
)

from ..held_out.faulty import check_read
from ..jobs.store.durable import write_durably
from ..loading.dtypes import dtype_of
from .offered import Offered, exit_costs, read_at
from .options import CalibrationOptions
from .readings_seen import ReadingsSeen, spread_sample


class CannotCalibrate(ValueError):
    """There is nothing to choose for this reader, or what was asked for cannot be had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What a calibration found."""

    points: list[OperatingPoint]
    """The full reading first."""
    chosen: OperatingPoint
    """One of the points; that for a `max_drop` carries it."""
    fields: dict[str, Any]
    """What else of the configuration was fitted."""
    unread: int = 0
    """Inputs that could not be read, and were left out."""
    dtype: str = "float32"
    """What the reader ran in."""

    def report(self, rows: dict[str, Any]) -> dict[str, Any]:
        """In plain values, with what is known of the rows."""
        return {
            "rows": {**rows, "unread": self.unread} if self.unread else rows,
            "chosen": self.chosen.to_dict(),
            "full": self.points[0].to_dict(),
            "stored": len(self.points),
            "promise": promise(self.chosen.to_dict()),
        }


def check_answers(config: Any) -> None:
    """Raise CannotCalibrate unless a reader's answers can be right or wrong."""
    if num_classes(config) == 1:
        raise CannotCalibrate("num_labels (1): the answers of a regression are not right or wrong")


def calibrate(
    pipe: Any,
    inputs: Sequence[Any],
    labels_N: Tensor | None,
    options: CalibrationOptions,
    *,
    seed: int,
) -> Calibration:
    """Calibrate a pipeline's reader; its configuration is left at whatever policy was tried last.

    Args:
        pipe: of any task.
        inputs: N, which the reader has not seen.
        labels_N: int64 class numbers of the reader; None: the full reading's answers stand in.
        options: what it is calibrated to.
        seed: of the split into rows that choose and rows that test.

    Returns:
        The points with their bounds, and the chosen one; `save_calibration` stores them.

    Raises:
        CannotCalibrate: nothing may be turned on the reader, or no point meets the goal.
        ValueError: an option is not for this reader, or too many inputs cannot be read.
    """
    check_answers(pipe.model.config)
    risk = "disagreement" if labels_N is None else options.risk
    if risk == "disagreement":
        labels_N = None
    points, fields, unread = measured_points(pipe, inputs, labels_N, options, risk=risk, seed=seed)
    try:
        chosen = choose(points, options)
    except ValueError as error:
        raise CannotCalibrate(f"--{error}") from error
    points = [chosen if point.policy == chosen.policy else point for point in points]
    dtype = str(dtype_of(pipe.model)).removeprefix("torch.")
    return Calibration(points=points, chosen=chosen, fields=fields, unread=unread, dtype=dtype)


def measured_points(
    pipe: Any,
    inputs: Sequence[Any],
    labels_N: Tensor | None,
    options: CalibrationOptions,
    *,
    risk: str,
    seed: int,
) -> tuple[list[OperatingPoint], dict[str, Any], int]:
    """Points with bounds, other fields that were fitted, and how many inputs cannot be read."""
    config = pipe.model.config
    turned = getattr(config, "policy_fields", ())
    if options.criterion is not None:
        if "criterion" not in turned:
            raise ValueError(
                f"--criterion ({options.criterion}) is for readers with exits, and "
                f"{config.model_type} has none"
            )
        check_criterion(config, options.criterion, "--criterion")
        config.criterion = options.criterion
    if "temperatures" in turned:
        config.temperatures = None
    space = pipe.reader.policy_space()
    try:
        policies = space.policies(num_points=options.num_points, num_levels=options.num_levels)
    except ValueError as error:
        raise CannotCalibrate(str(error)) from error
    chooses = options.per_exit or options.temperature_scaling
    how: dict[str, Any] = {
        "count": options.num_points,
        "risk": risk,
        "confidence": options.confidence,
    }
    offered = Offered(pipe, inputs)
    answers = pipe.reader.answers(offered, batch_size=pipe.batch_size)
    if chooses and not isinstance(answers, EveryExit):
        raise ValueError("--per_exit and --temperature_scaling are for readers with fixed exits")
    share = options.choose_share if chooses or not space.ordered else 0.0
    seen = ReadingsSeen()
    if answers is None:  # it must be read under each policy
        read = partial(read_at, pipe, inputs=inputs, unit=options.cost_unit, told=set(), seen=seen)
        grid = read_grid(read, policies, labels_N, options.cost_unit)
        count = grid.losses_PN.shape[1]
        unread = check_read(count, len(inputs))
        first, rest = split_rows(count, share, seed)
        return seen.added_to(operating_points(grid, first, rest, **how)), {}, unread
    kept = _kept(offered, answers)
    unread = check_read(len(kept), len(inputs))
    labels_N = None if labels_N is None else labels_N[torch.tensor(kept)]
    sample = [inputs[k] for k in spread_sample(kept, options.cost_samples, seed)]
    first, rest = split_rows(len(kept), share, seed)
    fields: dict[str, Any] = {}
    if isinstance(answers, EveryExit):
        grid = _exit_grid(pipe, answers, policies, labels_N, options, first, sample)
        fields["temperatures"] = config.temperatures
        if not options.per_exit:  # the policies have an order
            first = first[:0]
    else:
        grid = replayed_grid(answers, policies, labels_N, options.cost_unit)
    points = operating_points(grid, first, rest, **how)
    read = partial(read_at, pipe, inputs=sample, unit=options.cost_unit, seen=seen)
    return seen.added_to(with_real_costs(read, points)), fields, unread


def _exit_grid(
    pipe: Any,
    answers: EveryExit,
    policies: Sequence[dict[str, Any]],
    labels_N: Tensor | None,
    options: CalibrationOptions,
    first: Tensor,
    sample: Sequence[Any],
) -> PolicyGrid:
    costs_E: list[float] = []
    if options.per_exit:  # the search needs to know them better
        costs_E = exit_costs(
            pipe, policies[0], sample, options.cost_unit, min_exit=answers.min_exit
        )
    if options.temperature_scaling:
        pipe.model.config.temperatures = fit_exit_temperatures(answers, labels_N, first)
    if not options.per_exit:
        return replayed_grid(answers, policies, labels_N, options.cost_unit)
    return searched_grid(
        answers, labels_N, first, full=policies[0], costs_E=costs_E, cost_unit=options.cost_unit
    )


def _kept(offered: Offered, answers: Answers) -> list[int]:
    """Numbers of the inputs that were read in full; of others it is said why they were not."""
    for name, why in offered.left_out(answers.faults):
        print(f"left out {name[:300]}: {why}", file=sys.stderr)
    return [offered.positions[k] for k in answers.rows]


def choose(points: list[OperatingPoint], options: CalibrationOptions) -> OperatingPoint:
    """The point that was asked for."""
    if options.max_drop is not None and options.measured:
        return within_drop(points, options.max_drop)
    stored = [point.to_dict() for point in points]
    if options.max_drop is not None:
        chosen = points[stored.index(point_for_drop(stored, options.max_drop))]
        return replace(chosen, max_drop=options.max_drop)
    budget = options.budget
    if options.budget_cost is not None:
        budget = min(1.0, options.budget_cost / points[0].cost)
    assert budget is not None  # one of the three is given
    return points[stored.index(point_for_budget(stored, budget))]


def save_calibration(folder: str | Path, calibration: Calibration, shown: Shown) -> None:
    """Make the chosen policy that of a saved reader, and store all points beside it.

    The points are those of the weights beside them, whose digest they carry (`weights`).
    Which rows they were measured on is written down in place of the last ones. Where nothing is
    known of the training, that stays so: it is no record of an empty one.

    Args:
        folder: of the reader.
        calibration: of it.
        shown: the rows.
    """
    file = Path(folder, "config.json")
    saved = json.loads(file.read_text())
    saved.update(calibration.chosen.policy)
    told = {"dtype": calibration.dtype}
    weights = digest_of_weights(Path(folder))
    if weights is not None:  # they are in no installed package
        told["weights"] = weights
    saved["operating_points"] = [point.to_dict() | told for point in calibration.points]
    saved.update(calibration.fields)
    seen = load_rows_seen(folder) or RowsSeen(training_known=False)
    seen.with_use("calibration", shown).save(folder)
    text = json.dumps(saved, indent=2) + "\n"
    write_durably(file, lambda opened: opened.write(text.encode()))
