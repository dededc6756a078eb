"""Options of a calibration and of a check: a saved reader, rows, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass

from ..held_out.arguments import HeldOutArguments
from .options import CalibrationOptions, CheckOptions


@dataclass
class CalibrationArguments(CalibrationOptions, HeldOutArguments):
    """Choose how much a reader reads from held-out rows, and say what is certain of it."""

    def __post_init__(self) -> None:
        HeldOutArguments.__post_init__(self)
        CalibrationOptions.__post_init__(self)


@dataclass
class CheckArguments(CheckOptions, HeldOutArguments):
    """Compare what was certified of a calibrated reader with what it does on new rows."""

    def __post_init__(self) -> None:
        HeldOutArguments.__post_init__(self)
        CheckOptions.__post_init__(self)
