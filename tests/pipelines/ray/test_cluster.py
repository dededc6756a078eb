"""Reading with actors of Ray: the rows of one process, whoever ends on the way."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from temporal.data import collect
from temporal.pipelines import pipeline, read_rows, run
from temporal.pipelines.jobs.table.row import row_schema

pytest.importorskip("ray")
# Ray takes seconds to start, and each actor has to import torch.
pytestmark = pytest.mark.slow

TEXTS = 60
BAD = {7, 31}
"""Places of texts that are empty."""


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith("_seconds")}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label", "stars"])
        for k in range(TEXTS):
            words = " ".join(f"w{(7 * k + j * j) % 50}" for j in range(1 + 5 * k % 23))
            writer.writerow([f"text {k}", "" if k in BAD else words, k % 3, k])
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, table: Path, early_exit_path: Path) -> Path:
    """What a process with Ray has made, which it starts and ends."""
    folder = tmp_path_factory.mktemp("ray")
    script = Path(__file__).with_name("cluster_job.py")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, str(script), str(early_exit_path), str(table), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def told(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "told.json").read_text())
    return found


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, table: Path, early_exit_path: Path
) -> list[dict[str, Any]]:
    """The rows that one process commits."""
    folder = tmp_path_factory.mktemp("one") / "out"
    pipe = pipeline("text-classification", model=str(early_exit_path), device="cpu")
    run(pipe, collect(str(table), kind="text"), folder, progress=False, keep_text=True)
    return [timeless(row) for row in read_rows(folder)]


def test_a_job_has_the_rows_of_one_process_although_an_actor_was_killed(
    output: Path, expected: list[dict[str, Any]]
) -> None:
    assert [timeless(row) for row in read_rows(output / "texts")] == expected
    assert len(expected) == TEXTS
    assert {row["status"] for row in expected} == {"ok", "error"}


def test_a_dataset_has_them_too_beside_its_own_columns(
    output: Path, expected: list[dict[str, Any]]
) -> None:
    made = pq.read_table(output / "mapped")
    assert made.column_names == [*row_schema().names, "text", "stars"]
    rows = sorted(made.to_pylist(), key=lambda row: row["stars"])
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    for name in ("label", "target", "status", "error_reason", "units_read", "exit"):
        assert [row[name] for row in rows] == [row[name] for row in expected], name
    pairs = [(row["score"], other["score"]) for row, other in zip(rows, expected, strict=True)]
    assert all(mine == other or mine == pytest.approx(other, rel=1e-5) for mine, other in pairs)


def test_an_input_that_ends_every_actor_is_given_up_and_it_alone(told: dict[str, Any]) -> None:
    found = told["fragile"]
    assert found["given_up"] == ["5"]
    assert sorted(int(name) for name, _ in found["made"]) == [k for k in range(20) if k != 5]
    groups = {name: group for name, group in found["made"]}
    assert groups["4"] == ["4"]  # it was with number 5, which has ended two actors by then
    assert groups["0"] == ["0", "1", "2", "3"] and groups["16"] == ["16", "17", "18", "19"]


def test_what_the_pipeline_raises_is_raised(told: dict[str, Any]) -> None:
    assert told["wrong"] == "LookupError: a fault of the pipeline"
    assert told["no model"] == "OSError"


def test_actors_that_never_come_to_work_end_the_job(told: dict[str, Any]) -> None:
    assert told["never there"].startswith("RuntimeError: 3 actors in a row ended before")


def test_what_cannot_be_sent_to_an_actor_is_an_error_of_its_own(told: dict[str, Any]) -> None:
    assert told["readings"] == [["lock", "unsupported_input"], ["text", None]]
