"""Which weights of a backbone are trained, and which stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, ResNetConfig, ViTConfig, ViTImageProcessor

from temporal.models import EfficientNetLite0, FrameExit
from temporal.pipelines.training.video.backbones import freeze, load_backbone
from temporal.training.video_trainer import VideoTrainer, frozen_modules

VIT = ViTConfig(
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=32,
    patch_size=16,
)


def vit() -> FrameExit:
    return FrameExit.from_backbone(AutoModel.from_config(VIT), num_frames=3, num_labels=2)


def trained(reader: FrameExit) -> set[str]:
    inside = reader.backbone.named_parameters()
    return {name for name, weight in inside if weight.requires_grad}


def test_the_last_blocks_and_what_follows_them_are_trained() -> None:
    reader = vit()
    freeze(reader, "none")
    assert trained(reader) == set()
    assert all(weight.requires_grad for weight in reader.exits.parameters())
    freeze(reader, "last:1")
    names = trained(reader)
    tops = {name.removeprefix("model.").split(".")[0] for name in names}
    assert not any("embeddings" in name for name in names)
    layers = {part for name in names for part in name.split(".") if part.isdigit()}
    assert layers == {"2"} and "layernorm" in tops
    freeze(reader, "all")
    assert trained(reader) == {name for name, _ in reader.backbone.named_parameters()}


def test_of_a_lite0_the_last_blocks_are_trained_too() -> None:
    reader = FrameExit.from_backbone(EfficientNetLite0(), num_frames=2, num_labels=2)
    freeze(reader, "last:2")
    count = sum(weight.numel() for n, weight in reader.backbone.named_parameters() if n)
    of_these = sum(w.numel() for w in reader.backbone.parameters() if w.requires_grad)
    assert 0 < of_these < count / 2


@pytest.mark.parametrize("wrong", ["last", "last:0", "last:-1", "some", "last:4"])
def test_what_is_no_part_of_it_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"unfreeze .*{wrong}"):
        freeze(vit(), wrong)


def test_statistics_of_what_is_frozen_do_not_drift() -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    reader = FrameExit.from_backbone(
        AutoModel.from_config(config), num_frames=2, num_labels=2, image_size=32
    )
    freeze(reader, "none")
    before = {k: v.clone() for k, v in reader.backbone.state_dict().items()}
    assert frozen_modules(reader) == [reader.backbone]
    trainer = VideoTrainer(model=reader)
    batch = {
        "pixel_values": torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8),
        "times": torch.tensor([[0.1, 0.6]] * 2),
        "labels": torch.tensor([0, 1]),
    }
    reader.train()
    trainer.compute_loss(reader, batch).backward()
    assert not reader.backbone.training and reader.exits.training
    for name, value in reader.backbone.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_a_checkpoint_says_how_its_pixels_are_made(tmp_path: Path) -> None:
    AutoModel.from_config(VIT).save_pretrained(tmp_path)
    assert load_backbone(str(tmp_path))[1] == {"image_size": 32}
    ViTImageProcessor(image_mean=[0.2, 0.4, 0.6], image_std=[0.1, 0.2, 0.5]).save_pretrained(
        tmp_path
    )
    model, fields = load_backbone(str(tmp_path))
    assert fields["pixel_mean"] == pytest.approx([51, 102, 153])
    assert fields["pixel_std"] == pytest.approx([25.5, 51, 127.5])
    assert not model.training
    # Weights are those of the folder; a configuration alone gives random ones.
    again = load_backbone(str(tmp_path))[0].state_dict()
    torch.testing.assert_close(dict(again), dict(model.state_dict()))
    other = load_backbone(str(tmp_path / "config.json"))[0]
    assert not torch.equal(next(other.parameters()), next(model.parameters()))


def test_a_checkpoint_brings_back_the_backbone_too(tmp_path: Path) -> None:
    """transformers saves a ViT under other names than its modules have."""
    reader = vit()
    trainer = VideoTrainer(model=reader)
    reader.save_pretrained(tmp_path)
    saved = {name: value.clone() for name, value in reader.state_dict().items()}
    for take in (trainer._load_best_model, lambda: trainer._load_from_checkpoint(str(tmp_path))):
        with torch.no_grad():
            for weight in reader.parameters():
                weight.add_(1.0)
        trainer.state.best_model_checkpoint = str(tmp_path)
        take()
        torch.testing.assert_close(dict(reader.state_dict()), saved)
