"""`temporal calibrate` and `temporal check`: from options to a report, for scripts as well."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from temporal.models.rows_seen import Use

from ..calibration.arguments import CalibrationArguments, CheckArguments
from ..calibration.run import run_calibration, run_check
from ..held_out.rows import read_held_out
from ..tasks.registry import RECORDS
from .faults import plugins
from .options import parsed

_NEW: tuple[Use, ...] = ("training", "selection", "calibration")
"""Rows that were used so for a reader check nothing."""


def calibrate_command(options: Sequence[str] | None = None, prog: str | None = None) -> Any:
    """Calibrate, and save what was found.

    Args:
        options: as on a command line, by default that of this process.
        prog: its name in the help.

    Returns:
        The report, in plain values.
    """
    plugins()  # --task may name one of theirs
    own = RECORDS.get(_task_in(options))
    if own is not None and own.calibration:
        return own.find("calibration")(options, prog)
    args = parsed(CalibrationArguments, options, prog)
    return run_calibration(
        args.record.name,
        args.model,
        args,
        lambda pipe: read_held_out(args, pipe),
        seed=args.split_seed(),
        batch_size=args.batch_size,
    )


def check_command(options: Sequence[str] | None = None, prog: str | None = None) -> Any:
    """Compare what was certified with what happens on new rows; see `calibrate_command`."""
    plugins()  # --task may name one of theirs
    own = RECORDS.get(_task_in(options))
    if own is not None and own.check:
        return own.find("check")(options, prog)
    args = parsed(CheckArguments, options, prog)
    return run_check(
        args.record.name,
        args.model,
        args,
        lambda pipe: read_held_out(args, pipe, _NEW),
        batch_size=args.batch_size,
    )


def _task_in(options: Sequence[str] | None) -> str:
    """The task that a command line names; "": none."""
    words = sys.argv[1:] if options is None else list(options)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name == "--task":
            return value or following
    return ""
