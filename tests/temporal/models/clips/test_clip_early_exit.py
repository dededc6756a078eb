"""Exits between the layers of video transformers: what halts is not computed, what does not is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.models import ClipEarlyExit, ClipReader
from temporal.models.stored_points import NEVER

from .test_reduced_clips import LAYERS, MODELS, classifier

DEEP = "videomae"


@torch.no_grad()
def reader(name: str = DEEP, **config: Any) -> ClipEarlyExit:
    """With exits that say something, and an own processor's size."""
    model = classifier(name)
    made = ClipEarlyExit(model, **{"num_clips": 3, "sampling_rate": 2, **config})
    for parameter in made.exits.parameters():
        parameter.add_(torch.randn_like(parameter))
    return made


def pixels_of(made: ClipReader, video: Any) -> Tensor:
    """All clips `[A, F, 3, H, W]`."""
    return torch.stack([video.read(c, size=made.frame_size) for _, c in made.clips(len(video))])


@pytest.mark.parametrize("name", MODELS)
def test_with_nothing_halted_it_is_the_classifier(frames, name) -> None:
    made = reader(name)
    plain = ClipReader(classifier(name), num_clips=3, sampling_rate=2)
    outcome, want = made(frames(40)), plain(frames(40))
    torch.testing.assert_close(outcome.value, want.value, atol=1e-5, rtol=0)
    assert outcome.trace.token_layers > 0 and not outcome.trace.halted
    own = sum(branch.linear.weight.numel() for branch in made.exits)
    assert outcome.trace.cost.macs == want.trace.cost.macs + 3 * own == made.dense_macs(40)


@pytest.mark.parametrize("name", ["videomae", "vivit odd", "timesformer", "vjepa2", "videoprism"])
def test_a_clip_that_is_certain_leaves_and_no_layer_above_sees_it(frames, read_all, name) -> None:
    made = reader(name)
    videos = [frames(count) for count in (40, 31, 22, 53)]
    with torch.no_grad():
        every = torch.cat([made.every_exit(pixels_of(made, video)) for video in videos])
    sure_BE = every[:, :-1].softmax(-1).amax(-1)
    level = float(sure_BE.flatten().sort().values[11:13].mean())  # between two
    made.config.depth_thresholds = [level] * (LAYERS - 1)
    outcomes = read_all(made, videos)
    last = torch.ones(len(sure_BE), 1, dtype=torch.bool)
    taken_B = torch.cat([sure_BE >= level, last], 1).int().argmax(1)
    assert len(set(taken_B.tolist())) > 1
    rows = [int((taken_B >= k).sum()) for k in range(LAYERS)]
    assert [segment.rows for segment in made.segments] == rows and rows[-1] < 12
    answers = every[torch.arange(12), taken_B].softmax(-1).view(4, 3, -1).mean(1)
    for video, outcome, want in zip(videos, outcomes, answers, strict=True):
        torch.testing.assert_close(outcome.value.exp(), want, atol=1e-5, rtol=0)
        alone = made(frames(len(video)))
        torch.testing.assert_close(outcome.value, alone.value, atol=1e-5, rtol=0)
        assert outcome.trace.cost.macs == alone.trace.cost.macs
        with torch.no_grad():
            said = made(pixel_values=pixels_of(made, video)[None]).logits[0]
        torch.testing.assert_close(outcome.value, said, atol=1e-5, rtol=0)
    per_layer = made(frames(40)).trace.token_layers
    made.config.depth_thresholds = None
    assert per_layer < made(frames(40)).trace.token_layers


def test_depth_clips_and_tokens_are_saved_together(frames) -> None:
    made = reader(token_reduction="merge", keep_share=0.5)
    whole = made(frames(40)).trace
    made.set_policy("confidence", 0.0)  # every exit answers
    trace = made(frames(40)).trace
    assert (trace.halted_at, trace.exit, trace.units_read) == (20, 0, 4)
    assert trace.token_layers == 8  # the first layer's, before it merges
    assert whole.token_layers > 3 * 8 and trace.cost.macs < whole.cost.macs / 3
    made.set_policy("confidence", None)
    assert made(frames(40)).trace.cost.macs == whole.cost.macs
    assert made.config.depth_thresholds is None and made.config.thresholds is None


def test_what_is_replayed_is_what_is_read(frames) -> None:
    made = reader()
    counts = (40, 31, 22, 53, 27)
    told = made.answers([frames(count) for count in counts])
    policies = made.policy_space().policies(num_levels=3)
    assert policies[0]["depth_thresholds"] == [NEVER] * (LAYERS - 1)
    assert len(policies) == (1 + 3) * (1 + 3) and not made.policy_space().ordered
    said_PN, costs_PN = told.under(policies)
    for policy, said_N, costs_N in zip(policies, said_PN, costs_PN, strict=True):
        for field, value in policy.items():
            setattr(made.config, field, value)
        for count, said, cost in zip(counts, said_N, costs_N, strict=True):
            outcome = made(frames(count))
            assert int(outcome.value.argmax()) == int(said)
            assert outcome.trace.token_layers == 8 * float(cost)
    assert made.answers([frames(40)]) and reader(token_reduction="merge").answers([]) is None


def test_one_clip_has_a_row_of_policies(frames) -> None:
    made = reader(num_clips=None)
    space = made.policy_space()
    policies = space.policies(num_points=5)
    assert space.ordered and len(policies) == 5
    spent = []
    for policy in policies:
        for field, value in policy.items():
            setattr(made.config, field, value)
        spent.append(made(frames(40)).trace.cost.macs)
    assert spent == sorted(spent, reverse=True) and spent[-1] < spent[0]
    with pytest.raises(ValueError, match="is one clip, after which nothing is left to halt"):
        reader(num_clips=1, exit_layers=[LAYERS]).policy_space().policies()


def trained(made: ClipEarlyExit, steps: int = 40) -> Sequence[float]:
    """A few steps on two kinds of clips; the first and the last loss."""
    torch.manual_seed(0)
    made.train()
    optimizer = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=3e-3)
    labels = torch.tensor([0, 1, 0, 1])
    clips = torch.rand(4, 1, 4, 3, 32, 32) * 40 + 180.0 * labels.view(4, 1, 1, 1, 1, 1)
    losses = []
    for _ in range(steps):
        loss = made(pixel_values=clips, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    made.eval()
    with torch.no_grad():
        made.config.depth_thresholds = [0.0] * (LAYERS - 1)
        said = made(pixel_values=clips).logits.argmax(-1)
        made.config.depth_thresholds = None
    assert said.tolist() == labels.tolist()  # the first exit answers
    return losses


@pytest.mark.parametrize("regime", ["joint", "two_stage", "distillation", "gradient_separated"])
def test_exits_learn(regime) -> None:
    made = reader(regime=regime)
    if regime == "distillation":  # from a last exit that knows
        made.config.regime = "joint"
        trained(made)
        made.config.regime = regime
        with torch.no_grad():
            for branch in made.exits:
                branch.linear.weight.zero_()
    losses = trained(made)
    assert losses[-1] < losses[0] / 2


def test_what_an_exit_learns_alone_moves_no_layer_before_the_exit_before() -> None:
    made = reader(regime="gradient_separated")
    clips = torch.rand(1, 1, 4, 3, 32, 32) * 255
    exits = made._all_exits(clips[:, 0])
    exits[1].sum().backward()
    layers = made.classifier.videomae.encoder.layer
    moved = [any(p.grad is not None for p in layer.parameters()) for layer in layers]
    assert moved == [False, True, False]


def test_it_is_saved_and_loaded_and_starts_without_an_opinion(frames, tmp_path) -> None:
    made = reader(exit_layers=[1], depth_thresholds=[0.5])
    made.save_pretrained(tmp_path)
    again = ClipEarlyExit.from_pretrained(tmp_path)
    assert again.config.exit_layers == [1, LAYERS] and again.config.depth_thresholds == [0.5]
    torch.testing.assert_close(again(frames(40)).value, made(frames(40)).value)
    fresh = ClipEarlyExit(classifier(DEEP), num_clips=1)
    said = fresh.every_exit(torch.rand(1, 4, 3, 32, 32) * 255)[0, :-1]
    torch.testing.assert_close(said.softmax(-1), torch.full_like(said, 1 / 5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"exit_layers": [0]}, r"exit_layers \(\[0\]\) must lie between 1 and the classifier's 3"),
        ({"exit_layers": [4]}, r"exit_layers \(\[4\]\) must lie between"),
        ({"depth_thresholds": [0.5]}, r"depth_thresholds \(\[0.5\]\) must hold one number for"),
        ({"regime": "hope"}, r"regime \('hope'\) must be one of"),
    ],
)
def test_a_wrong_option_is_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        reader(**fields)
