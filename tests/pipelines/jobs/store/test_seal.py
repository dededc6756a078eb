"""A part that changed after it was written is never read as other rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.pipelines.jobs.store.ledger import (
    ResultWriter,
    committed_ids,
    parts,
    read_rows,
    set_damaged_aside,
)
from temporal.pipelines.jobs.store.seal import DamagedPart, sidecar

SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float64())])
ROWS: list[dict[str, Any]] = [{"id": f"id-{i}", "score": i / 4} for i in range(6)]


def write(directory: Path, format: Any, rows_per_part: int = 6) -> list[Path]:
    with ResultWriter(directory, schema=SCHEMA, format=format, rows_per_part=rows_per_part) as out:
        for row in ROWS:
            out.write(row)
    return parts(directory)


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_no_flipped_bit_gives_other_rows(tmp_path: Path, format: str) -> None:
    (path,) = write(tmp_path, format)
    whole = path.read_bytes()
    refused = 0
    bits = range(0, len(whole) * 8, 23)
    for bit in bits:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            assert list(read_rows(tmp_path)) == ROWS
        except DamagedPart as error:
            assert path.name in str(error)
            refused += 1
    # All but those in the mark itself, which leave the rows as they were.
    assert refused >= len(bits) - 8


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_a_damaged_part_is_set_aside_and_the_others_are_kept(tmp_path: Path, format: str) -> None:
    first, second, third = write(tmp_path, format, rows_per_part=2)
    data = bytearray(second.read_bytes())
    data[8] ^= 1
    second.write_bytes(data)
    assert committed_ids(tmp_path, damaged_too=False) == {"id-0", "id-1", "id-4", "id-5"}
    assert set_damaged_aside(tmp_path, rank=1, world_size=2) == []
    assert set_damaged_aside(tmp_path) == [second]
    assert parts(tmp_path) == [first, third]
    assert (tmp_path / f".damaged-{second.name}.aside").read_bytes() == bytes(data)
    assert [row["id"] for row in read_rows(tmp_path)] == ["id-0", "id-1", "id-4", "id-5"]


def test_a_part_that_cannot_be_read_now_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    (path,) = write(tmp_path, "parquet")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(OSError, match="Input/output"):
            set_damaged_aside(tmp_path)
    assert parts(tmp_path) == [path]


def test_parts_without_a_seal_are_read(tmp_path: Path) -> None:
    (path,) = write(tmp_path, "jsonl")
    sidecar(path).unlink()
    pq.write_table(
        pa.Table.from_pylist(ROWS, schema=SCHEMA), tmp_path / "part-00001-000000.parquet"
    )
    assert list(read_rows(tmp_path)) == ROWS + ROWS


def test_sealed_parts_open_as_a_table(tmp_path: Path) -> None:
    write(tmp_path, "parquet", rows_per_part=4)
    (tmp_path / ".run.json").write_text("{}")
    assert pd.read_parquet(tmp_path).to_dict("records") == ROWS


def test_a_text_that_looks_like_a_seal_is_a_text(tmp_path: Path) -> None:
    """Parquet writes the least and greatest text of a column behind the seal."""
    rows = [{"id": f"\x00temporal-sha256:{'x' * 40}{i}", "score": 0.5} for i in range(2)]
    with ResultWriter(tmp_path, schema=SCHEMA) as out:
        for row in rows:
            out.write(row)
    assert list(read_rows(tmp_path)) == rows
    (path,) = parts(tmp_path)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # where the footer begins
    path.write_bytes(data)
    with pytest.raises(DamagedPart):
        list(read_rows(tmp_path))
