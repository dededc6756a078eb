"""The benchmarks of long collections count what they say, on few rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts" / "benchmarks" / "collections"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds"),
]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.parquet"
    words = [f"a film that is good and {'very ' * i}long" for i in range(8)]
    pq.write_table(pa.table({"text": words}), path)
    return path


def measured(name: str, texts: Path, *options: object) -> dict[str, Any]:
    folder = texts.parent / "out"
    command = [sys.executable, SCRIPTS / name, "--output_dir", folder, "--texts", texts, *options]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    return results


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_each_size_is_measured(texts: Path, format: str) -> None:
    options = ("--sizes", 3000, "--parts", 10**6, "--names", 500, "--format", format)
    found = measured("benchmark_ledger.py", texts, *options)
    assert found["3000"]["write"]["parts"] == 1
    assert found["3000"]["write"]["bytes_a_row"] > 5
    assert found["3000"]["resume"]["find"]["microseconds_a_row"] > 0
    assert found["names 500"]["look_up_known"]["seconds"] >= 0
    assert found["parts 1000000"]["most_parts"] <= 10**6 // 8192 + 48


def test_a_run_that_is_killed_is_gone_on_with(texts: Path) -> None:
    options = ("--num_texts", 60_000, "--kill_at", 0.01)
    found = measured("benchmark_long_run.py", texts, *options)
    assert found["resumed"]["exit_code"] == 0
    assert 0 < found["resumed"]["ledger_share"] < 1
    assert found["resumed"]["first_row_seconds"] > 0
