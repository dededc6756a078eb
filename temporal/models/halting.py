"""The part of a configuration that says when a reader halts, and how certain it then is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..checks import check_in, check_threshold, chooses_one_class, num_classes
from ..policies.halt import CRITERIA, FOR_REGRESSION, criterion
from .depth.learned_criteria import LEARNED_CRITERIA


def check_halting(config: PreTrainedConfig, num_exits: int) -> None:
    """Raise ValueError unless criterion, thresholds and temperatures fit so many exits."""
    check_criterion(config, config.criterion)
    for name in ("thresholds", "temperatures"):
        values = getattr(config, name)
        if values is not None and len(values) != num_exits - 1:
            raise ValueError(
                f"{name} ({values}) must hold one number for each of the "
                f"{num_exits - 1} exits before the last"
            )
    if config.temperatures is not None and min(config.temperatures, default=1.0) <= 0:
        raise ValueError(f"temperatures ({config.temperatures}) must be > 0")


def check_criterion(config: PreTrainedConfig, name: str, parameter: str = "criterion") -> None:
    """Raise ValueError unless a reader has this criterion and it means something there."""
    learned = getattr(config, "learned_criteria", None) or []
    if name in LEARNED_CRITERIA and name not in learned:
        raise ValueError(
            f"{parameter} ({name!r}) is learned, and this reader's learned_criteria are {learned}: "
            "train it with scripts/finetune_text.py --regime criteria --reader_options "
            f"'{json.dumps({'learned_criteria': [*learned, name]})}'"
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


def certainty_rule(config: PreTrainedConfig) -> Callable[[Tensor], Tensor]:
    """How certain the newest exit is, by the configuration's criterion, not a learned one.

    Each exit's logits are divided by its temperature first, so that one threshold asks the same of
    all exits (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2).
    That moves no answer, and only the criterion sees it: what the reader returns is the exit's
    own, so that with nothing halted it stays the dense model's.

    Args:
        config: with `criterion` and the settings of it, and `temperatures`.

    Returns:
        `logits_EBK -> certainty_B`, of the exits so far, E >= 1, the newest of which is not the
        last one.
    """
    exits = getattr(config, "num_exits", None)  # often a property
    rule = criterion(config.criterion, **{**vars(config), "num_exits": exits})
    temperatures = config.temperatures
    if temperatures is None:
        return rule

    def cooled(logits_EBK: Tensor) -> Tensor:
        divisors_E = logits_EBK.new_tensor(temperatures[: len(logits_EBK)])
        return rule(logits_EBK / divisors_E[:, None, None])

    return cooled


def certainty(config: PreTrainedConfig, logits_EBK: Tensor) -> Tensor:
    """`certainty_rule` asked once: `[B]`."""
    return certainty_rule(config)(logits_EBK)


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


def confidences(config: PreTrainedConfig, logits: Sequence[Tensor]) -> list[float]:
    """The likeliest class's probability at exits of one source, for its trace.

    Args:
        config: of the reader.
        logits: `[1, K]` of each exit.

    Returns:
        One for each exit; none where no class is chosen (a regression, several labels).
    """
    if not chooses_one_class(config):
        return []
    told: list[float] = torch.cat(list(logits)).float().softmax(-1).amax(-1).tolist()
    return told


def set_criterion(config: PreTrainedConfig, name: str, threshold: float | None) -> None:
    """Set one criterion and one threshold for all exits of a configuration.

    Raises:
        ValueError: the name is not a criterion, the threshold is not a finite number, or the
            configuration has no exits.
    """
    if not hasattr(config, "thresholds"):
        raise ValueError(
            f"policy ({name!r}) needs a reader with exits; {config.model_type} has none"
        )
    check_criterion(config, name, "policy")
    check_threshold(name, threshold)
    config.criterion = name
    config.thresholds = None if threshold is None else [float(threshold)] * (config.num_exits - 1)
