"""The part of a configuration that says when a reader halts, and the budgets it was calibrated to.

An operating point is one way to run a reader: values for its policy fields, with the cost and the
accuracy that were measured with them on held-out data. `calibrate` stores a frontier of points in
the configuration; `budget=` picks one at call time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedConfig

from ..policies.halt import CRITERIA, FOR_REGRESSION, criterion
from .checks import check_in, check_range, num_classes
from .learned_criteria import LEARNED_CRITERIA


def check_halting(config: PreTrainedConfig, num_exits: int) -> None:
    """Raise ValueError unless `criterion` and `thresholds` fit a reader with so many exits."""
    check_criterion(config, config.criterion)
    if config.thresholds is not None and len(config.thresholds) != num_exits - 1:
        raise ValueError(
            f"thresholds ({config.thresholds}) must hold one number for each of the "
            f"{num_exits - 1} exits before the last"
        )


def check_criterion(config: PreTrainedConfig, name: str, parameter: str = "criterion") -> None:
    """Raise ValueError unless a reader has this criterion and it means something there."""
    learned = getattr(config, "learned_criteria", None) or []
    if name in LEARNED_CRITERIA and name not in learned:
        raise ValueError(
            f"{parameter} ({name!r}) is learned, and this reader's learned_criteria are {learned}: "
            f"train it with scripts/finetune_text.py --learned_criteria {name}"
        )
    check_in(parameter, name, [*CRITERIA, *learned])
    if num_classes(config) > 1 or name in learned:
        return
    meaningful = [*FOR_REGRESSION, *LEARNED_CRITERIA]
    if name not in meaningful:
        raise ValueError(
            f"{parameter} ({name!r}) needs probabilities, and a regression has none: it must be "
            f"one of {meaningful}"
        )
    if name == "patience" and not config.tolerance > 0:
        raise ValueError(
            f"tolerance ({config.tolerance}) must be > 0 for patience in regression: outputs that "
            "differ by less agree"
        )


def certainty(config: PreTrainedConfig, logits_EBK: Tensor) -> Tensor:
    """How certain the newest exit is, by the configuration's criterion, not a learned one: `[B]`.

    Args:
        config: with `criterion` and the settings of it.
        logits_EBK: the exits so far, E >= 1, the newest of which is not the last one.
    """
    return criterion(config.criterion, **vars(config))(logits_EBK)


def threshold_of(thresholds: Sequence[float] | None, exit: int) -> float:
    """The certainty at which an exit before the last answers; without thresholds none does."""
    return float("inf") if thresholds is None else thresholds[exit]


def certainty_reached(config: PreTrainedConfig, logits_EBK: Tensor) -> Tensor:
    """Where the newest exit may answer: bool `[B]`. The last exit is not asked: it always does.

    Args:
        config: with `criterion` and `thresholds`.
        logits_EBK: the exits so far, E >= 1.
    """
    return certainty(config, logits_EBK) >= threshold_of(config.thresholds, len(logits_EBK) - 1)


def choose_point(points: list[dict[str, Any]] | None, budget: float) -> dict[str, Any]:
    """The most accurate operating point whose cost share is within the budget.

    Args:
        points: `{"cost_share": float, "accuracy": float, "policy": {field: value}}` each.
        budget: share of the full cost that may be spent, 0 to 1.

    Raises:
        ValueError: the budget is not in [0, 1], nothing was calibrated, or no point is so cheap.
    """
    check_range("budget", budget, 0.0, 1.0)
    if not points:
        raise ValueError(
            f"budget ({budget}) needs a calibrated reader, and this one stores no operating "
            "points: run scripts/calibrate.py on held-out data first, or leave budget=None"
        )
    # Half a percent of grace: the shares were measured on other inputs.
    affordable = [point for point in points if point["cost_share"] <= budget + 0.005]
    if not affordable:
        cheapest = min(point["cost_share"] for point in points)
        raise ValueError(
            f"budget ({budget}) must be at least {cheapest:.3f}, "
            "the cheapest operating point that was calibrated"
        )
    return max(affordable, key=lambda point: (point["accuracy"], -point["cost_share"]))


def apply_budget(config: PreTrainedConfig, budget: float) -> dict[str, Any]:
    """Set the policy fields of a configuration to the operating point for a budget.

    Returns:
        The point that was chosen.
    """
    point = choose_point(config.operating_points, budget)
    for field, value in point["policy"].items():
        setattr(config, field, value)
    return point


def set_criterion(config: PreTrainedConfig, name: str, threshold: float | None) -> None:
    """Set one criterion and one threshold for all exits of a configuration.

    Raises:
        ValueError: the name is not a criterion, or the configuration has no exits.
    """
    if not hasattr(config, "thresholds"):
        raise ValueError(
            f"policy ({name!r}) needs a reader with exits; {config.model_type} has none"
        )
    check_criterion(config, name, "policy")
    exits = getattr(config, "exit_layers", None)
    num_exits = len(exits) if exits else config.num_frames
    config.criterion = name
    config.thresholds = None if threshold is None else [float(threshold)] * (num_exits - 1)
