"""The benchmark of streams runs, loses nothing, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["signal", "sender"])
def test_a_stream_through_a_pipe_loses_nothing(end: str, tmp_path: Path) -> None:
    clip = ROOT / "data/examples/clips/big_buck_bunny.mp4"
    command: list[Any] = [sys.executable, ROOT / "scripts/benchmarks/benchmark_stream.py"]
    command += ["--video", clip, "--seconds", 20, "--speed", 10, "--sender", "pyav", "--end", end]
    done = subprocess.run([*map(str, command)], capture_output=True, cwd=tmp_path, check=True)
    found = json.loads(done.stdout)
    assert found["state"] == {"signal": "stopped", "sender": "ended"}[end]
    assert found["lost_frames"] == 0
    assert found["frames_came"] > 50
    if end == "sender":
        assert found["frames_sent"] == found["frames_came"]
    assert 0 < found["frames_decoded"] < found["frames_came"]
    assert len(found["memory_mb"]) >= 1
