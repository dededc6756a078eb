"""The profile of a video's motion, and a FrameExit that sees it beside its frames."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModel, ViTConfig

from temporal.data import Video
from temporal.data.frames import Frames
from temporal.engine import Engine
from temporal.models import FrameExit, FrameExitConfig
from temporal.models.video.motion_evidence import (
    motion_levels,
    motion_profile,
    profile_size,
    profile_weights,
)
from temporal.policies.read import at_shares, snap

VIT = ViTConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=32,
    patch_size=16,
)


def burst(path: Path, moving: range, *, codec: str = "libx264", gop: int = 250, **options) -> Path:
    """Sixty frames of noise, of which some are new and the others stand still."""
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (32, 32, 3)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        own = {"sc_threshold": "0", **options}
        stream = container.add_stream(codec, rate=10, options=own)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.gop_size = gop
        for k in range(60):
            if k in moving:
                image = random.integers(0, 255, (32, 32, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    return path


@torch.no_grad()
def reader(**config: Any) -> FrameExit:
    """One with random weights, that reads everything."""
    torch.manual_seed(0)
    fields = {
        "num_frames": 3,
        "image_size": 32,
        "num_labels": 4,
        "pooling": "change",
        "order": [1.0, 0.1, 0.5],
        "snap_share": [1.0, 0.0, 0.0],
        "motion_bins": 4,
        **config,
    }
    model = FrameExit.from_backbone(AutoModel.from_config(VIT), **fields).eval()
    for parameter in model.exits.parameters():
        parameter.add_(torch.randn_like(parameter))
    return model


@torch.no_grad()
def dense(model: FrameExit, video: Any) -> Tensor:
    """All exits' logits `[S, K]`, by `forward`."""
    plan = model.reading_order(len(video), video.index.keyframes)
    index = video.index
    levels = motion_levels(index.packet_bytes, index.keyframes, index.width * index.height)
    profile_P = motion_profile(video.motion(), levels, 4)
    times = torch.tensor([[frame / len(video) for frame in plan]])
    pixels = video.read(plan, size=(32, 32))[None]
    return model(pixels, times, motion_profile=profile_P[None]).exit_logits[0]


def test_a_profile_by_hand() -> None:
    # Means of pairs 1, 3, 0, 0 over their mean of 1: the median of the logs lies between 0 and 1.
    profile = motion_profile([1, 1, 2, 4, 0, 0, 0, 0], (-2.0, -5.0), 4)
    logs = [math.log(m + 0.05) for m in (1, 3, 0, 0)]
    middle = (logs[0] + logs[2]) / 2
    shape = [one - middle for one in logs]
    torch.testing.assert_close(profile, torch.tensor([*shape, *sorted(shape), -2.0, -5.0]))
    assert len(profile) == profile_size(4) and profile_size(0) == 0
    doubled = motion_profile([2, 2, 4, 8, 0, 0, 0, 0], (-2.0, -5.0), 4)
    torch.testing.assert_close(doubled, profile)  # of a file encoded at another quality
    weights = profile_weights(4)
    assert weights.tolist() == pytest.approx([0.5] * 8 + [0.5**0.5] * 2)  # 3 parts of norm 1


def test_levels_by_hand() -> None:
    levels = motion_levels([1000, 100, 300, 500, 100], [0, 3], 20)
    assert levels == pytest.approx((math.log(500 / 3 / 750), math.log(8 * 500 / 3 / 20)))
    assert motion_levels([5, 6, 7], [0, 1, 2], 20) == (0.0, 0.0)  # nothing is predicted
    assert motion_levels([5, 6, 7], [], 20) == (0.0, 0.0)
    assert motion_levels([0, 0], [0], 0) == (0.0, math.log(8))  # finite whatever is told


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 1000])
def test_any_number_of_frames_has_a_profile(count: int) -> None:
    motion = np.linspace(0, 2, count)
    for bins in (1, 4, 33):
        profile = motion_profile(motion, (0.0, 0.0), bins)
        assert profile.shape == (2 * bins + 2,) and profile.isfinite().all()
        assert (profile[: bins - 1] <= profile[1:bins]).all()  # it grows, as the motion does
    for still in (np.zeros(count), np.full(count, np.nan), np.ones(count)):
        assert motion_profile(still, (0.0, 0.0), 4).abs().max() == 0


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0"}),
        ("libx264", {"bf": "3"}),
        ("mpeg4", {"sc_threshold": "1000000000"}),
        ("libvpx-vp9", {}),
    ],
)
def test_a_profile_says_when_something_moves(codec: str, options: Any, tmp_path: Path) -> None:
    path = burst(tmp_path / "burst.mkv", range(30, 45), codec=codec, **options)
    with Video(path) as video:
        levels = motion_levels(video.index.packet_bytes, video.index.keyframes, 32 * 32)
        profile = motion_profile(video.motion(), levels, 4)
        assert video.spent.frames_decoded == 0
    assert profile[:4].argmax() == 2 and levels[0] < 0
    still = motion_profile(
        Video(burst(tmp_path / "still.mkv", range(0), codec=codec)).motion(), levels, 4
    )
    assert profile[7] - profile[4] > 1 + (still[7] - still[4])


def test_shares_and_a_reach_for_each_frame() -> None:
    assert at_shares(9, [1, 0.25, 0.5]) == [8, 2, 4]
    assert at_shares(1, [1.0, 0.0, 0.5]) == [0]
    assert snap([59, 6, 30], [0, 50], [60, 0, 0]) == [50, 6, 30]
    assert snap([59, 6, 30], [0], [60, 0, 0]) == [0, 6, 30]
    assert snap([59, 0, 30], [0], [60, 0, 0]) == [0, 30]  # taken already


@pytest.mark.parametrize("gop", [250, 20, 1])
def test_read_says_what_forward_says(gop: int, tmp_path: Path) -> None:
    model = reader()
    paths = [burst(tmp_path / f"{k}.mp4", range(k, k + 20), gop=gop, bf="0") for k in (0, 20, 40)]
    outcomes = list(Engine(3).run(model.read, [Video(path) for path in paths]))
    answers = model.answers([Video(path) for path in paths]).logits_NEK
    for path, outcome, said in zip(paths, outcomes, answers, strict=True):
        assert outcome.error is None and outcome.trace.read == ((60 - 1) // gop * gop, 6, 30)
        with Video(path) as video:
            expected = dense(model, video)
        torch.testing.assert_close(outcome.value, expected[-1], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(said, expected, atol=1e-4, rtol=1e-5)
    with torch.no_grad():  # and the profile has a say, where it tells something
        model.exits[-1].linear.weight[:, -profile_size(4) :] = 0
    assert gop == 1 or not torch.allclose(
        model(Video(paths[0])).value, outcomes[0].value, atol=1e-3
    )


def test_a_video_that_halts_at_once_has_its_keyframe_decoded(tmp_path: Path) -> None:
    model = reader(thresholds=[0.0, 0.0])
    path = burst(tmp_path / "burst.mp4", range(30, 45), gop=40, bf="0")
    trace = model(Video(path)).trace
    assert trace.read == (40,) and trace.cost.frames_decoded == 1 and trace.halted_at == 40
    assert model.features.rows == 1
    trace = reader(thresholds=[2.0, 0.0])(Video(path)).trace
    assert trace.read == (40, 6) and trace.cost.frames_decoded == 1 + 7


def test_videos_that_tell_nothing_are_read_by_their_frames(frames: Any, tmp_path: Path) -> None:
    model = reader()
    images = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3)).astype(np.uint8)
    in_memory = model(Frames(images))
    assert in_memory.error is None and in_memory.trace.read == (19, 2, 10)
    with torch.no_grad():
        plan = [19, 2, 10]
        pixels = torch.from_numpy(images[plan]).permute(0, 3, 1, 2)[None]
        times = torch.tensor([[frame / 20 for frame in plan]])
        said = model(pixels, times, motion_profile=torch.zeros(1, 10)).logits[0]
    torch.testing.assert_close(in_memory.value, said, atol=1e-4, rtol=1e-5)
    for count in (1, 2):
        short = model(Frames(images[:count]))
        assert short.error is None and short.value.isfinite().all()
    video = frames(20)  # a source of another package, whose index has no sizes
    video.motion = lambda: np.ones(20, dtype=np.float32)
    assert model(video).error is None


def test_one_decay_holds_the_profile_as_its_weight_says() -> None:
    model = reader(motion_weight=0.5)
    states_NSP = torch.randn(50, 3, 48 + 10) * torch.linspace(1, 3, 58)
    model.set_statistics(states_NSP)
    deviation_P = states_NSP[:, 0].std(0, unbiased=False)
    scale_P = model.exits[0].scale
    torch.testing.assert_close(scale_P[:48], deviation_P[:48])
    # 16 features, of which a part of 4 numbers counts half: each of them sqrt(16) * 0.5 * sqrt(1/4)
    torch.testing.assert_close(scale_P[48:56], deviation_P[48:56] / 1.0)
    torch.testing.assert_close(scale_P[56:], deviation_P[56:] / (2 * 0.5**0.5))


def test_saving_keeps_answers_and_order(tmp_path: Path) -> None:
    model = reader(thresholds=[0.6, 0.6])
    path = burst(tmp_path / "burst.mp4", range(10, 25), bf="0")
    model.save_pretrained(tmp_path / "saved")
    loaded = FrameExit.from_pretrained(tmp_path / "saved").eval()
    torch.testing.assert_close(loaded(Video(path)).value, model(Video(path)).value)
    assert loaded.config.order == [1.0, 0.1, 0.5] and loaded.config.motion_bins == 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"motion_bins": -1}, r"motion_bins \(-1\) must be a whole number >= 0"),
        ({"motion_bins": 4, "head": "classifier"}, r"motion_bins \(4\) must be 0"),
        ({"motion_weight": 0.0}, r"motion_weight \(0.0\) must be > 0"),
        ({"order": [1.0, 0.5]}, r"order .* a share for each of the num_frames \(10\)"),
        ({"order": [1.0, 1.5], "num_frames": 2}, r"order \(1.5\) must be between"),
        ({"snap_share": [0.1], "num_frames": 2}, r"snap_share .* a share for each"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        FrameExitConfig(**config)


def test_forward_needs_the_profile() -> None:
    model = reader()
    features, times = torch.randn(2, 3, 16), torch.rand(2, 3)
    for given in (None, torch.zeros(2, 9)):
        with pytest.raises(ValueError, match=r"motion_profile .* must be \[B, 10\]"):
            model(features=features, times=times, motion_profile=given)
