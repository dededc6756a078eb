"""Rows of CSV and TSV files. A stray quote costs the rows that it stands in, and no other.

The csv module hands over what lies between two stray quotes as one good field, or loses all to the
end of the file. Here a quoted field may run over lines, as RFC 4180 has it; but where its lines are
rows of their own, or it never closes, its first line alone is broken and reading goes on after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import IO, NamedTuple, TypeAlias

from ..item import Entry
from ..places.content import Place
from ..places.unpacked import damage_of
from .broken import bad_row, bad_table, located
from .dialect import Dialect, find_dialect
from .lines import MAX_LINE_BYTES, is_cut, open_text, why_no_text
from .quotes import QUOTE, Malformed, split_plain, split_quoted
from .row import Columns, entry_maker


class CsvRow(NamedTuple):
    """One row of a table: its cells by column, or what is wrong with it."""

    line: int
    """Where it begins, from 1."""

    cells: dict[str, str]
    """Empty where there is a problem."""

    problem: str | None
    """Why it is not a row."""


_Record: TypeAlias = tuple[int, list[str], str | None]
"""Its first line, its cells, and why it is no row, as in `CsvRow`."""


def read_csv(path: Place, columns: Columns, *, delimiter: str) -> Iterator[Entry]:
    """Rows of a file with a header; every row must be as wide as the header.

    Args:
        path: A regular file.
        columns: Which columns are wanted.
        delimiter: What separates the fields, unless the header names the wanted column only where
            it is split at another of comma, semicolon, tab and bar.
    """
    dialect = find_dialect(path, columns, delimiter)
    if isinstance(dialect, str):
        yield bad_table(path, dialect)
        return
    make = entry_maker(dialect.header, columns)
    for number, (line, cells, problem) in enumerate(_records(path, dialect), 1):
        if problem is not None:
            yield bad_row(path, number, problem, line=line)
            continue
        entry = make(cells)
        yield entry if entry.error is None else located(entry, path, number, line=line)


def csv_rows(path: Place, columns: Columns, *, delimiter: str) -> Iterator[CsvRow] | str:
    """The same as rows with all their cells; a string says why the file is no such table."""
    dialect = find_dialect(path, columns, delimiter)
    return dialect if isinstance(dialect, str) else _rows(path, dialect)


def _rows(path: Place, dialect: Dialect) -> Iterator[CsvRow]:
    for line, cells, problem in _records(path, dialect):
        named = dict(zip(dialect.header, cells, strict=True)) if problem is None else {}
        yield CsvRow(line, named, problem)


def _records(path: Place, dialect: Dialect) -> Iterator[_Record]:
    with open_text(path, newline="") as file:
        lines = _Lines(file)
        for _ in range(dialect.header_lines):
            lines.take()
        yield from _Records(lines, dialect)
        if (damage := damage_of(file)) is not None:
            yield lines.number + 1, [], damage


_LONGEST_REST = 1000
"""Lines after a broken one among which the rest of its record is looked for."""


class _Lines:
    """The physical lines of a file, with their ends; some can be put back."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._ahead: deque[str] = deque()
        self.number = 0
        """Of the line that was taken last, from 1."""

    def take(self) -> str | None:
        """The next line; None at the end. A line over the limit comes without its rest."""
        line = self._ahead.popleft() if self._ahead else self._read()
        if not line or (line[-1] not in "\r\n" and is_cut(line, self._file)):
            return None
        self.number += 1
        return line

    def put_back(self, lines: list[str]) -> None:
        """Put back the lines that were taken last, in their order."""
        self._ahead.extendleft(reversed(lines))
        self.number -= len(lines)

    def _read(self) -> str:
        line = rest = self._file.readline(MAX_LINE_BYTES)
        while len(rest) >= MAX_LINE_BYTES and rest[-1] not in "\r\n":
            rest = self._file.readline(MAX_LINE_BYTES)
        return line


class _Records:
    """The records of a file after its header, broken ones included."""

    def __init__(self, lines: _Lines, dialect: Dialect) -> None:
        self._lines = lines
        self._dialect = dialect
        self._known: dict[int, str] = {}  # what is wrong with lines further on
        self._after_broken = False

    def __iter__(self) -> Iterator[_Record]:
        dialect, lines = self._dialect, self._lines
        while (line := lines.take()) is not None:
            if line[0] in "\r\n":
                continue
            number = lines.number
            cells: list[str] = []
            problem: str | None
            if len(line) >= MAX_LINE_BYTES:
                problem = f"the line is longer than {MAX_LINE_BYTES} bytes"
            elif number in self._known:
                problem = self._known.pop(number)
            elif (found := self._cells(line)) is not None:
                cells, problem = found, dialect.why_not_wide(found) or why_no_text(line)
            else:
                cells, problem = self._quoted(line, number)
            self._after_broken = problem is not None
            yield number, cells, problem

    def _cells(self, line: str) -> list[str] | None:
        """The cells of a line that is a record for itself, where that is seen at once."""
        dialect = self._dialect
        if dialect.is_plain or QUOTE not in line:
            return split_plain(line, dialect.delimiter)
        return None if dialect.escapes else split_quoted(line, dialect.delimiter)

    def _quoted(self, line: str, number: int) -> tuple[list[str], str | None]:
        """The record that begins with this line, which has quotes, or why it is none."""
        dialect = self._dialect
        taken = [line]
        try:
            cells, closes = dialect.parse(line, self._following(taken))
        except Malformed as error:
            self._lines.put_back(taken[1:])
            self._pass_fragments(was_open=len(taken) > 1)
            return [], str(error)
        problem = dialect.why_not_wide(cells)
        if len(taken) > 1 and dialect.are_rows(taken, is_wide=problem is None):
            self._lines.put_back(taken[1:])
            end = number + len(taken) - 1
            if _only_closes(taken[-1], dialect):
                self._known[end] = f"the stray quote that opened at line {number} closes here"
            problem = (
                f"a quote opens here and closes at line {end}, and the lines between are rows: "
                "take it away, or double it"
            )
        elif closes and self._after_broken and dialect.has_long_records:
            problem = "a quote closes here that did not open: the end of the broken row before it"
        return cells, problem or why_no_text("".join(taken))

    def _following(self, taken: list[str]) -> Iterator[str]:
        """Yield further lines and keep them; no more than a field may hold."""
        size = len(taken[0])
        while size < MAX_LINE_BYTES and (line := self._lines.take()) is not None:
            taken.append(line)
            size += len(line)
            yield line

    def _pass_fragments(self, *, was_open: bool) -> None:
        """Pass over the rest of a broken record, in files where records have several lines.

        It ends with the line where a quote closes that did not open. Where there is none, lines
        that are no rows belong to it; whether the next one is its end or a row cannot be told.
        """
        dialect = self._dialect
        if not dialect.has_long_records:
            return
        rest: list[str] = []
        while len(rest) < _LONGEST_REST and (line := self._lines.take()) is not None:
            rest.append(line)
            if dialect.has_lone_quote(line):
                break
        is_end = bool(rest) and _only_closes(rest[-1], dialect)
        if is_end and (len(rest) == 1 or not dialect.all_rows(rest[:-1])):
            return
        count = 0
        while was_open and count < len(rest) and not dialect.has_lone_quote(rest[count]):
            if dialect.could_be_row(rest[count]):
                break
            count += 1
        self._lines.put_back(rest[count:])
        if 0 < count < len(rest) and QUOTE not in rest[count]:
            doubt = "it may be a row, or the end of the broken one before it"
            self._known[self._lines.number + 1] = doubt


def _only_closes(line: str, dialect: Dialect) -> bool:
    """Whether a quote closes in this line that does not open in it."""
    try:
        return dialect.parse(line).closes
    except Malformed:
        return False
