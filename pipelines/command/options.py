"""Commands whose options are the fields of a dataclass, as those of the scripts are."""

from __future__ import annotations

import json
from argparse import Action, ArgumentDefaultsHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any

import typer
from transformers import HfArgumentParser

from .faults import BAD_INPUTS, UsageFault, faults


class _Help(ArgumentDefaultsHelpFormatter):
    """Tells defaults, but for those that are None: the help says in words what these mean."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def parsed(arguments: Any, options: Sequence[str] | None = None, prog: str | None = None) -> Any:
    """An instance of a dataclass from a command line.

    Args:
        arguments: the dataclass; its fields have their help in `metadata`.
        options: words of the command line, `--max_drop` or `--max-drop`; default: this process's.
        prog: the command's name in its help.

    Raises:
        ValueError: a word is no option, or a value is not one that the option has.
        SystemExit: the help was asked for, or a value has the wrong type.
    """
    names = {} if prog is None else {"prog": prog}
    parser = HfArgumentParser(
        arguments, description=arguments.__doc__, formatter_class=_Help, **names
    )
    words = None if options is None else list(options)
    args, left = parser.parse_args_into_dataclasses(words, return_remaining_strings=True)
    if left:
        raise ValueError(f"no such option: {' '.join(left)}; {parser.prog} --help lists them")
    return args


def print_report(
    command: Callable[[Sequence[str], str], Any], words: Sequence[str], prog: str, **layout: Any
) -> None:
    """Run a command and print its report as JSON.

    The exit code says whether rows were left out for their faults; those that the reader had seen
    are at no fault. What is asked for and cannot be done ends it with a sentence and the exit code
    of a usage fault.

    Args:
        command: takes words of a command line and its name.
        words: with `--debug`, tracebacks are shown.
        prog: the name.
        **layout: of `json.dumps`.
    """
    with faults("--debug" in words):
        try:
            report = command([word for word in words if word != "--debug"], prog)
        except (ValueError, OSError) as error:
            raise UsageFault(str(error)) from error
        except SystemExit as error:
            if isinstance(error.code, str):
                raise UsageFault(error.code) from error
            raise
        typer.echo(json.dumps(report, **layout))
        if _has_faulty(report):
            raise typer.Exit(BAD_INPUTS)


def _has_faulty(report: Any) -> bool:
    """Whether a report names rows that cannot be used, or inputs that cannot be read."""
    rows = report.get("rows") or {}
    unread = rows.get("unread") or report.get("unread")
    return bool(unread or rows.get("faulty") or report.get("left_out"))
