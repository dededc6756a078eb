"""Lines that are split at once have the cells that the rules of quotes give them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal.data.tables.quotes import Malformed, ParsedRecord, parse_record, split_quoted

LINES = st.text(st.sampled_from('ab,"\t\\\0'), max_size=14)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(line=LINES, end=st.sampled_from(["", "\n", "\r\n", "\r"]), delimiter=st.sampled_from(",\t"))
def test_a_line_is_split_as_it_is_parsed_or_not_at_all(line: str, end: str, delimiter: str) -> None:
    cells = split_quoted(line + end, delimiter)
    try:
        parsed = parse_record(line + end, delimiter)
    except Malformed:
        assert cells is None
    else:
        assert cells is None or ParsedRecord(cells, False) == parsed


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('1,"a, b"', ["1", "a, b"]),
        ('"a, b",1', ["a, b", "1"]),
        ('"a","b","c"', ["a", "b", "c"]),
        ('"a",,"b",', ["a", "", "b", ""]),
        (',"a"', ["", "a"]),
        ("a,b", ["a", "b"]),
        ('a,"b""c"', ["a", 'b"c']),
        ('a,"b"""', ["a", 'b"']),
        ('"b""""c",""', None),  # an empty field, or a quote: seen by the one that parses
        ('a,"""b"', None),
        ('a""b,"c"', None),
        ('"a\0""b"', None),
        ('a 5" nail,"b"', None),
        ('"a" b,"c"', None),
        ('"a', None),
    ],
)
def test_lines_of_each_kind(line: str, cells: list[str] | None) -> None:
    assert split_quoted(f"{line}\r\n", ",") == cells
