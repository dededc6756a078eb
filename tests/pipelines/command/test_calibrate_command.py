"""`temporal calibrate` and `temporal check`: the options of the scripts, a report, an exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from typer.testing import CliRunner

from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app

from ..conftest import words


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Path]:
    """`rows(start, stop)`: a table of texts with these numbers and the labels bad, fair, good."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def write(start: int, stop: int) -> Path:
        path = tmp_path / f"{start}-{stop}.csv"
        lines = [
            f"{words(k, 5 + k % 9)},{('bad', 'fair', 'good')[k % 3]}" for k in range(start, stop)
        ]
        path.write_text("\n".join(["text,label", *lines]) + "\n")
        return path

    return write


@pytest.fixture
def reader(tmp_path: Path, early_exit_path: Path) -> Path:
    return Path(shutil.copytree(early_exit_path, tmp_path / "reader"))


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def test_a_reader_is_calibrated_and_checked(reader: Path, rows: Any) -> None:
    given = ("--task", "text", "--model", reader)
    code, out, _ = run(
        "calibrate", *given, "--data-file", rows(0, 60), "--budget", 0.8, "--num_points", 6
    )
    assert code == 0
    (line,) = out.splitlines()
    report = json.loads(line)
    assert report.keys() == {"rows", "chosen", "full", "stored", "promise"}
    assert report["rows"]["used"] == report["full"]["num_calibration"] == 60
    pipe: Any = pipeline("text-classification", str(reader), budget=0.8)
    assert pipe.operating_point["policy"] == report["chosen"]["policy"]
    assert pipe.operating_point["cost_share"] <= 0.805

    code, out, _ = run("check", *given, "--data_file", rows(100, 140))
    assert code == 0
    checked = json.loads(out)
    assert checked["promise"] == report["promise"] and checked["sources"] == 40
    code, out, error = run("check", *given, "--data_file", rows(50, 70))
    assert (code, out) == (2, "") and "10 of 20 rows" in error and "were calibrated on" in error


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "give one of --max_drop, --budget and --budget_cost"),
        (("--budget", 0.5, "--measured"), r"--measured (True) says how --max_drop is met"),
        (("--budget", 1e-6), "--budget (1e-06) must be at least"),
        (("--budget", 0.5, "--bugdet", 1), "--bugdet"),
        (("--budget", 0.5, "--max_samples", 0), "--max_samples (0) must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_said(
    given: tuple[object, ...], message: str, reader: Path, rows: Any
) -> None:
    code, out, error = run("calibrate", "--model", reader, "--data_file", rows(0, 20), *given)
    assert (code, out) == (2, "") and message in error
    assert "Traceback" not in error


def test_the_help_has_the_options(reader: Path) -> None:
    for command, options in {
        "calibrate": ("--max_drop", "--calibration_share", "--cost-unit", "--output_dir"),
        "check": ("--max_drop", "--calibration_share", "--leave_out_seen"),
    }.items():
        code, out, _ = run(command, "--help")
        assert code == 0 and f"usage: temporal {command}" in out
        assert all(option in out for option in options)
    code, out, _ = run("--help")
    assert code == 0 and "calibrate" in out and "check" in out


def test_help_and_mistakes_are_told_in_words(reader: Path) -> None:
    given = ("--model", reader, "--data_file", "nowhere.csv", "--budget", 0.5)
    for command in ("calibrate", "check"):
        code, out, _ = run(command, "--help")
        assert code == 0 and "(default: None)" not in out and "(default: text)" in out
        code, out, error = run(command, *given, "--bugdet", 1)
        assert (code, out) == (2, "")
        assert f"no such option: --bugdet 1; temporal {command} --help lists them" in error
    code, out, error = run("calibrate", *given)
    assert (code, out) == (2, "") and "nowhere.csv: there is no such file" in error
