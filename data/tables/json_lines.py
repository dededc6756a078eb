"""Rows of JSON lines files. A broken row is an entry; the rest goes on.

The parser is here because the usual ones drop a whole file, or all that follows, for one broken
line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..item import Entry
from ..places.content import Place
from .broken import bad_row, located
from .lines import Line, numbered_lines
from .row import Columns, entry_of_row


def read_json_lines(path: Place, columns: Columns) -> Iterator[Entry]:
    """One JSON object per line."""
    for number, (line, row) in enumerate(json_rows(path), 1):
        if isinstance(row, dict):
            entry = entry_of_row(row, columns)
            yield located(entry, path, number, line=line.number, offset=line.offset)
        else:
            yield bad_row(path, number, row, line=line.number, offset=line.offset)


def json_rows(path: Place) -> Iterator[tuple[Line, dict[str, Any] | str]]:
    """The lines that are not blank, each with its object, or with what is wrong with it."""
    for line in numbered_lines(path):
        if line.problem is not None:
            yield line, line.problem
            continue
        if not line.text.strip():
            continue
        try:
            row = json.loads(line.text)
        except json.JSONDecodeError as error:  # itself it would tell of lines of the row
            yield line, f"it is no JSON: {error.msg}, at its character {error.pos + 1}"
            continue
        except (ValueError, RecursionError) as error:
            yield line, str(error)
            continue
        yield line, row if isinstance(row, dict) else _no_object(row)


def _no_object(row: Any) -> str:
    return f"a row must be an object, not {type(row).__name__}"
