"""What the page on clusters shows runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
WITH_RAY = [block for block in BLOCKS if "import ray\n" in block or "RayPipeline" in block]
WITHOUT = [block for block in BLOCKS if block not in WITH_RAY]


def run_block(block: str, folder: Path) -> str:
    """Run it where the bundled data lies, and nothing else."""
    (folder / "data").mkdir()
    (folder / "data" / "examples").symlink_to(ROOT / "data" / "examples")
    environment = {
        **os.environ,
        "HF_HOME": str(folder / "cache"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_reading_with_pandas_and_with_datasets(tmp_path: Path) -> None:
    assert len(WITHOUT) == 2
    for number, block in enumerate(WITHOUT):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert "positive" in run_block(block, folder)


@pytest.mark.slow
def test_reading_with_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    assert len(WITH_RAY) == 2
    for number, block in enumerate(WITH_RAY):
        folder = tmp_path / str(number)
        folder.mkdir()
        told = run_block(block, folder)
        if "RayPipeline" in block:
            assert "3 read, 1 errors" in told
        else:
            assert list((folder / "out" / "ray_reviews").glob("*.parquet"))
