"""The benchmark of isolation measures each way, in the order of what must be dearer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_every_case_is_measured_each_way(
    tmp_path: Path, run_script: Callable[..., dict[str, Any]]
) -> None:
    files = ("--num_frames", 40, "--gop", 2, "--index_frames", 60)
    result = run_script("benchmark_isolation", "--output_dir", tmp_path, *files, "--rounds", 1)
    assert len(list(tmp_path.glob("*.mp4"))) == 3
    cases = result["results"]
    assert len(cases) == 9
    for name, case in cases.items():
        ways = {"in_process", "isolated"} | ({"isolated_by_pipe"} if " at " in name else set())
        ways -= {"isolated_by_pipe"} if "stream" in name else set()
        assert case["milliseconds"].keys() == ways
        assert case["ratio"].keys() == case["more_milliseconds"].keys() == ways - {"in_process"}
        assert all(value > 0 for value in case["milliseconds"].values())
