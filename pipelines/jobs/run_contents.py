"""What the names that a run was given stand for: the same files, whatever they are called."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ...data.folders import is_result, matches, walk
from ...data.item import Kind
from ...data.places.archives import is_archive
from ...data.places.content import holds_many
from ...data.places.stores import StoreFault, scheme_of
from ...data.places.urls import local_copy, name_in
from .fingerprint import by_time, fingerprint, fingerprint_by, fingerprint_of_many
from .manifest import RunManifest

# What decides a saved model's rows: its settings ...
_READ_FILES = ("*config.json", "tokenizer*", "vocab.*", "merges.txt")
# ... and its weights.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


def contents(
    model: str | None,
    inputs: Sequence[str],
    before: RunManifest | None,
    *,
    kind: Kind,
    has_ids: bool = False,
    weights: Mapping[Path, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Fingerprints of the model's folder, and of the tables and lists that are read.

    Not of the videos themselves, nor of what their folders hold. Texts are called by their
    position, so that rows which come between others would give these other names: only the last
    input may have new ones.

    Args:
        model: Its name or folder.
        inputs: As they were given.
        before: What the run in the output directory told.
        kind: What the inputs are.
        has_ids: Whether they bring names of their own.
        weights: SHA-256 of the model's files that were read for it before, which takes a while.
    """
    former = {} if before is None else before.contents
    found: dict[str, str] = {}
    if model is not None and (folder := Path(model).expanduser()).is_dir():
        found["model"] = _folder_digest(folder, weights, before=former.get("model"))
    for place, name in enumerate(inputs, start=1):
        path, key = _file_of(name), f"input {name}"
        may_grow = kind == "video" or has_ids or place == len(inputs)
        # Archives of videos are large, and told as little as folders of them.
        is_told = holds_many(path) or (kind == "text" and is_archive(path))
        if is_told and path.is_file():
            found[key] = fingerprint(path, before=former.get(key), may_grow=may_grow)
        elif kind == "text" and (files := _tables_of(name)):
            found[key] = fingerprint_of_many(files, before=former.get(key), may_grow=may_grow)
    return found


def _file_of(name: str) -> Path:
    """The file of this machine that an input is: of a table or archive that a URL names, a copy."""
    inside = name_in(name) if scheme_of(name) is not None else ""
    if os.path.lexists(name) or not (holds_many(inside) or is_archive(inside)):
        return Path(name)
    try:
        return Path(local_copy(name))
    except StoreFault:  # its row says so
        return Path(name)


def _tables_of(name: str) -> list[str]:
    """The files that a folder of texts or a glob stands for, in the order of `collect`."""
    if os.path.isdir(name):
        files = [found.path for found in walk(name) if not found.is_listed_elsewhere]
        return [path for path in files if holds_many(path) and not is_result(path, name)]
    if os.path.lexists(name) or not glob.has_magic(name):
        return []
    return [
        path
        for match in matches(name, None)
        for path in (_tables_of(match) if os.path.isdir(match) else [match])
    ]


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
    """Whether two names lead to one place: `x`, `./x`, `sub/../x` and its absolute path do.

    Patterns may do so as well (`./*.csv`).
    """
    if name == other:
        return True
    if "://" in name or "://" in other:
        return False
    one, two = (os.path.join(os.getcwd(), Path(text).expanduser()) for text in (name, other))
    if os.path.lexists(one) and os.path.lexists(two):
        return os.path.realpath(one) == os.path.realpath(two)
    return one == two and glob.has_magic(one)


def _folder_digest(folder: Path, weights: Mapping[Path, str], *, before: str | None) -> str:
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
        known = weights.get(path.resolve())
        content = fingerprint(path) if known is None else fingerprint_by(path, known)
        former = content.rpartition(" ")[2] if path in read else by_time(path.stat())
        old.update(f"{path.name}: {former}\n".encode(errors="surrogateescape"))
        new.update(f"{path.name}: {content}\n".encode(errors="surrogateescape"))
    if old.hexdigest()[:16] == before:
        return before
    return f"sha256 {new.hexdigest()}"
