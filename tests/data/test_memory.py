"""Memory stays flat over many opens and long streams, and a bomb is refused before it goes off.

The script that reports these figures measures them, each in a process of its own: this one holds
what the other tests left behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from temporal.data import Video, VideoError

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "benchmark_memory.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
FLAT_MB = 20
BOMB_MB = 350  # the whole process, interpreter and libraries included


def measure(folder: Path, *options: object) -> dict[str, Any]:
    command = [sys.executable, SCRIPT, "--output_dir", folder, *options]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    return results


def assert_flat(found: dict[str, Any]) -> None:
    assert found["base_mb"] <= found["warm_mb"] + 1
    assert found["end_mb"] < found["warm_mb"] + FLAT_MB
    assert found["peak_mb"] < found["warm_mb"] + FLAT_MB


def assert_defused(results: dict[str, Any], frames: int) -> None:
    refused, found = results["refused"], results["bomb"]
    assert refused["reason"] == "too_large"
    # One picture of it is 100 MB: none was decoded to find out how large it is.
    assert refused["peak_mb"] < refused["base_mb"] + 50
    assert found["frames"] == found["different_frames"] == frames
    assert found["base_mb"] + 200 < found["peak_mb"] <= BOMB_MB  # it is a bomb, and within bounds


def test_opens_and_streams_take_no_memory(tmp_path):
    results = measure(tmp_path, "--opens", 200, "--frames", 3000, "--only", "opens", "stream")
    assert results["opens"]["opens"] == 200
    assert results["stream"]["frames"] == 3000
    for found in results.values():
        assert_flat(found)


def test_a_bomb_is_refused_and_if_allowed_takes_two_pictures(tmp_path):
    results = measure(tmp_path, "--bomb_frames", 3, "--only", "make_bomb", "refused", "bomb")
    assert_defused(results, frames=3)


@pytest.mark.slow
def test_the_same_for_thousands_of_opens_and_100_000_frames(tmp_path):
    results = measure(tmp_path)
    assert (results["opens"]["opens"], results["stream"]["frames"]) == (2000, 100_000)
    assert_flat(results["opens"])
    assert_flat(results["stream"])
    assert_defused(results, frames=16)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.ts", "mpeg4.avi", "vp9.webm", "mpeg2.mpg"])
def test_a_frame_above_the_limit_is_named_with_its_size(clips, name):
    path = clips.path(name)
    for source in (path, path.read_bytes()):
        with pytest.raises(VideoError, match="frames of 64x48") as caught:
            len(Video(source, max_pixels=64 * 48 - 1))
        assert caught.value.reason == "too_large"
        assert len(Video(source, max_pixels=64 * 48)) == 60
