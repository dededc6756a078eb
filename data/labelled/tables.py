"""Labelled tables: a broken row is an error, where other readers lose it without a word."""

from __future__ import annotations

from pathlib import Path

from ..tables.delimited import csv_rows
from ..tables.row import Columns


def table_rows(path: str, column: str, *others: str) -> list[dict[str, str]]:
    """The rows of a CSV or TSV file, every one, as `temporal run` reads them.

    Args:
        path: the file.
        column: one that it must have; its header is split by what separates this from others.
        others: more of them.

    Raises:
        ValueError: the file is no such table, or a row is broken, by a stray quote say.
    """
    delimiter = "\t" if Path(path).suffix == ".tsv" else ","
    found = csv_rows(Path(path), Columns(kind="text", value=column), delimiter=delimiter)
    if isinstance(found, str):
        raise ValueError(f"{path}: {found}")
    rows = []
    for row in found:
        if row.problem is not None:
            raise ValueError(f"{path}, line {row.line}: {row.problem}; mend it, or take it out")
        rows.append(row.cells)
    missing = [name for name in others if rows and name not in rows[0]]
    if missing:
        raise ValueError(f"{path} has the columns {list(rows[0])}, and must have {missing[0]!r}")
    return rows
