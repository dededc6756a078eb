"""Fitting the exits of a frame reader on features that were computed before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import TrainingArguments, ViTConfig, ViTModel

from temporal.models import FrameExit
from temporal.training.exits import PooledClips, balanced_weights, fit_exits

BACKBONE = ViTConfig(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    image_size=32,
    patch_size=16,
)


def test_balanced_weights_give_every_class_the_same_total() -> None:
    labels = torch.tensor([0, 0, 0, 1, 3, 3])
    weights = balanced_weights(labels, 4)
    assert weights.tolist() == pytest.approx([6 / 12, 6 / 4, 0.0, 6 / 8])
    totals = [weights[labels][labels == k].sum().item() for k in (0, 1, 3)]
    assert totals == pytest.approx([1.5] * 3)


def test_clips_must_be_as_many_as_labels() -> None:
    with pytest.raises(ValueError, match=r"states \(3\) and labels \(2\)"):
        PooledClips(torch.zeros(3, 2, 8), torch.zeros(2, dtype=torch.long))


def test_clips_fetched_together_are_the_clips_one_by_one() -> None:
    clips = PooledClips(torch.randn(3, 2, 8), torch.tensor([0, 1, 1]))
    together = clips.__getitems__([2, 0])
    for place, k in enumerate([2, 0]):
        alone = clips[k]
        assert torch.equal(together["states"][place], alone["states"])
        assert together["labels"][place] == alone["labels"]
    assert len(clips) == 3


def test_exits_learn_what_the_features_tell_and_the_backbone_stays(tmp_path: Path) -> None:
    labels = torch.tensor([0] * 30 + [1] * 6)  # unbalanced
    features = torch.randn(36, 2, 8)
    features[..., 0] += 6 * labels[:, None]
    # Far from standard, as a backbone's are: the fit standardises.
    features = 1000 + 50 * features
    times = torch.rand(36, 2)
    reader = FrameExit.from_backbone(
        ViTModel(BACKBONE), num_frames=2, num_labels=2, image_size=32, pooling="mean"
    )
    before = {name: value.clone() for name, value in reader.backbone.state_dict().items()}
    args = TrainingArguments(
        str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=36,
        learning_rate=1.0,
        lr_scheduler_type="constant",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    reader = fit_exits(reader, PooledClips(reader.pooled_states(features, times), labels), args)
    assert not reader.training
    with torch.no_grad():
        exits = reader(features=features, times=times).exit_logits
    assert (exits.argmax(-1) == labels[:, None]).float().mean() > 0.97
    for name, value in reader.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
