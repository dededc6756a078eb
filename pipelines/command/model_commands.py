"""The part of the command line that is about one saved reader: calibrated, checked, described."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .faults import faults, plugins
from .shared_options import Debug

HELD_OUT = "--model DIR --data_file FILE ..."
OF_A_DATACLASS: dict[Any, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}
"""For commands whose options, `--help` among them, are parsed by `command.options`."""


def calibrate(context: typer.Context) -> None:
    """Choose how much a reader reads from held-out rows, and say what is certain (see --help)."""
    from .calibrate import calibrate_command
    from .options import print_report

    print_report(calibrate_command, context.args, "temporal calibrate")


def check(context: typer.Context) -> None:
    """Compare what was certified of a reader with what it does on new rows (see --help)."""
    from .calibrate import check_command
    from .options import print_report

    print_report(check_command, context.args, "temporal check", indent=2)


def card(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The folder of a saved reader.")],
    facts: Annotated[
        str | None,
        typer.Argument(
            metavar="[FACTS]", help="JSON: name, summary, units and facts, which no model knows."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write the model card of a calibrated reader beside it: what it costs, what is certain."""
    with faults(debug):
        from .card import card_command

        plugins()
        typer.echo(f"card: {card_command(model, facts)}")
