"""Readers whose frames are features: the same `read`, on rows in place of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.data import FrameFeatures, VideoError
from temporal.engine import Engine
from temporal.models import READERS, GivenFeatures
from temporal.pipelines import pipeline
from temporal.pipelines.training.video.data import collate
from temporal.pipelines.training.video.feature_clips import FeatureClips

from .video_readers import _stir

WIDTH, GLANCE = 12, 4
_LOOKS = {"glance_pixels": GLANCE, "glance_features": 8}
_CHOOSES = {"num_candidates": 10, "hidden_size": 16}
OPTIONS: dict[str, dict[str, Any]] = {
    "frame_exit": {"pooling": "change"},
    "oc_sampler": {"num_candidates": 10, **_LOOKS},
    "sc_sampler": {"num_candidates": 10, **_LOOKS},
    "ada_frame": {**_CHOOSES, "memory_size": 8, "glance_pixels": GLANCE},
    "fast_forward": _CHOOSES,
    "frame_glimpse": _CHOOSES,
    "lite_eval": {"hidden_size": 16, "coarse_size": 4, **_LOOKS},
    "frame_skip_rnn": {"hidden_size": 16},
    "frame_skim_rnn": {"hidden_size": 16, "skim_size": 4, **_LOOKS},
}


def on_features(name: str, **fields: Any) -> Any:
    """A reader with random weights."""
    torch.manual_seed(7)
    options = {"num_frames": 5, "num_labels": 4, **OPTIONS.get(name, {}), **fields}
    reader = READERS[name].from_backbone(GivenFeatures(WIDTH), **options).eval()
    _stir(reader)
    return reader


def rows(count: int) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(count))


class Counted(FrameFeatures):
    """Writes down what it is asked for."""

    def __init__(self, features: Any) -> None:
        super().__init__(features)
        self.asked: list[int] = []
        self.glanced: list[int] = []

    def read(self, units: Any, **options: Any) -> Tensor:
        self.asked += units
        return super().read(units, **options)

    def glance(self, units: Any, **options: Any) -> Tensor:
        self.glanced += units
        return super().glance(units, **options)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_reading_says_what_forward_says_and_reads_nothing_else(name: str) -> None:
    reader = on_features(name)
    clips = [Counted(rows(count)) for count in (25, 1, 7, 40)]
    outcomes = list(Engine(3, deterministic=True).run(reader.read, clips))
    for clip, outcome in zip(clips, outcomes, strict=True):
        assert outcome.error is None and outcome.trace is not None
        items = FeatureClips(reader, [FrameFeatures(rows(len(clip)))], torch.tensor([0]))
        with torch.no_grad():
            dense = reader(**collate([items[0]]))
        torch.testing.assert_close(outcome.value, dense.logits[0], atol=1e-4, rtol=1e-4)
        assert clip.asked == list(outcome.trace.read)
        assert {*clip.glanced} - {*clip.asked} == {*outcome.trace.skimmed}
        sizes = {(view.is_glance, view.size) for view in outcome.trace.views}
        assert sizes <= {(False, (1, WIDTH)), (True, (1, GLANCE))}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_learns_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    reader = on_features(name)
    labels = torch.tensor([0, 1, 2, 3])
    items = FeatureClips(reader, [FrameFeatures(rows(20 + k)) for k in range(4)], labels)
    reader.train()(**collate([items[k] for k in range(4)])).loss.backward()
    learned = [weight for weight in reader.parameters() if weight.grad is not None]
    assert learned and all(weight.grad.isfinite().all() for weight in learned)
    reader.eval().save_pretrained(tmp_path)
    loaded = READERS[name].from_pretrained(tmp_path).eval()
    clip = FrameFeatures(rows(30))
    torch.testing.assert_close(loaded(clip).value, reader(clip).value)
    (reading,) = pipeline("video-classification", model=str(tmp_path)).read([clip])
    assert reading.trace is not None and reading.trace.read == reader(clip).trace.read


def test_jitter_shifts_all_frames_of_a_clip_alike() -> None:
    reader = on_features("frame_skip_rnn")
    count = torch.arange(20.0)[:, None].expand(-1, WIDTH)
    items = FeatureClips(reader, [FrameFeatures(count)], torch.tensor([1]), jitter=0.1)
    own = torch.tensor(reader.training_frames(20, range(20)))
    shifts = set()
    for _ in range(50):
        item = items[0]
        drawn = item["features"][:, 0]
        shift = int(drawn[2] - own[2])
        assert drawn.tolist() == (own + shift).clamp(0, 19).tolist()
        torch.testing.assert_close(item["times"], drawn / 20)
        shifts.add(shift)
    assert shifts == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("name", ["ar_net", "ada_focus"])
def test_a_reader_of_sizes_or_parts_refuses_features(name: str) -> None:
    with pytest.raises(ValueError, match="must take pixels"):
        on_features(name)


def test_rows_of_another_width_are_refused() -> None:
    reader = on_features("frame_exit")
    with pytest.raises(ValueError, match=r"\(1, 7\).*GivenFeatures\(7\)"):
        reader(FrameFeatures(rows(9)[:, :7]))
    narrow, wide = FrameFeatures(rows(9)[:, :7]), FrameFeatures(rows(9))
    refused, answered = Engine(2, deterministic=True).run(reader.read, [narrow, wide])
    assert isinstance(refused.error, ValueError) and answered.error is None
    with pytest.raises(ValueError, match="num_features"):
        GivenFeatures(0)


def test_a_row_that_is_no_number_costs_itself() -> None:
    broken = rows(25)
    reader = on_features("frame_exit")
    bad = reader.training_frames(25, range(25))[1]
    broken[bad, 3] = torch.inf
    outcome = reader(FrameFeatures(broken))
    assert isinstance(outcome.fault, VideoError) and outcome.value.isfinite().all()
    assert bad not in outcome.trace.read


def test_one_factor_for_all_features_keeps_their_sizes() -> None:
    each = on_features("frame_exit", pooling="change")
    together = on_features("frame_exit", pooling="change", standardise_each=False)
    states = torch.randn(400, 5, 3 * WIDTH)
    states *= torch.tensor([1.0, 10.0, 100.0]).repeat_interleave(WIDTH)  # mean, slope, change
    states[..., 0] *= 7.0
    for reader in (each, together):
        reader.set_statistics(states)
    own = states[:, 0].std(0, unbiased=False)
    torch.testing.assert_close(each.exits[0].scale, own)
    kinds = own.unflatten(0, (3, WIDTH)).square().mean(1).sqrt()
    torch.testing.assert_close(together.exits[0].scale, kinds.repeat_interleave(WIDTH))
