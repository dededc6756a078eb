"""Labelled tables: a broken row is an error, where other readers lose it without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..tables.broken import row_at
from ..tables.delimited import csv_rows
from ..tables.json_lines import json_rows
from ..tables.row import Columns

LeftOut = list[tuple[str, str]]
"""Rows that are left out: where each is, and what is wrong with it."""


def good_rows(path: str, column: str, left_out: LeftOut) -> dict[int, dict[str, Any]]:
    """The rows of a CSV file or of JSON lines by their numbers, without those that are broken.

    Args:
        path: the file.
        column: one that a CSV file must have.
        left_out: is told of the others.

    Raises:
        ValueError: the file is no such table.
    """
    if Path(path).suffix == ".csv":
        return _csv_rows(path, column, left_out)
    rows = {}
    for number, (line, row) in enumerate(json_rows(Path(path)), 1):
        if isinstance(row, dict):
            rows[number] = row
        else:
            left_out.append((f"{path}, {row_at(number, line.number)}", row))
    return rows


def table_rows(path: str, column: str, *others: str) -> list[dict[str, str]]:
    """The rows of a CSV or TSV file, every one, as `temporal run` reads them.

    Args:
        path: the file.
        column: one that it must have; its header is split by what separates this from others.
        others: more of them.

    Raises:
        ValueError: the file is no such table, or a row is broken, by a stray quote say.
    """
    rows = list(_csv_rows(path, column, None).values())
    missing = [name for name in others if rows and name not in rows[0]]
    if missing:
        raise ValueError(f"{path} has the columns {list(rows[0])}, and must have {missing[0]!r}")
    return rows


def _csv_rows(path: str, column: str, left_out: LeftOut | None) -> dict[int, dict[str, str]]:
    delimiter = "\t" if Path(path).suffix == ".tsv" else ","
    found = csv_rows(Path(path), Columns(kind="text", value=column), delimiter=delimiter)
    if isinstance(found, str):
        raise ValueError(f"{path}: {found}")
    rows = {}
    for number, row in enumerate(found, 1):
        if row.problem is None:
            rows[number] = row.cells
            continue
        where = f"{path}, {row_at(number, row.line)}"
        if left_out is None:
            raise ValueError(f"{where}: {row.problem}; mend it, or take it out")
        left_out.append((where, row.problem))
    return rows
