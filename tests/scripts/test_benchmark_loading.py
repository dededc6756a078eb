"""The benchmark of loaders runs, and every loader gives every row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

CLIP = Path(__file__).parents[2] / "data" / "examples" / "clips" / "big_buck_bunny.mp4"


def test_all_loaders_are_timed(tmp_path: Path, run_script: Callable[..., dict[str, Any]]) -> None:
    table = tmp_path / "rows.csv"
    table.write_text(f"path,label\n{CLIP},rabbit\n")
    small = ("--num_rows", 5, "--num_frames", 1, "--size", 64, "--batch_size", 2)
    result = run_script(
        "benchmark_loading", "--source", table, *small, "--num_workers", 1, "--rounds", 1
    )
    loaders = result["loaders"]
    assert {"temporal", "temporal_keyframes", "decord"} <= set(loaders)
    assert all(one["clips_per_second"] > 0 for one in loaders.values())
