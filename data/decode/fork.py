"""What a forked child may not use: decoders, file positions and workers of its parent."""

from __future__ import annotations

import os
from typing import Any

from ..places.content import Content

_INHERITED: list[Any] = []  # decoders of a parent process, kept from being collected in a fork


def leave_to_parent(*held: Any) -> None:
    """Keep what the parent opened, unused: closing or collecting its decoders can deadlock."""
    _INHERITED.append(held)


def check_crosses_fork(source: Any, name: str) -> None:
    """Refuse a file object that a parent process opened.

    Raises:
        RuntimeError: It is one: both processes would move its one position.
    """
    if not isinstance(source, str | os.PathLike | bytes | Content):
        raise RuntimeError(
            f"video {name!r} was opened from a file object in another process, which shares "
            "that file's position; give its path or its bytes instead"
        )


def check_own_process(process: int, what: str) -> None:
    """Refuse what only the process that made it can use.

    Comes before any lock is taken: in a forked child, it may be held by a thread that is gone.

    Args:
        process: Id of the process that made it.
        what: How the message calls it.

    Raises:
        RuntimeError: This is another process.
    """
    if process != os.getpid():
        raise RuntimeError(
            f"{what} was made in process {process} and works only there, for its threads are not "
            f"in this one ({os.getpid()}); make a DecodePool of its own here, after the fork"
        )
