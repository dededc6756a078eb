"""Files below a folder, and those that a glob pattern matches."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PART, _SETTINGS = "part-", (".run.json", ".index.json")
"""How files with results are called, and what lies beside them."""


def matches(pattern: str, root: str | None) -> list[str]:
    """The sorted matches of a glob; `**` follows no link, and lists no file twice."""
    if "**" not in pattern.split(os.sep):
        return sorted(glob.glob(pattern, root_dir=root))
    found = _recursive_matches(pattern, root or "")
    folders = {os.path.normpath(p) for p in found if os.path.isdir(os.path.join(root or "", p))}
    # A folder that matches stands for all that is in it.
    return sorted(
        path for path in found if folders.isdisjoint(map(str, Path(os.path.normpath(path)).parents))
    )


def _recursive_matches(pattern: str, root: str) -> set[str]:
    """What `glob.glob` finds, without the folders behind links: those may lead in circles."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        found = glob.glob(pattern, root_dir=root or None)
        return {path for path in found if not _is_linked_folder(os.path.join(root, path))}
    at = parts.index("**")
    rest = os.sep.join(parts[at + 1 :]) or "*"
    # Links that the pattern names itself are followed.
    head = os.path.join(os.sep.join(parts[:at]) or os.sep, "") if at else ""
    matches: set[str] = set()
    for base in glob.glob(head, root_dir=root or None) if at else [""]:
        for folder in _folders(root, base):
            matches |= _recursive_matches(glob.escape(folder) + rest, root)
    return matches


def _folders(root: str, folder: str) -> Iterator[str]:
    """Yield `folder` ("" or with a slash at its end) and the folders below it, as `walk` does."""
    yield folder
    try:
        with os.scandir(os.path.join(root, folder) or ".") as scan:
            below = [entry.name for entry in scan if entry.is_dir(follow_symlinks=False)]
    except OSError:  # as `glob` has it: what cannot be listed matches nothing
        return
    for name in sorted(below):
        if not name.startswith("."):
            yield from _folders(root, os.path.join(folder, name, ""))


def _is_linked_folder(path: str) -> bool:
    return os.path.islink(path) and os.path.isdir(path)


class Found(NamedTuple):
    """A file below a folder, or a folder that is not looked into."""

    path: str
    problem: str | None = None
    """Why nothing is read there."""

    is_listed_elsewhere: bool = False
    """It is a link to a folder whose files come under another name, or in a circle."""


def walk(folder: str, root: str | None = None) -> Iterator[Found]:
    """Yield the files below a folder, sorted by name at each level, hidden ones left out.

    Links to folders are followed, but each folder is listed once, under its own name if that lies
    below `folder`.

    Args:
        folder: Where to look.
        root: Links that lead out of this real path are problems; None: they may lead anywhere.
    """
    base = Path(os.path.realpath(folder))
    return _walk(folder, base, root, {str(base)})


def _walk(folder: str, base: Path, root: str | None, seen: set[str]) -> Iterator[Found]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, f"{folder} cannot be listed: {error.strerror}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield Found(entry.path)
            continue
        real = os.path.realpath(entry.path)
        if entry.is_symlink() and root is not None and not Path(real).is_relative_to(root):
            yield Found(entry.path, f"{entry.path} leads outside the root {root!r}")
        elif real in seen or (entry.is_symlink() and _comes_otherwise(Path(real), base)):
            yield Found(entry.path, is_listed_elsewhere=True)
        else:
            seen.add(real)
            yield from _walk(entry.path, base, root, seen)


def is_result(path: str, folder: str) -> bool:
    """Whether a file below a folder has rows of a run or an index, whose own folder is another.

    What a run writes below its inputs is none of them, or a resumed run would read its own rows.
    """
    above, name = os.path.split(path)
    if not name.startswith(_PART) or os.path.normpath(above) == os.path.normpath(folder):
        return False
    return any(os.path.exists(os.path.join(above, settings)) for settings in _SETTINGS)


def _comes_otherwise(real: Path, base: Path) -> bool:
    """Whether a folder's files are listed without this link to it, or it holds `base` itself."""
    if not real.is_relative_to(base):
        return base.is_relative_to(real)
    return not any(part.startswith(".") for part in real.relative_to(base).parts)
