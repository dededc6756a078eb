"""Rows of JSON lines files. A broken row is an entry; the rest goes on.

The parser is here because the usual ones drop a whole file, or all that follows, for one broken
line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..item import Entry
from .broken import bad_row, located
from .lines import numbered_lines
from .row import Columns, entry_of_row


def read_json_lines(path: Path, columns: Columns) -> Iterator[Entry]:
    """One JSON object per line."""
    for line in numbered_lines(path):
        problem = line.problem
        if problem is None:
            if not line.text.strip():
                continue
            try:
                row = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                problem = str(error)
            else:
                if isinstance(row, dict):
                    yield located(entry_of_row(row, columns), path, line.number, line.offset)
                    continue
                problem = f"a row must be an object, not {type(row).__name__}"
        yield bad_row(path, line.number, problem, line.offset)
