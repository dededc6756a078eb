"""Readers that choose frames by motion learn from the frames that they will read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from transformers import AutoModel, VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig

from temporal.data import Video
from temporal.data.labelled.clips import Clip
from temporal.models import ClipReader, FrameExit
from temporal.pipelines.training.video.data import KeptClips, PixelClips
from temporal.pipelines.training.video.features import FeatureFiles
from temporal.pipelines.training.video.reading import unreadable

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 16,
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Fifty frames at 10 a second, of which 30 to 39 move."""
    path = tmp_path_factory.mktemp("clips") / "burst.mp4"
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (32, 32, 3)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=10, options={"g": "10", "bf": "0", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for k in range(50):
            if 30 <= k < 40:
                image = random.integers(0, 255, (32, 32, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    return Clip(path=str(path), label=1, group="0", camera="")


def reader(order: str, **config: Any) -> FrameExit:
    torch.manual_seed(0)
    vit = AutoModel.from_config(ViTConfig(**SMALL))
    fields = {"image_size": 32, "num_frames": 5, "num_labels": 2, "order": order, **config}
    return FrameExit.from_backbone(vit, **fields).eval()


def frames_of(item: dict[str, Any]) -> list[int]:
    return [round(float(time) * 50) for time in item["times"]]


def test_features_are_kept_of_the_frames_that_are_read(clip: Clip, tmp_path: Path) -> None:
    model = reader("motion")
    read = list(model(Video(clip.path)).trace.read)
    assert sum(30 <= frame < 40 for frame in read) >= 3
    plain = FeatureFiles(tmp_path, reader("coarse_to_fine"))
    assert not plain.extract([clip]) and plain.load(clip).clip_motion is None
    files = FeatureFiles(tmp_path, model)
    assert files.folder == plain.folder
    assert not files.extract([clip])  # it finds what the other one left, and adds to that
    kept = KeptClips(files, [clip], torch.tensor([1]), draws=False)
    assert frames_of(kept[0]) == read
    with torch.inference_mode():
        said = model(features=kept[0]["features"][None], times=kept[0]["times"][None])
    torch.testing.assert_close(said.logits[0], model(Video(clip.path)).value, atol=1e-4, rtol=1e-4)
    again = FeatureFiles(tmp_path, model)
    assert not again.extract([clip]) and again.frames_decoded == 0
    assert set(plain[clip].frames.tolist()) >= {25, 0, 49} | {*read}


def test_frames_that_are_there_already_are_not_decoded_to_know_their_motion(
    clip: Clip, tmp_path: Path
) -> None:
    model = reader("motion")
    everything = FeatureFiles(tmp_path, reader("uniform"), [k / 50 for k in range(-25, 25)])
    everything.extract([clip])
    assert len(everything[clip].frames) == 50
    files = FeatureFiles(tmp_path, model)
    assert not files.extract([clip]) and files.frames_decoded == 0
    kept = KeptClips(files, [clip], torch.tensor([1]), draws=False)
    assert frames_of(kept[0]) == list(model(Video(clip.path)).trace.read)
    everything.extract([clip])
    assert files[clip].clip_motion is not None and len(files[clip].frames) == 50


@pytest.mark.parametrize("kind", ["frames", "clips"])
def test_pixels_are_decoded_of_the_frames_that_are_read(kind: str, clip: Clip) -> None:
    model: Any = reader("motion")
    if kind == "clips":
        classifier = VideoMAEForVideoClassification(VideoMAEConfig(num_frames=4, **SMALL)).eval()
        model = ClipReader(classifier, num_clips=2, sampling_rate=2, order="motion")
    assert not unreadable(model, [clip])
    item = PixelClips(model, [clip], torch.tensor([1]))[0]
    with Video(clip.path) as video:
        read = list(model(video).trace.read)
        assert torch.equal(item["pixel_values"], video.read(read, size=(32, 32)))
    half = PixelClips(model, [_part(clip, 0.0, 2.5)], torch.tensor([1]))[0]  # it stands still
    assert len(half["pixel_values"]) == len(item["pixel_values"])


def test_profiles_are_kept_beside_features_and_come_with_pixels(clip: Clip, tmp_path: Path) -> None:
    everything = FeatureFiles(tmp_path, reader("uniform"), [k / 50 for k in range(-25, 25)])
    everything.extract([clip])
    model = reader("uniform", motion_bins=5)
    with torch.no_grad():
        for parameter in model.exits.parameters():
            parameter.add_(torch.randn_like(parameter))
    files = FeatureFiles(tmp_path, model)
    assert files.folder == everything.folder
    assert not files.extract([clip]) and files.frames_decoded == 0
    item = KeptClips(files, [clip], torch.tensor([1]), draws=False)[0]
    assert item["motion_profile"].shape == (12,) and item["motion_profile"][:5].argmax() == 3
    given = {name: item[name][None] for name in ("features", "times", "motion_profile")}
    with torch.inference_mode():
        said = model(**given).logits[0]
    torch.testing.assert_close(said, model(Video(clip.path)).value, atol=1e-4, rtol=1e-4)
    pixels = PixelClips(model, [clip], torch.tensor([1]))[0]
    torch.testing.assert_close(pixels["motion_profile"], item["motion_profile"])
    half = PixelClips(model, [_part(clip, 2.5, 5.0)], torch.tensor([1]))[0]
    assert half["motion_profile"][:5].argmax() in (1, 2)  # of the part alone: 0.5 to 1.5 s of it
    assert "motion_profile" not in KeptClips(everything, [clip], torch.tensor([1]), draws=False)[0]


def _part(clip: Clip, start: float, end: float) -> Clip:
    return Clip(path=clip.path, label=1, group="0", camera="", start_seconds=start, end_seconds=end)
