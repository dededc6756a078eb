"""Files that are either there as a whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TEMPORARY_SUFFIX = ".tmp"


def write_durably(
    path: str | os.PathLike[str], write: Callable[[BinaryIO], object], *, tag: str = ""
) -> None:
    """Write a file under a temporary name, sync it, rename it to `path`, sync its directory.

    A reader that looks only at final names never sees half a file.

    Args:
        path: The final name; a file of that name is replaced.
        write: Writes the content to the open binary file it is given.
        tag: Of the temporary name, where several processes may write the same file.

    Raises:
        OSError: the disk refused (full, read-only, gone); no file of the final name was made.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}{tag}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # what refused the file may refuse this, too
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: str | os.PathLike[str]) -> None:
    """Make the names in `directory` durable (a rename is not, until its directory is synced)."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
