"""`python -m temporal`, and the `temporal` script: the way into the command line.

The command line imports torch and transformers, which takes seconds. A signal in that time ends the
process as it does later, with the code of a run that can be resumed: so this module imports nothing
but that before.
"""

from __future__ import annotations

import os

from .stopping import handling, leave_at_once


def main() -> None:
    """Run the command line."""
    _open_closed_streams()
    with handling(leave_at_once):
        from .pipelines.command.cli import main as run

        run()


def _open_closed_streams() -> None:
    """Lead closed streams (`2>&-`) nowhere: the next file opened would get their messages."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


if __name__ == "__main__":
    main()
