"""`temporal export` of any run's rows: CSV, TSV, JSON lines, parquet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import read_rows

pytestmark = pytest.mark.usefixtures("fake_pipeline")

TEXTS = ["one two", 'a "quoted", text', "lines\nand\r\nmore é 日本", " spaces ", "w;x\ty"]


@pytest.fixture(params=["parquet", "jsonl"])
def out(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A run with one bad input."""
    path = tmp_path / "t.jsonl"
    rows: list[dict[str, Any]] = [
        {"text": text, "camera": f"c,{k}", "id": f"t{k}"} for k, text in enumerate(TEXTS)
    ]
    rows += [{"text": 5, "id": "bad", "error": {"nested": ["é"]}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["run", "text-classification", str(path), "-o", str(tmp_path / "out"), "--keep-text"]
    assert CliRunner().invoke(app, [*words, "--format", request.param, "--quiet"]).exit_code == 3
    return tmp_path / "out"


def export(*words: Any) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ","), (".tsv", "\t")])
def test_csv_is_what_other_readers_read(out: Path, tmp_path: Path, suffix: str, mark: str) -> None:
    path = tmp_path / f"rows{suffix}"
    result = export(out, "-o", path)
    assert result.exit_code == 0 and "6 rows" in result.stdout, result.output
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=mark))
    assert [row["text"] for row in rows] == [*TEXTS, ""]
    assert [row["extra.camera"] for row in rows] == [f"c,{k}" for k in range(5)] + [""]
    assert json.loads(rows[5]["extra.error"]) == {"nested": ["é"]}
    stored = list(read_rows(out))
    assert [json.loads(row["trace"]) for row in rows[:5]] == [row["trace"] for row in stored[:5]]
    assert [float(row["score"]) for row in rows[:5]] == [0.75] * 5
    assert rows[5]["status"] == "error" and rows[5]["error_reason"] == "not_text"
    table = pandas.read_csv(path, sep=mark)
    assert list(table["text"][:5]) == TEXTS and table["label"].isna()[5]


def test_json_lines_and_parquet(out: Path, tmp_path: Path) -> None:
    stored = list(read_rows(out))
    assert export(out, "-o", tmp_path / "rows.jsonl").exit_code == 0
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["text"] for row in rows] == [row["text"] for row in stored]
    assert rows[0]["extra"] == {"camera": "c,0"} and rows[0]["trace"] == stored[0]["trace"]
    assert export(out, "-o", tmp_path / "rows.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == stored


def test_some_rows_and_some_columns(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    words = ("--column", "extra.camera", "--column", "id", "--id", "t1", "--id", "bad")
    assert export(out, "-o", path, *words).exit_code == 0
    assert path.read_bytes() == b'extra.camera,id\r\n"c,1",t1\r\n,bad\r\n'
    assert export(out, "-o", tmp_path / "r.jsonl", "--column", "id", "--id", "t1").exit_code == 0
    assert (tmp_path / "r.jsonl").read_text() == '{"id": "t1"}\n'
    assert export(out, "-o", tmp_path / "r.parquet", "--column", "id").exit_code == 0
    assert pq.read_table(tmp_path / "r.parquet").column_names == ["id"]


def test_what_cannot_be_written_is_said(out: Path, tmp_path: Path) -> None:
    for words, said in [
        ((out, "-o", tmp_path / "r.csv", "--column", "nothing"), "must be one of id, status"),
        ((out, "-o", tmp_path / "r.csv", "--id", "none"), "none"),
        ((out, "-o", tmp_path / "r.xlsx", "--rows"), ".parquet"),
        ((out, "-o", tmp_path / "r.xlsx"), "one of .csv, .tsv, .jsonl, .parquet for rows"),
        ((out, "-o", tmp_path / "no" / "r.csv"), "No such file"),
        ((tmp_path / "gone", "-o", tmp_path / "r.csv"), "output directory of a run"),
        (("memory://gone/out", "-o", tmp_path / "r.csv"), "must be the output of a run"),
    ]:
        result = export(*words)
        assert result.exit_code == 2, (words, result.output)
        assert said in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("*r.*"))
