"""benchmark_features.py: thresholds for a budget, and differences over recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from temporal.data import FrameFeatures
from temporal.models import READERS, GivenFeatures


@pytest.fixture
def benchmark(script: Callable[[str], Any]) -> Any:
    return script("benchmark_features")


def part(benchmark: Any) -> Any:
    torch.manual_seed(0)
    clips = [FrameFeatures(torch.randn(12, 6)) for _ in range(20)]
    return benchmark.Part(rows=torch.arange(20), clips=clips, labels=torch.arange(20) % 3)


@pytest.mark.parametrize("name", ["frame_exit", "frame_glimpse", "lite_eval"])
def test_a_threshold_reads_within_its_budget(benchmark: Any, name: str) -> None:
    looks = {"glance_pixels": 3} if name == "lite_eval" else {}
    options = {"num_labels": 3, "num_frames": 5, **looks}
    reader = READERS[name].from_backbone(GivenFeatures(6), **options).eval()
    with torch.no_grad():
        for weight in reader.parameters():
            weight.add_(0.7 * torch.randn_like(weight))
    for budget, level in benchmark.thresholds(reader, part(benchmark), "confidence").items():
        reader.set_policy("confidence", level)
        had = benchmark.read(reader, part(benchmark))
        assert had["frames"].mean() <= max(budget, had["frames"].min() + 1e-6)
        assert (had["glances"].mean() > 0) == (name == "lite_eval")


def test_clips_of_one_recording_count_together(benchmark: Any) -> None:
    right, other = torch.tensor([1.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 0.0, 1.0])
    found = benchmark.difference(right, other, torch.tensor([7, 7, 8, 9]))
    # Gaps 1 1 0 0, mean 0.5; of recordings 1, -0.5, -0.5 off it.
    error = (1.5 * 3 / 2) ** 0.5 / 4
    assert found["difference"] == 0.5
    assert found["interval"] == pytest.approx([0.5 - 1.96 * error, 0.5 + 1.96 * error])
    assert found["verdict"] == "no better, no worse"
    alone = benchmark.difference(torch.ones(50), torch.zeros(50), torch.arange(50))
    assert alone["interval"] == [1.0, 1.0] and alone["verdict"] == "better"


def test_parts_are_joined_in_the_order_of_the_clips(benchmark: Any, tmp_path: Path) -> None:
    kept = benchmark.Kept(tmp_path)
    for name, rows in (("1-a", [3, 0]), ("2-a", [2, 1])):
        kept.save(name, {"rows": torch.tensor(rows), "right": torch.tensor(rows) / 10})
    joined = kept.load(["1-a", "2-a"])
    assert joined["rows"].tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(joined["right"], torch.tensor([0.0, 0.1, 0.2, 0.3]))
    assert kept.load(["1-a", "3-a"]) is None


def test_fewer_uniform_frames_stand_in_where_more_are_worse(benchmark: Any) -> None:
    one, two, four = torch.tensor([1.0, 1, 0]), torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1, 1])
    curve = benchmark.best_so_far({1: one, 2: two, 4: four})
    assert curve.counts == [1, 2, 4] and torch.equal(curve.right, torch.stack([one, one, four]))
