"""The benchmark from raw texts to labels: a pass of each way gives the same answers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_passes_tell_answers_and_seconds(tmp_path: Path, script: Callable[[str], Any]) -> None:
    benchmark = script("benchmark_raw_text")
    table = tmp_path / "reviews.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows([f"It was a lovely, fine film, number {k}.", 1] for k in range(80))
    passes = [
        benchmark.one_pass(
            benchmark.RawTextArguments(data_file=str(table), max_samples=60, only=name)
        )
        for name in ("now", "reference", "before")
    ]
    assert len({one["answers"] for one in passes}) == 1
    for one in passes:
        assert one["texts"] == 60 and one["accuracy"] == 1.0
        assert one["seconds"] > 0 and one["cpu_seconds"] > 0
