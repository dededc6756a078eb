"""`BadClip`: a row that could not be read, and the file in which all of them are listed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class BadClip:
    """A row that was passed over."""

    id: str
    """Its path as written, or its name in the archive."""

    row: int
    """Its number in the list."""

    epoch: int
    """When it was met."""

    reason: str
    """One word, as of `VideoError.reason` or `InputError.reason`."""

    message: str
    """A sentence for a person."""


def write_bad_clip(path: str | os.PathLike[str], clip: BadClip) -> None:
    """Append a row to a JSON lines file; workers and ranks may share it."""
    line = json.dumps(asdict(clip), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    # One write to a file open for appending: lines of several processes do not mix.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def read_bad_clips(path: str | os.PathLike[str]) -> list[BadClip]:
    """Read the rows that a dataset listed in a file.

    Args:
        path: Its `bad_clips_file`; it need not be there.

    Returns:
        Each row once, though a resumed epoch met some again.
    """
    file = Path(path)
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(BadClip(**json.loads(line)) for line in lines))
