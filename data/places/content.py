"""Files of tables and texts, wherever they lie: what their names say of them, and their bytes."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import BinaryIO, Protocol, TypeAlias, runtime_checkable

from .unpacked import SUFFIXES, unpacked

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
"""Suffixes of files of rows."""

LISTS = frozenset({".txt", ".lst"})
"""Suffixes of files of lines."""

HOLDS_MANY = TABLES | LISTS
"""Suffixes of files whose content is a list of inputs."""


@runtime_checkable
class Content(Protocol):
    """A file that is no path of this machine. Its name is what `str` gives."""

    def open_file(self) -> BinaryIO:
        """Open it for reading forward; the caller closes it."""
        ...

    def open_seekable(self) -> BinaryIO:
        """Open it for reading from any place; the caller closes it."""
        ...


Place: TypeAlias = str | os.PathLike[str] | Content
"""A path, or a file that lies elsewhere."""


def suffix_of(name: object) -> str:
    """The suffix that says what a file holds, in lower case: `.csv` of `x.csv.gz`, too."""
    path = PurePath(str(name))
    suffix = path.suffix.lower()
    return PurePath(path.stem).suffix.lower() if suffix in SUFFIXES else suffix


def packing_of(name: object) -> str | None:
    """How a file is compressed, by its suffix; None: it is not."""
    suffix = PurePath(str(name)).suffix.lower()
    return suffix if suffix in SUFFIXES else None


def holds_many(name: object) -> bool:
    """Whether the content of a file of this name is a list of inputs."""
    return suffix_of(name) in HOLDS_MANY


def open_bytes(place: Place) -> BinaryIO:
    """Open a file for reading; a compressed one as what it holds (see `unpacked.damage_of`)."""
    packing = packing_of(place)
    if isinstance(place, Content):
        file = place.open_file()
    else:
        file = open(place, "rb")  # noqa: SIM115  # the caller's
    return file if packing is None else unpacked(file, packing)
