"""Copies on this machine of what cannot be read in place, each made once and gone with the process.

Tables are gone through several times (to know their columns, to count, to read), and archives are
read at many places.
"""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from collections.abc import Callable
from typing import BinaryIO

_made: dict[str, str] = {}
_lock = threading.Lock()


def copy_of(key: str, name: str, write: Callable[[BinaryIO], object]) -> str:
    """Path of a copy, which is made the first time.

    Args:
        key: What it is a copy of.
        name: Of the file; only its suffixes count.
        write: Writes it.

    Raises:
        Whatever `write` raises; there is no copy then.
    """
    with _lock:
        if key not in _made:
            suffix = "".join(part for part in os.path.basename(name).partition(".")[1:])
            descriptor, path = tempfile.mkstemp(suffix=suffix[-40:], dir=temporary_folder())
            try:
                with open(descriptor, "wb") as file:
                    write(file)
            except BaseException:
                os.unlink(path)
                raise
            _made[key] = path
        return _made[key]


def temporary_folder() -> str:
    """Path of a folder that is gone with this process."""
    return _folder().name


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="temporal-", ignore_cleanup_errors=True)
