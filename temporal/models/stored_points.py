"""Operating points as a configuration stores them, checked before anything runs by them.

A configuration is a file that anybody may have written. A point may set the policy of its reader
and nothing else, to values that the policy can have.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, NoReturn

import torch
from transformers import PreTrainedConfig

from ..checks import num_classes
from .halting import check_criterion

NEVER = 1e9
"""A threshold that no certainty reaches; JSON has no infinity."""
_ROUNDING = 1e-3
_MOST_JUMPS = 1_000_000


def check_points(config: PreTrainedConfig) -> None:
    """Raise ValueError unless a configuration's operating points are some that its reader can run.

    The message names the point, counted from 0, and the field.
    """
    points = getattr(config, "operating_points", None)
    if points is None:
        return
    if not isinstance(points, list | tuple):
        raise ValueError(f"operating_points ({points!r}) must be a list of points, or None")
    for k, point in enumerate(points):
        _check_point(config, point, f"operating_points[{k}]")


_ONE = 1.0 + 1e-9  # shares of an accuracy are rounded, and may add up to a little more


def _check_point(config: PreTrainedConfig, point: Any, where: str) -> None:
    if not isinstance(point, Mapping):
        raise ValueError(f"{where} ({point!r}) must hold fields: policy, cost_share, accuracy ...")
    if not _is_number(point.get("cost_share"), 0.0, math.inf):
        _refuse(where, "cost_share", point, "a finite number >= 0")
    if point.get("accuracy") is not None and not _is_number(point["accuracy"], -1.0, _ONE):
        _refuse(where, "accuracy", point, "a number up to 1")
    if point.get("risk") is not None:
        for name in ("drop_bound", "drop_bound_all"):
            is_due = name == "drop_bound" or point.get(name) is not None
            if is_due and not _is_number(point.get(name), -1.0, math.inf):
                _refuse(where, name, point, "a finite number")
    dtype = point.get("dtype")
    known = isinstance(dtype, str) and isinstance(getattr(torch, dtype, None), torch.dtype)
    if dtype is not None and not (known and getattr(torch, dtype).is_floating_point):
        _refuse(where, "dtype", point, "one of torch's floating-point types, e.g. 'bfloat16'")
    if not isinstance(point.get("weights", ""), str):
        _refuse(where, "weights", point, "the digest of the weights that it was measured on")
    policy = point.get("policy")
    if not isinstance(policy, Mapping):
        _refuse(where, "policy", point, "fields of the reader's policy and their values")
    fields: tuple[str, ...] = getattr(config, "policy_fields", ())
    own = copy.copy(config)
    for name in policy:
        if name not in fields:
            raise ValueError(
                f"{where}: policy sets {name!r}, which is no part of the policy of a "
                f"{config.model_type}: that is {list(fields)}"
            )
    # The criterion says what thresholds mean, so it goes first.
    for name in sorted(policy, key=lambda name: name != "criterion"):
        of_its_own = (partial(_could_be_made, name), "a value that the configuration takes")
        check, rule = _FIELDS.get(name, of_its_own)
        try:
            is_right = check(own, policy[name])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: policy: {error}") from error
        if not is_right:
            rule = rule.format(exits=_num_thresholds(own))
            _refuse(f"{where}: policy", name, policy, rule)
        setattr(own, name, policy[name])


def _refuse(where: str, name: str, values: Mapping[str, Any], rule: str) -> NoReturn:
    given = f"({values[name]!r})" if name in values else "is missing: it"
    raise ValueError(f"{where}: {name} {given} must be {rule}; calibrate the reader again")


def _is_number(value: Any, low: float, high: float) -> bool:
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and low <= value <= high


def _is_count(value: Any, fewest: int) -> bool:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    return is_whole and fewest <= value <= _MOST_JUMPS


def _num_thresholds(config: Any) -> int | None:
    """Exits that have a threshold; None where there is no fixed number of them."""
    count = getattr(config, "num_exits", None)
    return None if count is None else count - 1


def _are_thresholds(config: Any, values: Any) -> bool:
    if values is None:
        return True
    if not isinstance(values, list | tuple):
        return False
    count = _num_thresholds(config)
    fits = len(values) == count if count is not None else len(values) >= 1
    return fits and all(_is_threshold(config.criterion, value) for value in values)


def _is_threshold(criterion: str, value: Any) -> bool:
    if _is_number(value, NEVER, NEVER):
        return True
    highest = NEVER if criterion == "patience" else 1 + _ROUNDING
    return _is_number(value, -_ROUNDING, highest)


def _are_depth_thresholds(config: Any, values: Any) -> bool:
    if values is None:
        return True
    # Of what has an encoder with exits inside, that one's count.
    encoder = config.encoder_config() if hasattr(config, "encoder_config") else config
    exits = getattr(encoder, "exit_layers", None) or [0]
    return (
        isinstance(values, list | tuple)
        and len(values) == len(exits) - 1
        and all(_is_threshold(encoder.criterion, value) for value in values)
    )


def _are_temperatures(config: Any, values: Any) -> bool:
    if values is None:
        return True
    is_list = isinstance(values, list | tuple) and len(values) == _num_thresholds(config)
    return is_list and all(_is_number(value, 1e-6, 1e6) for value in values)


def _is_criterion(config: Any, value: Any) -> bool:
    if not isinstance(value, str) or num_classes(config) < 1:
        return False
    check_criterion(config, value)
    return True


def _is_share(config: Any, value: Any) -> bool:
    return _is_number(value, 0.0, 1.0)


def _could_be_made(name: str, config: Any, value: Any) -> bool:
    """Whether a configuration could have been made with this value of a field of its own."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    fields = {**config.to_dict(), "operating_points": None, name: value}
    try:
        made = type(config).from_dict(fields)
    except Exception as error:  # of transformers' type checks, or of the configuration's own
        told = " ".join(str(error).split())
        raise ValueError(f"{name} ({value!r}) is refused by the configuration: {told}") from error
    return getattr(made, name) == value


_FIELDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "read_threshold": (_is_share, "a number between 0 and 1"),
    "stop_threshold": (_is_share, "a number between 0 and 1"),
    "halt_threshold": (_is_share, "a number between 0 and 1"),
    "max_share": (_is_share, "a number between 0 and 1"),
    "keep_share": (_is_share, "a number between 0 and 1"),
    "token_threshold": (
        lambda _, value: value is None or _is_number(value, 0.0, math.inf),
        "None or a number >= 0",
    ),
    "tokens_between_jumps": (lambda _, value: _is_count(value, 1), "a whole number >= 1"),
    "max_jumps": (lambda _, value: _is_count(value, 0), "a whole number >= 0"),
    "tokens_between_decisions": (lambda _, value: _is_count(value, 0), "a whole number >= 0"),
    "criterion": (_is_criterion, "the name of a criterion"),
    "thresholds": (
        _are_thresholds,
        "None or a list of certainties that the criterion can have (1e9: never), one for each exit "
        "before the last (here: {exits})",
    ),
    "depth_thresholds": (
        _are_depth_thresholds,
        "None or a list of certainties that the encoder's criterion can have (1e9: never), one for "
        "each of its exits before the last",
    ),
    "temperatures": (_are_temperatures, "None or a list of numbers > 0, one for each threshold"),
}
"""By field that readers share, what a value must be. What another field may be, its reader's
configuration says when it is made."""
