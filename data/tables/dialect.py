"""What a CSV or TSV file is like: its header and delimiter, and what its quotes mean.

Quotes are read as RFC 4180 has them: a field that begins with one ends with one and has its own
doubled, or escaped by backslashes where that makes more rows whole; elsewhere they are text. In TSV
files they are often text everywhere (as in GLUE's): there they are taken for text where more fields
have quotes in pairs that no CSV writer writes than in pairs that one does.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..places.content import Place
from ..places.unpacked import damage_of
from .lines import MAX_LINE_BYTES, open_text, why_no_text
from .quotes import (
    ESCAPED_QUOTE,
    QUOTE,
    Malformed,
    ParsedRecord,
    has_lone_quote,
    parse_record,
    split_plain,
)
from .row import Columns, apart

_DELIMITERS = (",", ";", "\t", "|")

_SAMPLE_LINES = 10_000
_SAMPLE_CHARACTERS = 2**20

_LONGEST_HEADER = 100
"""Lines in which the header must end."""

# A column is told by its cells when so many rows have few values between them, or numbers alone.
_MIN_ROWS = 8
_MAX_VALUES = 20

_LONGEST_RECORD = 1000
"""Lines of a record that are looked at to know whether the file has such."""

# Under one column, so many records of several lines, and this share of all, are no stray quotes.
_MIN_LONG = 3
_LONG_SHARE = 0.1

_MANY_LINES = 8
"""Lines inside one field, each as wide as a row, that are taken for rows where no column tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How one file is read."""

    header: list[str]
    """Names of the columns."""

    header_lines: int
    """Physical lines before the first row."""

    delimiter: str
    """What separates fields."""

    is_plain: bool
    """Quotes are text, and every line is a row."""

    escapes: bool
    """A backslash makes the quote after it text, as in MySQL and Spark, instead of another one."""

    has_long_records: bool
    """Some quoted field runs over lines."""

    told: dict[int, frozenset[str] | None]
    """Columns that tell a row from other text: the values they take; None: numbers."""

    @property
    def width(self) -> int:
        """Cells of a row."""
        return len(self.header)

    def parse(self, line: str, following: Iterator[str] | None = None) -> ParsedRecord:
        """See `parse_record`."""
        return parse_record(line, self.delimiter, following, escapes=self.escapes)

    def has_lone_quote(self, text: str) -> bool:
        """Whether some quote is neither doubled nor escaped."""
        return has_lone_quote(text.replace(ESCAPED_QUOTE, "") if self.escapes else text)

    def why_not_wide(self, cells: Sequence[str]) -> str | None:
        """Say that a row has not as many cells as the header; None where it has."""
        if len(cells) == len(self.header):
            return None
        return f"{len(cells)} fields where {len(self.header)} are due"

    def are_rows(self, lines: list[str], *, is_wide: bool) -> bool:
        """Whether the lines of one record are rows that stray quotes run together.

        Args:
            lines: Two or more physical lines.
            is_wide: Whether the record as a whole is as wide as the header. Then only lines that a
                column tells, or many of them, are believed.
        """
        inner = lines[1:-1]
        if not self.all_rows(inner):
            return False
        ends_too = self.all_rows([lines[0], lines[-1]])
        if not is_wide:
            return (len(inner) > 0 or ends_too) and (self.width > 1 or not self.has_long_records)
        if self.told:
            return len(inner) > 1 or ends_too
        if self.width == 1:  # every line is as wide as a row
            return len(inner) >= 2 * _MANY_LINES and not self.has_long_records
        return len(inner) >= _MANY_LINES

    def all_rows(self, lines: Sequence[str]) -> bool:
        """Whether each of these lines by itself could be a row."""
        return all(map(self.could_be_row, lines))

    def could_be_row(self, line: str) -> bool:
        """Whether a line by itself is as wide as a row, and its cells are like those of others."""
        try:
            cells = self.parse(line).cells
        except Malformed:
            cells = split_plain(line, self.delimiter)
        if not line.strip("\r\n") or len(cells) != self.width:
            return False
        is_told = not self.told
        for place, values in self.told.items():
            cell = cells[place].strip(QUOTE)
            if _is_number(cell) if values is None else cell in values:
                is_told = True
            elif QUOTE not in cells[place]:  # the stray quote's own cell tells nothing
                return False
        return is_told


def find_dialect(path: Place, columns: Columns, delimiter: str) -> Dialect | str:
    """Look at a file's beginning; a string says why it is no table with these columns."""
    with open_text(path, newline="") as file:
        lines = iter(lambda: file.readline(MAX_LINE_BYTES), "")
        start = list(itertools.islice(lines, _LONGEST_HEADER))
        blank = 0
        while blank < len(start) and not start[blank].strip("\r\n"):
            blank += 1
        start = start[blank:]
        if not start:
            return damage_of(file) or "it is empty: there is no header line"
        found = _header(start, columns, delimiter)
        if isinstance(found, str):
            return found
        header, num_lines, delimiter = found
        sample = _sample(itertools.chain(start[num_lines:], lines))
    escapes = _escapes_quotes(sample, delimiter, len(header))
    records = list(_records(sample, delimiter, len(header), escapes))
    short = [lines[0] for lines in records if len(lines) == 1]
    return Dialect(
        header=header,
        header_lines=blank + num_lines,
        delimiter=delimiter,
        escapes=escapes,
        is_plain=delimiter == "\t" and _quotes_are_text(records, len(header)),
        has_long_records=_has_long_records(records, delimiter, len(header)),
        told=_telling_columns(short, delimiter, len(header))
        or _telling_columns(sample, delimiter, len(header)),
    )


def _kept(lines: Iterator[str], into: list[str]) -> Iterator[str]:
    for line in lines:
        into.append(line)
        yield line


def _header(start: list[str], columns: Columns, delimiter: str) -> tuple[list[str], int, str] | str:
    """The names of the columns, the lines they fill, and the delimiter that gives those wanted."""
    problem = why_no_text(start[0])
    if problem is not None:
        return f"its header is no text: {problem}"
    problems: list[str] = []
    for choice in (delimiter, *(other for other in _DELIMITERS if other != delimiter)):
        taken: list[str] = []
        try:
            names = parse_record(start[0], choice, _kept(iter(start[1:]), taken)).cells
        except Malformed as error:
            problem = f"its header is malformed: {error}"
        else:
            problem = columns.problem_in(names)
            if problem is None:
                return apart(names), 1 + len(taken), choice
        problems.append(problem)
    return problems[0]


def _sample(lines: Iterator[str]) -> list[str]:
    sample = []
    size = 0
    for line in itertools.islice(lines, _SAMPLE_LINES):
        sample.append(line)
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            break
    return sample


def _escapes_quotes(sample: list[str], delimiter: str, width: int) -> bool:
    """Whether more of the records that have an escaped quote are whole when it is one."""
    if not any(ESCAPED_QUOTE in line for line in sample):
        return False
    plain, escaped = (
        sum(
            len(lines) > 1 or _is_whole(lines[0], delimiter, width, escapes)
            for lines in _records(sample, delimiter, width, escapes)
            if any(ESCAPED_QUOTE in line for line in lines)
        )
        for escapes in (False, True)
    )
    return escaped > plain


def _is_whole(line: str, delimiter: str, width: int, escapes: bool) -> bool:
    try:
        return len(parse_record(line, delimiter, escapes=escapes).cells) == width
    except Malformed:
        return False


def _records(sample: list[str], delimiter: str, width: int, escapes: bool) -> Iterator[list[str]]:
    """The lines of each record of as many cells as are due, and each other line by itself."""
    at = 0
    while at < len(sample):
        taken = [sample[at]]
        if QUOTE in sample[at]:
            rest = itertools.islice(sample, at + 1, at + _LONGEST_RECORD)
            try:
                cells = parse_record(
                    sample[at], delimiter, _kept(rest, taken), escapes=escapes
                ).cells
            except Malformed:
                cells = []
            if len(cells) != width:
                del taken[1:]
        at += len(taken)
        yield taken


def _quotes_are_text(records: list[list[str]], width: int) -> bool:
    quoted = text = 0
    for lines in records:
        if len(lines) > 1 and (width == 1 or not _are_wide(lines, "\t", width)):
            quoted += 1
            continue
        for cell in itertools.chain.from_iterable(split_plain(line, "\t") for line in lines):
            if QUOTE not in cell:
                continue
            if len(cell) > 1 and cell[0] == cell[-1] == QUOTE:
                is_quoted = not has_lone_quote(cell[1:-1])
                quoted += is_quoted
                text += not is_quoted and cell.count(QUOTE) % 2 == 0
            else:
                text += cell.count(QUOTE) % 2 == 0 and has_lone_quote(cell)
    return text > max(quoted, 1)  # a single one is a damaged row


def _has_long_records(records: list[list[str]], delimiter: str, width: int) -> bool:
    long = [lines for lines in records if len(lines) > 1]
    # Two stray quotes look the same, but what they enclose is as wide as rows.
    if any(not _are_wide(lines[1:-1] or lines[:1], delimiter, width) for lines in long):
        return True
    # Under one column every line is as wide as a row: there, strays are rare, long texts are not.
    return width == 1 and len(long) >= _MIN_LONG and len(long) >= _LONG_SHARE * len(records)


def _are_wide(lines: list[str], delimiter: str, width: int) -> bool:
    return all(len(split_plain(line, delimiter)) == width for line in lines)


def _telling_columns(
    lines: list[str], delimiter: str, width: int
) -> dict[int, frozenset[str] | None]:
    rows = [split_plain(line, delimiter) for line in lines if QUOTE not in line]
    rows = [cells for cells in rows if len(cells) == width]
    if width < 2 or len(rows) < _MIN_ROWS:
        return {}
    told: dict[int, frozenset[str] | None] = {}
    for place in range(width):
        values = Counter(cells[place] for cells in rows)
        if len(values) <= min(_MAX_VALUES, len(rows) // 2):
            # What comes once may be a piece of a broken text.
            told[place] = frozenset(value for value, count in values.items() if count > 1)
        elif all(map(_is_number, values)):
            told[place] = None
    return told


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
