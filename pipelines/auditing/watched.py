"""From what `pipeline()` was asked to a pipeline that is audited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from temporal.auditing.signals import counts_of
from temporal.checks import num_classes
from temporal.models.operating_points import Point, apply_point
from temporal.models.stored_points import NEVER

from ..loading.loaded_model import LoadedModel, with_own_policy
from .audit import Audit, compared
from .others import Counts


def audit_of(audit: float | Audit | None, max_disagreement: float | None) -> Audit:
    """The audit that is asked for.

    Raises:
        ValueError: an argument is out of its range, or `max_disagreement` is said twice.
    """
    if not isinstance(audit, Audit):
        return Audit(0.0 if audit is None else audit, max_disagreement=max_disagreement)
    if max_disagreement is not None:
        raise ValueError(
            f"max_disagreement ({max_disagreement}) belongs to the Audit that is given: "
            "Audit(share, max_disagreement=...)"
        )
    return audit


def watched(
    pipe: Any, whole: LoadedModel, audit: Audit, make: Callable[[LoadedModel], Any]
) -> None:
    """Have a pipeline audited.

    Args:
        pipe: it, which reads by its budget, drop or policy.
        whole: the model before anything was chosen of it.
        audit: with its share.
        make: makes a pipeline of the same options.

    Raises:
        ValueError: a share is to be read in full, and the reader has no full reading, or answers
            with numbers, which are not the same or different.
    """
    if audit.share:
        full = _in_full(pipe, whole, audit.share, make)
        is_full = _settings(full.model.config.to_dict()) == _settings(pipe.model.config.to_dict())
        audit.full = None if is_full else (full.reader, full.model)
    audit.compare_with(stored_of(pipe))
    audit.at_calibration = differing_at_calibration(pipe)
    pipe.audit = audit


def compare_with_calibration(pipe: Any) -> None:
    """Have a pipeline without an audit compare its inputs with what calibration stored of its own.

    That reads nothing twice; where nothing is stored it does nothing.
    """
    if getattr(pipe, "audit", None) is None and (stored := stored_of(pipe)):
        pipe.audit = Audit(0.0)
        pipe.audit.compare_with(stored)


def stored_of(pipe: Any) -> dict[str, list[int]]:
    """What calibration stored of readings at the operating point that a pipeline runs at.

    Empty where it runs at none, or where the calibration is older and stored nothing.
    """
    return counts_of((_point_of(pipe) or {}).get("read_like") or {})


def differing_at_calibration(pipe: Any) -> Counts | None:
    """Inputs that calibration read both ways at this operating point; None: it noted none."""
    point = _point_of(pipe) or {}
    if not point.get("num_read"):
        return None
    return Counts(audited=point["num_read"], disagreed=point["num_differing"])


def _point_of(pipe: Any) -> Point | None:
    config = getattr(getattr(pipe, "model", None), "config", None)
    for point in getattr(config, "operating_points", None) or ():
        if all(getattr(config, name, None) == value for name, value in point["policy"].items()):
            return dict(point)
    return None


def _settings(value: Any) -> Any:
    """Values of a configuration, in which no thresholds and such that nothing reaches are alike."""
    if isinstance(value, Mapping):
        return {name: _settings(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        never = all(isinstance(one, int | float) and one >= NEVER for one in value)
        return None if never else [_settings(one) for one in value]
    return value


def _in_full(
    pipe: Any, whole: LoadedModel, share: float, make: Callable[[LoadedModel], Any]
) -> Any:
    config = pipe.model.config
    if pipe.record.has_labels and num_classes(config) == 1:
        raise ValueError(
            f"audit ({share}) counts answers that differ, and those of a regression (num_labels 1) "
            "are numbers: leave it out"
        )
    if not compared(pipe.record.columns):
        raise ValueError(
            f"audit ({share}) counts answers that differ, and those of task {pipe.task} are "
            "numbers: leave it out"
        )
    full = make(with_own_policy(whole))
    try:
        apply_point(full.model.config, {"policy": full.reader.full_policy()})
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"audit ({share}) compares with the full reading, and none is known of "
            f"{type(pipe.reader).__name__}: {error}"
        ) from error
    return full
