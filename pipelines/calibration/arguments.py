"""Options of a calibration and of a check: a saved reader, rows, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass

from ..held_out.arguments import HeldOutArguments
from .options import CalibrationOptions, CheckOptions


@dataclass
class CalibrationArguments(CalibrationOptions, HeldOutArguments):
    """A reader, held-out rows, and to what to calibrate."""

    def __post_init__(self) -> None:
        HeldOutArguments.__post_init__(self)
        CalibrationOptions.__post_init__(self)


@dataclass
class CheckArguments(CheckOptions, HeldOutArguments):
    """A calibrated reader, new rows, and which operating point to check."""

    def __post_init__(self) -> None:
        HeldOutArguments.__post_init__(self)
        CheckOptions.__post_init__(self)
