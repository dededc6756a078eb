"""A row that cannot be used is left out, told, counted and recorded; too many are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
from typer.testing import CliRunner

from temporal.data.labelled.events import read_event_table
from temporal.data.labelled.files import read_labelled_texts
from temporal.pipelines.calibration.events import calibrate_events_command
from temporal.pipelines.command.cli import app
from temporal.pipelines.held_out.faulty import MOST, TooManyFaulty, check_share
from temporal.pipelines.training.events import train_events

from ..conftest import words


@pytest.fixture
def reader(tmp_path: Path, early_exit_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return Path(shutil.copytree(early_exit_path, tmp_path / "reader"))


def calibrate(reader: Path, file: Path) -> tuple[int, Any, str]:
    given = ("--model", str(reader), "--data_file", str(file), "--budget", "0.8")
    result = CliRunner().invoke(app, ["calibrate", *given, "--num_points", "4"])
    return result.exit_code, json.loads(result.stdout or "null"), result.stderr


GOOD = [(words(k, 5 + k % 9), ("bad", "fair", "good")[k % 3]) for k in range(20)]
STRANGE = [("an odd one", "purple"), ("no label", ""), ("  ", "good")]


def csv_file(folder: Path, rows: list[tuple[str, str]], *lines: str) -> Path:
    written = ["text,label", *(",".join(row) for row in rows[:3]), *lines]
    path = folder / "rows.csv"
    path.write_text("\n".join([*written, *(",".join(row) for row in rows[3:])]) + "\n")
    return path


def json_file(folder: Path, rows: list[tuple[str, str]], *lines: str) -> Path:
    written = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path = folder / "rows.jsonl"
    path.write_text("\n".join([*written[:3], *lines, *written[3:]]) + "\n")
    return path


@pytest.mark.parametrize(
    ("write", "broken"),
    [(csv_file, 'a row,"with a stray" quote,good'), (json_file, '{"text": "cut off')],
)
def test_faulty_texts_are_left_out_and_the_others_calibrate_as_without_them(
    write: Any, broken: str, reader: Path, tmp_path: Path
) -> None:
    code, clean, _ = calibrate(reader, write(tmp_path, GOOD))
    assert code == 0 and "faulty" not in clean["rows"]
    code, report, told = calibrate(reader, write(tmp_path, [*GOOD, *STRANGE], broken))
    assert code == 3 and report["rows"].pop("faulty") == [
        {"id": one["id"], "message": one["message"]} for one in left_out(told)
    ]
    assert report["rows"]["used"] == clean["rows"]["used"] == 20
    assert all(report[name] == clean[name] for name in ("chosen", "full", "stored"))
    assert "Left out 4 of 24 rows that cannot be used." in told
    for what in (", row ", "'purple'", "'label' is empty"):
        assert what in told


def left_out(told: str) -> list[dict[str, str]]:
    lines = [line for line in told.splitlines() if line.startswith("left out ")]
    parts = [line.removeprefix("left out ").split(": ", 1) for line in lines]
    return [{"id": where, "message": why} for where, why in parts]


def test_too_many_are_refused_and_nothing_is_stored(reader: Path, tmp_path: Path) -> None:
    before = (reader / "config.json").read_bytes()
    code, report, told = calibrate(reader, csv_file(tmp_path, [*GOOD[:9], *STRANGE, ("", "bad")]))
    assert (code, report) == (2, None)
    assert "4 of 13 rows" in told and "at most 25%" in told and "mend them" in told
    assert (reader / "config.json").read_bytes() == before


def test_a_training_still_refuses_them(tmp_path: Path) -> None:
    path = str(csv_file(tmp_path, [*GOOD, ("no label", "")]))
    with pytest.raises(ValueError, match="row 21 .* 'label' must not be empty"):
        read_labelled_texts(path)
    left_out: list[tuple[str, str]] = []
    assert len(read_labelled_texts(path, left_out=left_out)) == 20
    assert left_out == [(f"{path}, row 21", "'label' is empty")]


def test_lines_of_a_tsv_that_lack_a_column_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("good one\t1\nno tab here\nbad one\t0\n")
    left_out: list[tuple[str, str]] = []
    rows = read_labelled_texts(str(path), left_out=left_out)
    assert rows.to_dict() == {"text": ["good one", "bad one"], "label": [1, 0]}
    assert [where for where, _ in left_out] == [f"{path}, row 2"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "tsv"])
def test_a_row_keeps_its_number_behind_broken_ones(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        rows = ['{"text": "a", "label": 1}', "{no", '{"text": "b", "label": 0}', '{"text": "c"}']
    else:
        tab = "\t" if suffix == "tsv" else ","
        broken = "x" if suffix == "tsv" else "x,y,z"
        rows = [f"text{tab}label", f"a{tab}1", broken, f"b{tab}0", f"c{tab}"]
    path.write_text("\n".join(rows) + "\n")
    left_out: list[tuple[str, str]] = []
    found = read_labelled_texts(str(path), left_out=left_out)
    assert found["text"][:] == ["a", "b"]
    line = "" if suffix == "jsonl" else " (line 3)"
    assert [where for where, _ in left_out] == [f"{path}, row 2{line}", f"{path}, row 4"]


def test_the_share_is_of_all_rows() -> None:
    faults = [("a", "b")] * 5
    check_share(faults, int(5 / MOST), "x")
    with pytest.raises(TooManyFaulty, match="5 of 19 rows of x cannot be used.*first is a: b"):
        check_share(faults, 19, "x")
    check_share([], 0, "x")
    check_share(faults[:2], 3, "x")  # a few of a small file
    with pytest.raises(TooManyFaulty, match="2 of 2 rows"):
        check_share(faults[:2], 2, "x")


def test_tables_of_events_are_counted_and_refused_alike(tmp_path: Path) -> None:
    lines = ["video,start_seconds,end_seconds,label", "a.mp4,1,2,goal", "b.mp4,,,"]
    lines += ["a.mp4,3,2,goal", "a.mp4,x,2,goal", "c.mp4,1,2,"]
    table = tmp_path / "events.csv"
    table.write_text("\n".join(lines) + "\n")
    found = read_event_table(table)
    assert (found.num_rows, len(found.left_out), len(found.videos)) == (5, 3, 2)
    assert found.of_split("").num_rows == 5
    told = "3 of 5 rows of .*events.csv cannot be used"
    with pytest.raises(TooManyFaulty, match=told):
        train_events(table, tmp_path / "out")
    with pytest.raises(TooManyFaulty, match=told):
        calibrate_events_command(
            ["--model", "x", "--data_file", str(table), "--max_drop", "0.1"], None
        )
