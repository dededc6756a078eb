"""What the names that a run was given stand for: the same files, whatever they are called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ...data.collection import HOLDS_MANY
from .fingerprint import fingerprint
from .manifest import RunManifest

# What decides a saved model's rows: its settings ...
_READ_FILES = ("*config.json", "tokenizer*", "vocab.*", "merges.txt")
# ... and its weights.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


def contents(
    model: str | None, inputs: Sequence[str], before: RunManifest | None
) -> dict[str, str]:
    """Fingerprints of the model's folder and of tables and lists that were named.

    Not of what globs and directories hold, nor of the videos themselves.
    """
    former = {} if before is None else before.contents
    found: dict[str, str] = {}
    if model is not None and (folder := Path(model).expanduser()).is_dir():
        found["model"] = _folder_digest(folder, before=former.get("model"))
    for name in inputs:
        path = Path(name)
        if path.suffix.lower() in HOLDS_MANY and path.is_file():
            key = f"input {name}"
            found[key] = fingerprint(path, before=former.get(key))
    return found


def as_before(inputs: tuple[str, ...], output: Path) -> tuple[str, ...]:
    """Call the inputs as the run in `output` called them, where they are the same.

    Ids of rows are made of these names, so that a resumed run must use the first ones.
    """
    before = RunManifest.read(output) if output.is_dir() else None
    former = None if before is None else before.options.get("inputs")
    if not isinstance(former, list) or len(former) != len(inputs):
        return inputs
    names = [str(name) for name in former]
    return tuple(names) if all(map(is_same_place, names, inputs)) else inputs


def is_same_place(name: str, other: str) -> bool:
    """Whether two names of files lead to one place: `x`, `./x` and its absolute path do."""
    if name == other:
        return True
    if "://" in name or "://" in other:
        return False
    places = [os.path.join(os.getcwd(), Path(text).expanduser()) for text in (name, other)]
    return places[0] == places[1] and os.path.lexists(places[0])


def _folder_digest(folder: Path, *, before: str | None) -> str:
    """What the files are that decide a saved model's rows.

    Older versions told weights by size and time: where nothing was touched since, `before` is
    still true, and is given back.
    """
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    read = {path for path in paths if any(path.match(pattern) for pattern in _READ_FILES)}
    old, new = hashlib.sha256(), hashlib.sha256()
    for path in paths:
        if path not in read and path.suffix not in _WEIGHTS:
            continue
        content = fingerprint(path)
        status = path.stat()
        by_time = f"{status.st_size} bytes, mtime_ns {status.st_mtime_ns}"
        former = content.rpartition(" ")[2] if path in read else by_time
        old.update(f"{path.name}: {former}\n".encode(errors="surrogateescape"))
        new.update(f"{path.name}: {content}\n".encode(errors="surrogateescape"))
    if old.hexdigest()[:16] == before:
        return before
    return f"sha256 {new.hexdigest()}"
