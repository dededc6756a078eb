"""How the lines of CSV and TSV files are split into cells, with quotes as RFC 4180 has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

QUOTE = '"'
_DOUBLED = "\0"  # no line of text has it
ESCAPED_QUOTE = '\\"'
_ESCAPED = re.compile(r'\\(["\\])')


class Malformed(ValueError):
    """A record breaks the rules of quotes."""


class ParsedRecord(NamedTuple):
    """The cells of a record."""

    cells: list[str]
    closes: bool
    """Whether a field without an opening quote ends with one, or doubles one as quoted ones do."""


def parse_record(
    line: str, delimiter: str, following: Iterator[str] | None = None, *, escapes: bool = False
) -> ParsedRecord:
    """Read one record, which begins with `line`; the lines that follow are taken as needed.

    Args:
        line: its first line.
        delimiter: what separates fields.
        following: further lines; None: there are none.
        escapes: a backslash in a quoted field makes the quote or backslash after it text.

    Raises:
        Malformed: A quote does not close, or text follows where it does.
    """
    cells: list[str] = []
    closes = False
    at = 0
    while True:
        if not line.startswith(QUOTE, at):
            end = line.find(delimiter, at)
            cell = line[at:].rstrip("\r\n") if end < 0 else line[at:end]
            closes |= cell.endswith(QUOTE) or 2 * QUOTE in cell
            cells.append(cell)
            if end < 0:
                return ParsedRecord(cells, closes)
            at = end + 1
            continue
        parts: list[str] = []
        at += 1
        while True:
            end = line.find(QUOTE, at)
            if end < 0:
                parts.append(line[at:])
                more = None if following is None else next(following, None)
                if more is None:
                    raise Malformed("a quote opens and never closes")
                line, at = more, 0
            elif escapes and _is_escaped(line, at, end):
                parts.append(line[at : end + 1])
                at = end + 1
            elif line.startswith(QUOTE, end + 1):
                parts.append(line[at : end + 1])
                at = end + 2
            else:
                parts.append(line[at:end])
                at = end + 1
                break
        cell = "".join(parts)
        cells.append(_ESCAPED.sub(r"\1", cell) if escapes and "\\" in cell else cell)
        if line.startswith(delimiter, at):
            at += 1
        elif line[at:].strip("\r\n"):
            raise Malformed("text follows a closing quote: quotes in a field must be doubled")
        else:
            return ParsedRecord(cells, closes)


def split_plain(line: str, delimiter: str) -> list[str]:
    """The cells of a line in which quotes are text."""
    return line.rstrip("\r\n").split(delimiter)


def split_quoted(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line that is a record by itself; None where that is not seen at once.

    `parse_record` says the same of such a line, character by character.
    """
    text = line.rstrip("\r\n")
    has_doubled = 2 * QUOTE in text
    if has_doubled:  # in a quoted field from left to right; elsewhere they are something else
        if _DOUBLED in text:
            return None
        text = text.replace(2 * QUOTE, _DOUBLED)
    pieces = text.split(QUOTE)
    last = len(pieces) - 1
    if last % 2:
        return None
    cells: list[str] = []
    for place in range(0, last + 1, 2):
        plain = pieces[place]  # between two quoted fields, before the first or behind the last
        if has_doubled and _DOUBLED in plain:
            return None
        if place:
            cell = pieces[place - 1]
            cells.append(cell.replace(_DOUBLED, QUOTE) if has_doubled else cell)
            if not plain and place == last:
                return cells
            if plain[:1] != delimiter:
                return None
            plain = plain[1:]
        if place == last:
            cells += plain.split(delimiter)
        elif plain:
            if plain[-1] != delimiter:
                return None
            cells += plain[:-1].split(delimiter)
    return cells


def has_lone_quote(text: str) -> bool:
    """Whether some quote is not doubled."""
    return QUOTE in text.replace(2 * QUOTE, "")


def _is_escaped(line: str, start: int, quote: int) -> bool:
    """Whether a quote of the field that begins at `start` has an odd number of backslashes."""
    before = line[start:quote]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1
