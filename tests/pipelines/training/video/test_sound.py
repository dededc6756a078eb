"""A reader that listens learns from what it will hear, kept or decoded anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, ViTConfig

from temporal.data import Video
from temporal.data.labelled.clips import Clip
from temporal.models import ListenToLook
from temporal.pipelines.training.video.data import KeptClips, PixelClips, collate
from temporal.pipelines.training.video.features import FeatureFiles

from ....data.decode.sounding import sine, write_sounding
from .test_motion import SMALL


def test_sounds_are_kept_beside_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_candidates": 8, "glance_pixels": 32, "image_size": 32}
    vit = AutoModel.from_config(ViTConfig(**SMALL))
    model = ListenToLook.from_backbone(vit, num_frames=3, num_labels=2, **sizes).eval()
    heard = write_sounding(tmp_path / "a.mov", sine(900), codec="pcm_s16le", rate=16_000)
    silent = write_sounding(tmp_path / "b.mov", None)
    clips = [
        Clip(path=str(path), label=k, group=str(k), camera="")
        for k, path in enumerate((heard, silent))
    ]
    clips.append(replace(clips[0], start_seconds=1.0))  # its second half
    labels = torch.tensor([0, 1, 0])
    files = FeatureFiles(tmp_path / "kept", model)
    assert not files.extract(clips)
    kept = KeptClips(files, clips, labels, draws=False)
    pixels = PixelClips(model, clips, labels)
    batch, fresh = (collate([part[k] for k in range(3)]) for part in (kept, pixels))
    assert torch.equal(batch["sounds"].isnan(), fresh["sounds"].isnan())
    torch.testing.assert_close(batch["sounds"], fresh["sounds"], equal_nan=True)
    assert batch["sounds"].isnan().flatten(1).all(1).tolist() == [False, True, False]
    assert batch["sounds"].dtype == torch.float16 and batch["sounds"].shape == (3, 8, 64, 96)
    with torch.no_grad():
        for given in (batch, fresh):
            given.pop("labels")
            said = model(**given).logits
            for k in range(2):
                want = model(Video(clips[k].path)).value
                torch.testing.assert_close(said[k], want, atol=1e-4, rtol=1e-4)
    again = FeatureFiles(tmp_path / "kept", model)
    assert not again.extract(clips) and again.frames_decoded == 0
