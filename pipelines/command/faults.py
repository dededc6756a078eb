"""What the command line does with exceptions: a sentence on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

INTERNAL, USAGE, BAD_INPUTS, STOPPED = 1, 2, 3, 75
"""Exit codes; see `cli`. `BAD_INPUTS`: an input is bad, whatever was to become of it."""


class UsageFault(Exception):
    """What was asked for cannot be done; the message names the next step."""


class StoppedFault(Exception):
    """The run ended early in a way that `--resume` can go on from."""


@contextmanager
def faults(debug: bool) -> Iterator[None]:
    """Turn exceptions into a sentence on stderr and an exit code."""
    try:
        yield
    except typer.Exit:
        raise
    except StoppedFault as error:
        raise _end(f"{error}; go on with --resume", STOPPED, debug) from error
    except Exception as error:
        from ..jobs.manifest import OutputRefused

        if isinstance(error, UsageFault | OutputRefused):
            raise _end(str(error), USAGE, debug) from error
        name = type(error).__name__
        hint = "" if debug else " (--debug shows where)"
        raise _end(f"{name}: {error}{hint}", INTERNAL, debug) from error


def plugins() -> None:
    """Import the plugins; one that cannot be used is a line on stderr."""
    from ..plugins import load_plugins

    load_plugins(lambda sentence: typer.echo(f"warning: {sentence}", err=True))


class Refused(ValueError):
    """A script cannot do what was asked of it; the message names the next step."""


@contextmanager
def refusals() -> Iterator[None]:
    """What options, files or data a script cannot use, before its work begins.

    Raises:
        Refused: instead of ValueError and OSError, with what they say.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error


@contextmanager
def ended_by(*kinds: type[Exception], code: int = INTERNAL) -> Iterator[None]:
    """End a script with what these exceptions say, on stderr; others keep their traceback.

    Raises:
        SystemExit: with the exit code; of 1 with the sentence, which Python prints.
    """
    try:
        yield
    except kinds as error:
        if code == INTERNAL:
            raise SystemExit(str(error)) from error
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(code) from error


def _end(message: str, code: int, debug: bool) -> typer.Exit:
    if debug:
        import traceback

        traceback.print_exc()
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(code)
