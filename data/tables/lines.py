"""Lines of text files: UTF-8 or what their byte order mark says, whatever ends their lines.

What cannot be decoded, or holds NUL, is no text: its line is an error, and the others go on.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO, NamedTuple

from ..item import Entry, InputError
from ..places.content import Place, open_bytes
from ..places.unpacked import damage_of

MAX_LINE_BYTES = 64 * 2**20
"""A longer line (in characters, where the file is not UTF-8) is an error."""

_SAMPLE_BYTES = 2**16

# Longer marks first: UTF-32's begins with UTF-16's. These codecs pass over the mark themselves.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# In place of bytes that cannot be decoded: no file can hold it, so that `why_no_text` finds it.
_UNDECODABLE = "\udcff"
_ERRORS = "temporal.undecodable"


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _UNDECODABLE, error.end


codecs.register_error(_ERRORS, _mark_undecodable)


class Line(NamedTuple):
    """One line: its text, or what is wrong with it."""

    number: int
    """From 1."""

    offset: int | None
    """Where it begins in the file, in bytes; None where the file is not UTF-8."""

    text: str
    """Without its end; empty where there is a problem."""

    problem: str | None
    """Why it is not a text."""


def why_no_text(text: str) -> str | None:
    """Say why a string cannot be a text; None where it can."""
    if "\0" in text:
        return "it holds NUL characters: UTF-16 without its mark, or no text; save it as UTF-8"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds what cannot be decoded (bytes of another encoding, or half a character)"
    return None


def encoding_of(path: Place) -> str:
    """The encoding that a file's byte order mark tells; UTF-8 without one."""
    with open_bytes(path) as file:
        start = file.read(4)
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8-sig")


def open_text(path: Place, *, newline: str | None = None) -> IO[str]:
    """Open a file for reading as text; what cannot be decoded is found by `why_no_text`."""
    encoding = encoding_of(path)
    return io.TextIOWrapper(open_bytes(path), encoding, errors=_ERRORS, newline=newline)


def numbered_lines(path: Place) -> Iterator[Line]:
    """Yield the lines of a file; a huge one, and one that is no text, as a problem."""
    is_utf8 = encoding_of(path) == "utf-8-sig"
    return _byte_lines(path) if is_utf8 and not _ends_in_returns(path) else _text_lines(path)


def read_lines(path: Place) -> Iterator[Entry]:
    """One text per line; blank lines count, so that results match line numbers."""
    for line in numbered_lines(path):
        if line.problem is None:
            yield Entry(value=line.text)
        else:
            message = f"{path}, line {line.number}: {line.problem}"
            yield Entry(
                error=InputError(
                    reason="bad_row",
                    message=message,
                    line=line.number,
                    byte_offset=line.offset,
                )
            )


def is_cut(line: bytes | str, file: object) -> bool:
    """Whether a line is the last piece of a file that is damaged where it ends."""
    is_last = len(line) < MAX_LINE_BYTES and line[-1:] not in (b"\n", "\n", "\r")
    return is_last and damage_of(file) is not None


def _byte_lines(path: Place) -> Iterator[Line]:
    offset = number = 0
    with open_bytes(path) as file:
        while line := file.readline(MAX_LINE_BYTES):
            if is_cut(line, file):
                break
            number += 1
            length = len(line)
            while not line.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
                length += len(rest)  # a line over the limit: pass over it, keep its start
                if rest.endswith(b"\n"):
                    break
            start = line[3:] if number == 1 and line.startswith(codecs.BOM_UTF8) else line
            yield _decoded(number, offset, start.rstrip(b"\r\n"))
            offset += length
        if (damage := damage_of(file)) is not None:
            yield Line(number + 1, offset, "", damage)


def _decoded(number: int, offset: int, line: bytes) -> Line:
    if len(line) >= MAX_LINE_BYTES:
        return Line(number, offset, "", _too_long())
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Line(number, offset, "", str(error))
    problem = why_no_text(text)
    return Line(number, offset, text if problem is None else "", problem)


def _text_lines(path: Place) -> Iterator[Line]:
    number = 0
    with open_text(path) as file:
        while text := file.readline(MAX_LINE_BYTES):
            if is_cut(text, file):
                break
            number += 1
            problem = why_no_text(text)
            while not text.endswith("\n") and (rest := file.readline(MAX_LINE_BYTES)):
                problem = _too_long()
                if rest.endswith("\n"):
                    break
            yield Line(number, None, text.rstrip("\n") if problem is None else "", problem)
        if (damage := damage_of(file)) is not None:
            yield Line(number + 1, None, "", damage)


def _too_long() -> str:
    return f"the line is longer than {MAX_LINE_BYTES} bytes"


def _ends_in_returns(path: Place) -> bool:
    """Whether carriage returns alone end the lines, as old spreadsheets write them."""
    with open_bytes(path) as file:
        sample = file.read(_SAMPLE_BYTES)
    return b"\r" in sample[:-1] and b"\n" not in sample
