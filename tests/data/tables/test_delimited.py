"""CSV and TSV: what a writer wrote is read back; what is damaged costs its own row and no other."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temporal.data import collect

SETTINGS = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CELLS = st.text(st.sampled_from("ab ,;\t\"'\n|é\u2028"), max_size=12)
ROWS = st.lists(st.tuples(CELLS, st.sampled_from(["0", "1"])), min_size=1, max_size=12)


def read(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(collect(path, kind="text", **options))


def values(items):
    return [item.value if item.error is None else item.error.reason for item in items]


def written(rows, delimiter=",", **options):
    """A table of texts and labels as the csv module writes it."""
    file = io.StringIO()
    options.setdefault("lineterminator", "\n")
    csv.writer(file, delimiter=delimiter, **options).writerows([("text", "label"), *rows])
    return file.getvalue()


def hundred(mark, **odd):
    lines = (odd.get(f"r{k}", f"review number {k}{mark}{k % 2}") for k in range(100))
    return f"text{mark}label\n" + "".join(f"{line}\n" for line in lines)


@SETTINGS
@given(rows=ROWS, delimiter=st.sampled_from(",;\t|"), ends=st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_a_writer_writes_is_read_back(tmp_path, rows, delimiter, ends):
    # The writer leaves line feeds without quotes where carriage returns end its lines.
    quoting = csv.QUOTE_ALL if ends == "\r" else csv.QUOTE_MINIMAL
    content = written(rows, delimiter, lineterminator=ends, quoting=quoting)
    suffix = ".tsv" if delimiter == "\t" else ".csv"
    items = read(tmp_path / f"a{suffix}", content)
    assert [(item.value, item.extra) for item in items] == [(t, {"label": k}) for t, k in rows]


@SETTINGS
@given(rows=ROWS, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
def test_fields_may_all_be_quoted(tmp_path, rows, quoting):
    items = read(tmp_path / "a.csv", written(rows, quoting=quoting))
    assert values(items) == [text for text, _ in rows]


@SETTINGS
@given(data=st.data(), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_a_damaged_row_costs_no_other(tmp_path, data, quoting):
    """A quote too many or too few, in any place of any one row of one line."""
    rows = [(f"it was, so to say, film {k}", str(k % 2)) for k in range(20)]
    lines = written(rows, quoting=quoting).splitlines()
    number = data.draw(st.integers(1, 20))
    line = lines[number]
    place = data.draw(st.integers(0, len(line)))
    if data.draw(st.booleans()) and '"' in line:
        lines[number] = line.replace('"', "", 1)
    else:
        lines[number] = f'{line[:place]}"{line[place:]}'
    items = read(tmp_path / "a.csv", "\n".join(lines))
    assert len(items) == 20
    others = [k for k in range(20) if k != number - 1]
    assert [items[k].value for k in others] == [rows[k][0] for k in others]


@pytest.mark.parametrize("mark", [",", "\t", ";"])
@pytest.mark.parametrize("places", [(3,), (0,), (99,), (3, 50), (3, 5), (3, 4), (3, 40, 41, 90)])
def test_stray_quotes_swallow_nothing(tmp_path, mark, places):
    odd = {}
    for turn, k in enumerate(places):  # one opens, the next one closes
        text = f'"Great movie{mark}1' if turn % 2 == 0 else f'So they say"{mark}0'
        odd[f"r{k}"] = text
    path = tmp_path / ("a.tsv" if mark == "\t" else "a.csv")
    items = read(path, hundred(mark, **odd))
    assert len(items) == 100
    for k, item in enumerate(items):
        if k not in places:
            assert item.value == f"review number {k}"
        elif odd[f"r{k}"].startswith('"'):
            assert item.error.line == k + 2 and "quote" in item.error.message


def test_broken_lines_are_named(tmp_path):
    odd = {"r3": '"Great movie\t1', "r50": 'So they say"\t0', "r60": '"so" they say\t1'}
    errors = [i.error for i in read(tmp_path / "a.tsv", hundred("\t", **odd)) if i.error]
    assert [error.line for error in errors] == [5, 52, 62]
    assert "closes at line 52" in errors[0].message and "opened at line 5" in errors[1].message


def test_a_damaged_row_of_several_lines_is_one_error(tmp_path):
    """Its lines are no rows, and the rows around it, of several lines too, are read."""
    rows = [(f'one, {k}\n"two"\nthree, or so', str(k % 2)) for k in range(10)]
    whole = written(rows)
    for damage in (
        lambda text: text.replace("one, 4", 'one "4'),  # a quote too many
        lambda text: text.replace('"one, 4', "one; 4"),  # a quote too few
        lambda text: text.replace('three, or so",0', "three, or so,0", 5).replace(
            "three, or so,0", 'three, or so",0', 2
        ),
    ):
        items = read(tmp_path / "a.csv", damage(whole))
        good = [item.value for item in items if item.error is None]
        assert set(good) <= {text for text, _ in rows}
        assert len(good) >= 7
    items = read(tmp_path / "a.csv", whole.replace("one, 4", 'one "4'))
    assert values(items) == [text if k != 4 else "bad_row" for k, (text, _) in enumerate(rows)]


def test_a_long_field_of_lines_that_look_like_no_rows_is_a_field(tmp_path):
    poem = "\n".join(f"line {k}" + ", and on" * (k % 3) for k in range(300))
    rows = [("short", "0"), (poem, "1"), ("last", "0")]
    assert values(read(tmp_path / "a.csv", written(rows))) == ["short", poem, "last"]
    (tmp_path / "b.csv").write_text('text\n"one\n\ntwo"\nthree\n')
    assert values(collect(tmp_path / "b.csv", kind="text")) == ["one\n\ntwo", "three"]


def test_quotes_inside_unquoted_fields_are_text(tmp_path):
    content = 'text,label\na 5" nail,1\nhe said "hi" to me,0\n"quoted, too",1\nends with 12",0\n'
    assert values(read(tmp_path / "a.csv", content)) == [
        'a 5" nail', 'he said "hi" to me', "quoted, too", 'ends with 12"',
    ]  # fmt: skip


def test_a_tsv_whose_quotes_are_text(tmp_path):
    texts = ['"Hi" , he said', 'he said " hi " again', '" all of it "', '" it begins', "plain"]
    content = "sentence\tlabel\n" + "".join(f"{text}\t1\n" for text in texts)
    assert values(read(tmp_path / "a.tsv", content)) == texts


@SETTINGS
@given(
    rows=st.lists(
        st.tuples(st.text(st.sampled_from('ab ,"\\\n'), max_size=9), st.sampled_from("01")),
        min_size=1,
        max_size=9,
    )
)
def test_quotes_may_be_escaped_by_backslashes(tmp_path, rows):
    rows = [*(('so "it" is, then', "1"),) * 10, *rows]
    content = written(rows, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL)
    assert values(read(tmp_path / "a.csv", content)) == [text for text, _ in rows]


def test_backslashes_are_text_where_quotes_are_doubled(tmp_path):
    texts = ["C:\\films\\", '{\\"a\\": "b, c"}', 'plain "one"', "a\\b"]
    rows = [(text, str(k % 2)) for k, text in enumerate(4 * texts)]
    for quoting in (csv.QUOTE_ALL, csv.QUOTE_MINIMAL):
        content = written(rows, quoting=quoting)
        assert values(read(tmp_path / "a.csv", content)) == [text for text, _ in rows]


def test_a_stray_quote_among_escaped_ones_costs_its_row(tmp_path):
    lines = [f'"so \\"it\\" is, {k}",{k % 2}' for k in range(20)]
    lines[4] = '"so "it\\" is, 4",0'
    items = read(tmp_path / "a.csv", "text,label\n" + "\n".join(lines) + "\n")
    assert values(items) == [
        "bad_row" if k == 4 else f'so "it" is, {k}' for k in range(20)
    ]  # fmt: skip


def test_texts_of_several_lines_in_a_tsv(tmp_path):
    """Their inner lines have quotes in pairs, and are no rows."""
    said = ['"Up"\n"and" away, "he" said', "plain", 'one "two"\n\nthree "four"\nfive']
    rows = [(text, str(k % 2)) for k, text in enumerate(8 * said)]
    assert values(read(tmp_path / "a.tsv", written(rows, "\t"))) == [text for text, _ in rows]
    for long in (30, 3):
        texts = [*(8 * said), "\n".join(f"line {k}" for k in range(long))]
        file = io.StringIO("text\n")
        file.seek(0, io.SEEK_END)
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([t] for t in texts)
        assert values(read(tmp_path / "b.tsv", file.getvalue())) == texts


def test_the_header_tells_the_delimiter(tmp_path):
    for mark in ";\t|":
        items = read(tmp_path / "a.csv", f"text{mark}label\nso, it was{mark}1\n")
        assert (items[0].value, items[0].extra) == ("so, it was", {"label": "1"})
    assert values(read(tmp_path / "a.tsv", "id,text\n1,a b\n")) == ["a b"]
    items = read(tmp_path / "a.csv", "id;review\n7;fine\n", column="review", id_column="id")
    assert [(item.id, item.value) for item in items] == [("7", "fine")]


def test_columns_of_one_name_are_refused(tmp_path):
    (item,) = read(tmp_path / "a.csv", "text,text,label\na,b,1\n")
    assert item.error.reason == "bad_table" and "several columns 'text'" in item.error.message
    assert values(read(tmp_path / "a.csv", "text,x,x\na,b,1\n")) == ["a"]


def test_odds_and_ends(tmp_path):
    long = "x" * 3_000_000
    content = f'\ufefftext,label\r\n\r\n"{long}",1\r\na\0b,1\r\n"two\r\nlines",0\r\nlast,1'
    items = read(tmp_path / "a.csv", content)
    assert values(items) == [long, "bad_row", "two\r\nlines", "last"]
    assert "NUL" in items[1].error.message and items[1].error.line == 4
    assert read(tmp_path / "a.csv", "text,label\n") == []
    (item,) = read(tmp_path / "a.csv", '"text,label\na,1\n')
    assert item.error.reason == "bad_table" and "header" in item.error.message


def test_reading_is_lazy(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "fine,1\n" * 400_000)
    items = collect(path, kind="text")
    assert next(items).value == "fine"
    assert Path(path).stat().st_size > 2 * 2**20  # more than is looked at first


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_byte_order_marks_are_believed(tmp_path, encoding):
    content = 'text,label\n"né, or so",1\nzwei,0\n'.encode(encoding)
    assert values(read(tmp_path / "a.csv", content)) == ["né, or so", "zwei"]


def test_rows_of_another_encoding_are_errors(tmp_path):
    content = "text,label\nfine,1\ncafé,1\n".encode("latin-1") + b"last,0\n"
    assert values(read(tmp_path / "a.csv", content)) == ["fine", "bad_row", "last"]
