"""What `temporal run` finds out before it makes anything: useless inputs, an older output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from ...data.item import NOTHING_THERE
from ..jobs.manifest import MANIFEST_NAME, OLD_MANIFEST_NAME, RunManifest
from ..jobs.store.lock import RankLock
from ..jobs.store.uploads import is_of_a_run
from .faults import UsageFault

_FEW = 32
# A row that is a mapping, in a file (then its line goes before) or not.
_LACKS_COLUMN = re.compile(r"(^|: )no (column|id) ")
_MANIFESTS = (MANIFEST_NAME, OLD_MANIFEST_NAME)


def check_inputs(items: Iterable[Any]) -> None:
    """Refuse a run none of whose first inputs is there, or has the column that is to be read.

    One input that is missing among others is a row with an error.

    Raises:
        UsageFault: with what the first of them lacks.
    """
    first = list(islice(items, _FEW))
    if not first:
        raise UsageFault("inputs must hold at least one, and hold none")
    errors = [item.error for item in first if item.error is not None and _cannot_work(item.error)]
    if len(errors) == len(first):
        raise UsageFault(f"input ({first[0].id}): {errors[0].message}")


def _cannot_work(error: Any) -> bool:
    lacks_column = error.reason == "bad_row" and _LACKS_COLUMN.search(error.message)
    return error.reason in NOTHING_THERE or bool(lacks_column)


def check_overwrite(directory: Path) -> None:
    """Refuse to overwrite anything but the output of a run, and nothing else with it.

    Raises:
        UsageFault: the directory holds no run, or other files.
        OutputRefused: its manifest is none.
    """
    if not directory.exists():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise UsageFault(f"output ({directory}) must be a directory of its own to be overwritten")
    entries = sorted(directory.iterdir())
    if entries and RunManifest.read(directory) is None:
        raise UsageFault(
            f"output ({directory}) holds no run ({MANIFEST_NAME}), and --overwrite removes nothing "
            "else: choose another directory"
        )
    for entry in entries:
        if entry.is_symlink() or not entry.is_file() or not is_of_a_run(entry.name):
            raise UsageFault(
                f"output ({directory}) holds {entry.name!r}, which is no part of a run: "
                "--overwrite removes only what runs write; move it, or choose another directory"
            )


def remove_run(directory: Path) -> None:
    """Remove a run's files, its manifest last.

    Raises:
        UsageFault: see `check_overwrite`.
        OutputRefused: a living process writes there.
    """
    check_overwrite(directory)
    if not directory.exists():
        return
    lock = RankLock(directory)  # refused while any rank is at work
    try:
        entries = [entry for entry in directory.iterdir() if entry != lock.path]
        for entry in sorted(entries, key=lambda entry: entry.name in _MANIFESTS):
            entry.unlink()
    finally:
        lock.release()
