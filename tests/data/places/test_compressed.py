"""Compressed tables and lists: what they hold, up to where they are damaged."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from temporal.data import collect
from temporal.data.places import unpacked


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
FILES = {
    "a.csv": 'text,label\none,1\n"two,\nlines",0\n',
    "a.tsv": 'text\tlabel\none\t1\n"two,\nlines"\t0\n',
    "a.jsonl": '{"text": "one", "label": "1"}\n{"text": "two,\\nlines", "label": "0"}\n',
}


def texts(path: Path | str) -> list[Any]:
    """Each item's text, or why there is none."""
    items = collect(str(path), kind="text")
    return [item.value if item.error is None else item.error.reason for item in items]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_compressed_table_is_read_as_what_it_holds(
    tmp_path: Path, suffix: str, encoding: str
) -> None:
    for name, content in FILES.items():
        path = tmp_path / f"{name}{suffix.upper() if name == 'a.tsv' else suffix}"
        path.write_bytes(PACK[suffix](content.encode(encoding)))
        items = list(collect(str(path), kind="text"))
        assert [item.value for item in items] == ["one", "two,\nlines"], name
        assert [item.extra["label"] for item in items] == ["1", "0"]
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix]("one\n\nthree é\n".encode(encoding)))
    assert texts(path) == ["one", "", "three é"]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_a_cut_file_gives_the_rows_before_the_cut_and_one_error(
    tmp_path: Path, suffix: str, name: str
) -> None:
    draw = random.Random(1)
    lines = [f"text {draw.getrandbits(64):x}" for _ in range(20_000)]
    content = "\n".join(lines) + "\n"
    if name == "a.csv":
        content = "text\n" + content
    if name == "a.jsonl":
        content = "".join(json.dumps({"text": line}) + "\n" for line in lines)
    packed = PACK[suffix](content.encode())
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    found = texts(path)
    # What comes before the damage is whole; the piece at which it breaks off is no text.
    assert found[:-1] == lines[: len(found) - 1] and found[-1] in ("bad_row", "bad_table")
    assert len(found) > (5_000 if suffix in (".gz", ".zst") else 0)
    *_, last = collect(str(path), kind="text")
    assert last.error is not None and "cannot be unpacked any further" in last.error.message


def test_a_file_that_ends_at_a_line_is_damaged_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n")[:-6])  # all of it, but its checksum
    assert texts(path) == ["one", "two", "bad_row"]
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))  # two in one file
    assert texts(path) == ["one", "two"]
    path.write_bytes(gzip.compress(b"one\n") + b"rubbish behind it")
    assert texts(path) == ["one", "bad_row"]


@pytest.mark.parametrize("suffix", PACK)
def test_a_name_that_lies_is_an_error(tmp_path: Path, suffix: str) -> None:
    for name in FILES:
        path = tmp_path / f"{name}{suffix}"
        path.write_text(FILES[name])
        (item,) = collect(str(path), kind="text")
        assert item.error is not None and "cannot be unpacked" in item.error.message
        path.write_bytes(b"")
        found = texts(path)
        assert all(one in ("bad_row", "bad_table") for one in found), found
    parquet = tmp_path / f"a.parquet{suffix}"
    parquet.write_bytes(PACK[suffix](b"PAR1"))
    (item,) = collect(str(parquet), kind="text")
    assert item.error is not None and item.error.reason == "unsupported_input"


def test_a_bomb_ends_where_it_is_known_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "BOMB_BYTES", 1 << 20)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"0" * 50_000_000))
    (item,) = collect(str(path), kind="text")
    assert item.error is not None and "taken for a bomb" in item.error.message


def test_lists_and_tables_of_videos_and_folders(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"")
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(b"# all\nx.mp4\ngone.mp4\n"))
    (tmp_path / "table.csv.zst").write_bytes(zstd(b"path,label\nx.mp4,a\n"))
    found = list(collect(str(tmp_path / "list.txt.gz"), kind="video"))
    assert [(item.id, item.error is None) for item in found] == [
        ("x.mp4", True), ("gone.mp4", False)
    ]  # fmt: skip
    (item,) = collect(str(tmp_path / "table.csv.zst"), kind="video")
    assert item.value == str(tmp_path / "x.mp4") and item.extra == {"label": "a"}
    told: list[str] = []
    found = list(collect(str(tmp_path), kind="text", notify=told.append))
    assert len(found) == 4 and "x.mp4" in told[0]
