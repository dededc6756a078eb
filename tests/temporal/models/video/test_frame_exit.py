"""FrameExit: what it asks of a video, what it answers, and what it learns from."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ConvNextConfig, ConvNextForImageClassification, ViTConfig
from transformers import ViTForImageClassification as ViT

from temporal.checks import NonFiniteError
from temporal.data import Video
from temporal.engine import Engine
from temporal.models import FrameExit, FrameExitConfig
from temporal.models.video.pooling import POOLINGS
from temporal.policies.read import coarse_to_fine, uniform
from temporal.trace import View
from temporal.training.exit_policies import certainties, exits_taken

VIT = ViTConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=32,
    patch_size=16,
    num_labels=5,
)
LENGTHS = (1, 3, 40, 17, 9, 25)


@torch.no_grad()
def classifier() -> ViT:
    model = ViT(VIT).eval()
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def training_free(**config) -> FrameExit:
    fields = {"num_frames": 5, "image_size": 32, **config}
    return FrameExit.from_classifier(classifier(), **fields).eval()


@torch.no_grad()
def with_exits(**config) -> FrameExit:
    """Exits (and gates) with random weights, as if trained."""
    fields = {"num_frames": 5, "image_size": 32, "num_labels": 4, **config}
    reader = FrameExit.from_backbone(classifier().base_model, **fields).eval()
    for parameter in [*reader.exits.parameters(), *reader.gates.parameters()]:
        parameter.add_(torch.randn_like(parameter))
    return reader


@torch.no_grad()
def dense(reader: FrameExit, video) -> Tensor:
    """All exits' logits `[S, K]` of the planned frames, by `forward`."""
    plan = reader.reading_order(len(video), video.index.keyframes)
    pixels = torch.stack([video.pixels(frame, (32, 32)) for frame in plan])
    times = torch.tensor([[frame / len(video) for frame in plan]])
    return reader(pixels[None], times).exit_logits[0]


def test_without_halting_it_averages_the_classifier(frames, read_all) -> None:
    image_model = classifier()
    reader = FrameExit.from_classifier(image_model, num_frames=5, image_size=32).eval()
    videos = [frames(length) for length in LENGTHS]
    for video, outcome in zip(videos, read_all(reader, videos), strict=True):
        pixels = torch.stack(
            [video.pixels(k, (32, 32)) for k in reader.reading_order(len(video), [])]
        )
        with torch.no_grad():
            scores = image_model(pixel_values=(pixels.float() - 127.5) / 127.5).logits.softmax(-1)
        torch.testing.assert_close(outcome.value.exp(), scores.mean(0), atol=1e-5, rtol=0)
        assert not outcome.trace.halted
        assert outcome.trace.units_read == min(5, len(video))


@pytest.mark.parametrize("pooling", sorted(POOLINGS))
def test_without_halting_read_equals_forward(pooling, frames, read_all) -> None:
    reader = with_exits(pooling=pooling)
    videos = [frames(length) for length in LENGTHS]
    for video, outcome in zip(videos, read_all(reader, videos), strict=True):
        want = dense(reader, video)[-1]
        torch.testing.assert_close(outcome.value, want, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("criterion", ["confidence", "stability", "patience"])
def test_halting_answers_with_the_exit_of_the_dense_model(criterion, frames, read_all) -> None:
    reader = with_exits(criterion=criterion)
    videos = [frames(length) for length in range(20, 40)]
    exits = torch.stack([dense(reader, video) for video in videos])
    level = {"confidence": 0.0, "stability": 0.5, "patience": 2.0}[criterion]
    level = level or exits[:, 0].softmax(-1).amax(-1).median().item() - 1e-4
    reader.set_policy(criterion, level)
    taken = exits_taken(certainties(reader.config, exits), [level] * 4)
    assert len(taken.unique()) > 1
    outcomes = read_all(reader, videos)
    assert [outcome.trace.exit for outcome in outcomes] == taken.tolist()
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, exits[torch.arange(20), taken], atol=1e-4, rtol=1e-5)


def test_frames_beyond_the_halt_are_never_asked_for(frames, read_all) -> None:
    reader = with_exits()
    videos = [frames(length) for length in range(20, 40)]
    first = torch.stack([dense(reader, video)[0] for video in videos])
    reader.set_policy("confidence", first.softmax(-1).amax(-1).median().item() - 1e-4)
    outcomes = read_all(reader, videos)
    assert 0 < sum(outcome.trace.halted for outcome in outcomes) <= len(outcomes)
    for video, outcome in zip(videos, outcomes, strict=True):
        plan = reader.reading_order(len(video), [])
        taken = outcome.trace.exit + 1
        assert video.asked == plan[:taken] == list(outcome.trace.read)
        assert outcome.trace.cost.frames_decoded == taken
        assert outcome.trace.halted_at == (plan[taken - 1] if taken < len(plan) else None)
    assert reader.features.rows == sum(len(video.asked) for video in videos)
    per_frame = reader.features.macs_per_row
    assert outcomes[0].trace.cost.macs == round(per_frame * outcomes[0].trace.units_read)
    assert reader.dense_macs(100) == round(5 * per_frame)


def encode(path: Path, gop: int) -> Path:
    """Sixty small frames, each of another grey, with a keyframe every `gop` frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = gop
        for number in range(60):
            image = np.full((48, 64, 3), 4 * number, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_frames_beyond_the_halt_are_not_decoded(tmp_path: Path) -> None:
    path = encode(tmp_path / "grey.avi", gop=1)
    reader = training_free()
    full = reader(Video(path)).trace
    assert full.cost.frames_decoded == full.units_read == 5
    reader.set_policy("confidence", 0.0)
    halted = reader(Video(path)).trace
    assert halted.cost.frames_decoded == halted.units_read == 1
    assert 0 < halted.cost.bytes_read < full.cost.bytes_read


def test_snapping_to_keyframes_decodes_only_these(tmp_path: Path) -> None:
    path = encode(tmp_path / "grey.avi", gop=12)
    reader = training_free(snap_share=0.2)
    trace = reader(Video(path)).trace
    keyframes = Video(path).index.keyframes
    assert set(trace.read) <= set(keyframes)
    assert trace.cost.frames_decoded == trace.units_read


@pytest.mark.parametrize("max_in_flight", [1, 3, 64])
def test_any_number_in_flight_and_any_order_equals_one_by_one(
    max_in_flight, frames, read_all
) -> None:
    reader = with_exits(pooling="change")
    reader.set_policy("confidence", 0.8)
    lengths = list(range(20, 32))
    alone = {n: reader(frames(n)) for n in lengths}
    order = [lengths[k] for k in torch.randperm(len(lengths)).tolist()]
    for n, outcome in zip(
        order, read_all(reader, [frames(n) for n in order], max_in_flight), strict=True
    ):
        torch.testing.assert_close(outcome.value, alone[n].value, atol=1e-4, rtol=1e-5)
        assert outcome.trace.read == alone[n].trace.read
    assert len({outcome.trace.units_read for outcome in alone.values()}) > 1


def test_the_order_of_motion_reads_where_something_happens(frames) -> None:
    def moving(length: int) -> Any:
        video = frames(length, keyframes=range(0, length, 8))
        video.motion = lambda: np.array([0.0] * (length - 10) + [4.0] * 10, dtype=np.float32)
        return video

    reader = training_free(order="motion")
    trace = reader(moving(40)).trace
    assert trace.read == (35, 31, 39, 33, 37)  # the quantiles of the last ten, coarse to fine
    video = moving(40)
    assert reader(video).trace.read == tuple(video.asked) and not video.glanced
    told = reader.answers([moving(40)]).logits_NEK[0, -1]
    torch.testing.assert_close(told, reader(moving(40)).value)
    assert training_free(order="motion", snap_share=0.05)(moving(40)).trace.read[1] == 32
    # Without motion it is uniform; training, which is not told of it, takes the usual order.
    video = frames(40)
    video.motion = lambda: np.zeros(40, dtype=np.float32)
    assert sorted(reader(video).trace.read) == uniform(40, 5)
    assert reader.reading_order(40, []) == coarse_to_fine(40, 5)


def test_the_trace_tells_the_size_of_frames_and_how_sure_each_exit_was(frames) -> None:
    reader = training_free()
    outcome = reader(frames(40))
    assert outcome.trace.views == (View(units=outcome.trace.read, size=(32, 32)),)
    assert len(outcome.trace.confidences) == 5
    assert outcome.trace.confidences[-1] == pytest.approx(float(outcome.value.softmax(-1).max()))
    reader.config.problem_type = "multi_label_classification"
    assert reader(frames(40)).trace.confidences == ()


def test_the_same_inputs_twice_give_the_same_bits(frames, read_all) -> None:
    reader = with_exits()
    reader.set_policy("confidence", 0.8)
    first, second = (read_all(reader, [frames(n) for n in range(20, 30)]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.value, b.value) and a.trace.read == b.trace.read


def test_no_exit_answers_before_min_frames(frames) -> None:
    reader = with_exits(min_frames=3)
    reader.set_policy("confidence", 0.0)
    assert reader(frames(30)).trace.units_read == 3
    assert reader(frames(2)).trace.units_read == 2


def test_frames_are_asked_for_at_the_backbones_size(frames) -> None:
    video = frames(30)
    training_free()(video)
    assert video.sizes == {(32, 32)}


def test_a_broken_frame_is_passed_over_and_reported(frames) -> None:
    reader = training_free()
    plan = reader.reading_order(30, [])
    outcome = reader(frames(30, broken=plan[:1]))
    assert list(outcome.trace.read) == plan[1:]
    assert isinstance(outcome.fault, OSError)


def test_a_video_of_broken_frames_fails_alone_and_soon(frames) -> None:
    reader = training_free()
    bad, good = frames(30, broken=range(30)), frames(31)
    outcomes = list(Engine(4, deterministic=True).run(reader.read, [bad, good]))
    assert isinstance(outcomes[0].error, OSError) and outcomes[1].error is None


def test_nan_is_an_error(frames) -> None:
    reader = with_exits()
    with torch.no_grad():
        reader.exits[0].linear.bias[0] = math.nan
    with pytest.raises(NonFiniteError):
        reader(frames(30))


def test_the_gate_halts_where_its_logit_is_positive(frames) -> None:
    reader = with_exits(gate=True)
    for wanted in range(5):
        with torch.no_grad():
            for step, gate in enumerate(reader.gates):
                gate.decide.weight.zero_()
                gate.decide.bias.fill_(1.0 if step >= wanted else -1.0)
        assert reader(frames(30)).trace.exit == wanted


def test_gates_learn_to_halt_where_the_loss_is_below_the_rising_bar() -> None:
    reader = with_exits(num_frames=3, gate=True, gate_beta=0.5)
    gates = torch.tensor([[2.0, -1.0], [0.5, 0.0]])
    # The bars are 0.5 and 0.5 * exp(0.5) = 0.824.
    losses = torch.tensor([[0.4, 0.9, 9.0], [0.6, 0.8, 0.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    chance = gates.sigmoid()
    want = -(target * chance.log() + (1 - target) * (1 - chance).log()).mean()
    torch.testing.assert_close(reader._gate_loss(gates, losses), want)


def test_loss_is_the_mean_over_exits_plus_decay() -> None:
    reader = with_exits(num_frames=3, exit_decay=0.1)
    features, times = torch.randn(2, 3, 16), torch.rand(2, 3)
    labels, weights = torch.tensor([3, 1]), torch.tensor([1.0, 2.0, 1.0, 0.5])
    output = reader(features=features, times=times, labels=labels, class_weights=weights)
    log_p = output.exit_logits.log_softmax(-1)
    losses = torch.stack([-0.5 * log_p[0, :, 3], -2.0 * log_p[1, :, 1]])
    decay = sum(branch.linear.weight.square().sum() for branch in reader.exits) / 3
    torch.testing.assert_close(output.loss, losses.mean() + 0.1 * decay)


def test_gradients_reach_every_parameter_of_exits_and_gates_and_the_backbone() -> None:
    reader = with_exits(num_frames=3, gate=True, pooling="mean").train()
    pixels = torch.randint(0, 256, (4, 3, 3, 32, 32))
    labels = torch.tensor([0, 1, 2, 3])
    reader(pixels, torch.rand(4, 3), labels=labels).loss.backward()
    for name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_standardised_features_have_mean_0_and_deviation_1() -> None:
    reader = with_exits(num_frames=3, pooling="mean")
    features, times = 7 + 3 * torch.randn(50, 3, 16), torch.rand(50, 3)
    reader.set_statistics(reader.pooled_states(features, times))
    branch = reader.exits[1]
    state = (features[:, :2].mean(1) - branch.mean) / branch.scale
    torch.testing.assert_close(state.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(state.std(0, unbiased=False), torch.ones(16), atol=1e-5, rtol=0)


def test_feature_power_keeps_signs() -> None:
    plain, root = with_exits(), with_exits(feature_power=0.5)
    root.load_state_dict(plain.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 32, 32))
    a, b = plain._features(pixels), root._features(pixels)
    torch.testing.assert_close(b.square() * b.sign(), a, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        {"gate": True, "pooling": "change", "order": "end_first"},
        {"criterion": "margin", "thresholds": [0.1, 0.2, 0.3, 0.4], "snap_share": 0.1},
    ],
)
def test_saving_keeps_outputs_and_policy(config, tmp_path: Path, frames) -> None:
    reader = with_exits(**config)
    reader.set_statistics(reader.pooled_states(torch.randn(9, 5, 16), torch.rand(9, 5)))
    reader.save_pretrained(tmp_path)
    loaded = FrameExit.from_pretrained(tmp_path).eval()
    for name, value in config.items():
        assert getattr(loaded.config, name) == value
    a, b = reader(frames(30)), loaded(frames(30))
    torch.testing.assert_close(a.value, b.value, atol=1e-4, rtol=1e-5)
    assert a.trace.read == b.trace.read


def test_a_training_free_reader_saves_its_classes(tmp_path: Path, frames) -> None:
    reader = training_free(id2label={k: f"class {k}" for k in range(5)})
    reader.save_pretrained(tmp_path)
    loaded = FrameExit.from_pretrained(tmp_path).eval()
    assert loaded.config.id2label[4] == "class 4" and loaded.config.head == "classifier"
    torch.testing.assert_close(reader(frames(9)).value, loaded(frames(9)).value)


@pytest.mark.parametrize("kind", ["vit", "lite0"])
def test_heads_missing_from_a_checkpoint_start_sane_and_the_backbone_stays(
    kind, tmp_path: Path
) -> None:
    if kind == "vit":
        reader = with_exits(gate=True)
    else:
        reader = FrameExit(FrameExitConfig(num_frames=2, num_labels=4, gate=True))
    kept = {k: v for k, v in reader.state_dict().items() if k.startswith("backbone")}
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = FrameExit.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        else:
            assert torch.isfinite(value.float()).all() and value.abs().max() <= 1, name
    for branch in loaded.exits:
        assert branch.scale.eq(1).all() and not branch.mean.any()
        assert not branch.linear.weight.any() and not branch.linear.bias.any()
    assert all(gate.decide.weight.std() > 0 for gate in loaded.gates)


def test_a_convolutional_backbone_works_too(frames) -> None:
    config = ConvNextConfig(hidden_sizes=[8, 8, 8, 12], depths=[1, 1, 1, 1], num_labels=3)
    model = ConvNextForImageClassification(config).eval()
    reader = FrameExit.from_classifier(model, num_frames=2, image_size=32).eval()
    torch.testing.assert_close(reader(frames(9)).value.exp().sum(), torch.tensor(1.0))
    backbone = FrameExit.from_backbone(model.base_model, num_frames=2, image_size=32).eval()
    assert backbone.backbone.num_features == 12 and backbone(frames(9)).value.shape == (2,)


def test_a_budget_reads_that_share_of_the_frames_without_calibration(frames) -> None:
    reader = training_free(thresholds=[2.0] * 4)
    reader.set_budget(0.6)
    assert reader(frames(30)).trace.units_read == 3
    with pytest.raises(ValueError, match=r"budget \(2\) must be between"):
        reader.set_budget(2)
    with pytest.raises(ValueError, match="calibrate"):
        with_exits().set_budget(0.5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"order": "random"}, r"order \('random'\) must be one of"),
        ({"pooling": "sum"}, r"pooling \('sum'\) must be one of"),
        ({"head": "mlp"}, r"head \('mlp'\) must be one of"),
        ({"num_frames": 0}, r"num_frames \(0\) must be between 1"),
        ({"num_frames": 2, "min_frames": 3}, r"min_frames \(3\) must be between 1 and 2"),
        ({"snap_share": -0.1}, r"snap_share \(-0.1\) must be between"),
        ({"criterion": "hope"}, r"criterion \('hope'\) must be one of"),
        ({"num_frames": 3, "thresholds": [0.5]}, "one number for each of the 2 exits"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        FrameExitConfig(**config)


def test_forward_needs_frames_or_features_and_times() -> None:
    reader = with_exits()
    features = torch.randn(1, 5, 16)
    with pytest.raises(ValueError, match="one of pixel_values, features and states"):
        reader()
    with pytest.raises(ValueError, match="one of pixel_values, features and states"):
        reader(torch.zeros(1, 5, 3, 32, 32), features=features)
    with pytest.raises(ValueError, match="times"):
        reader(features=features)


def test_features_and_states_computed_before_give_the_same_as_pixels() -> None:
    reader = with_exits(pooling="change")
    pixels, times = torch.randint(0, 256, (2, 5, 3, 32, 32)), torch.rand(2, 5)
    with torch.no_grad():
        features = reader._features(pixels.flatten(0, 1)).unflatten(0, (2, 5))
        a, b = reader(pixels, times), reader(features=features, times=times)
        c = reader(states=reader.pooled_states(features, times))
    torch.testing.assert_close(a.exit_logits, b.exit_logits)
    torch.testing.assert_close(a.exit_logits, c.exit_logits)
    assert F.cross_entropy(a.logits, torch.tensor([0, 1])).isfinite()
