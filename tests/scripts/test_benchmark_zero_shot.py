"""The benchmark of zero-shot answers runs whole, and says of every way what it read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .small_clips import write_clip


@pytest.mark.slow
def test_every_way_is_measured(run_script: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    clips = [tmp_path / f"{number}.mp4" for number in range(12)]
    for number, clip in enumerate(clips):
        write_clip(clip, rising=number % 2 == 0, seed=number)
    out = tmp_path / "out"
    options = ["--max_drop", "0.6", "--criteria", "lead", "--rounds", "2", "--splits", "5"]
    found = run_script("benchmark_zero_shot", *clips, "--output_dir", out, *options)
    ways = found["ways"]
    assert len(ways) == 6 and all(way["ms_a_clip"] > 0 for way in ways.values())
    assert ways["ours, all frames"]["same_best"] == 1
    assert ways["transformers, the same 10 frames"]["same_best"] == 1
    assert ways["transformers, 3 uniform"]["frames"] == 3
    assert found["halting"]["lead"]["resampled"]["splits"] == 5
