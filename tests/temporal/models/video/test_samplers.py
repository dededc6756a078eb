"""SCSampler and OCSampler: what they choose, what they learn from, and that they learn it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from temporal.data import Video
from temporal.models import READERS
from temporal.models.video.glancing import running_means
from temporal.models.video.motion_evidence import motion_features
from temporal.models.video.sc_sampler import ranking_loss
from temporal.policies.read import uniform

from .video_readers import OPTIONS, SIDE, SIZES, dense_candidates, video_reader

SAMPLERS = ["oc_sampler", "sc_sampler"]
GLANCE = 8


def fresh(name: str, **fields: Any) -> Any:
    """A reader as it starts."""
    torch.manual_seed(3)
    settings = {**SIZES, **OPTIONS.get(name, {}), **fields}
    return READERS[name](READERS[name].config_class(**settings))


def one_tells(num_videos: int, num_frames: int = 8) -> tuple[dict[str, Tensor], Tensor]:
    """Videos of two classes, and which frame `[B]` alone shows them: bright, and of a colour."""
    features = 0.3 * torch.randn(num_videos, num_frames, 16)
    glances = torch.randint(0, 120, (num_videos, num_frames, 3, GLANCE, GLANCE))
    labels, told = torch.randint(2, (num_videos,)), torch.randint(num_frames, (num_videos,))
    rows = torch.arange(num_videos)
    features[rows, told, labels] += 4
    glances[rows, told] += 70
    glances[rows, told, labels] += 65
    motion = torch.rand(num_videos, num_frames) * 100
    motion[rows, told] += 900
    return {"features": features, "glances": glances, "motion": motion, "labels": labels}, told


def trained(reader: Any, steps: int) -> Any:
    """Train all but the backbone on fresh videos."""
    own = [value for name, value in reader.named_parameters() if not name.startswith("backbone")]
    optimizer = torch.optim.Adam(own, lr=0.01)
    reader.train()
    for _ in range(steps):
        loss = reader(**one_tells(32)[0]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader.eval()


def test_a_ranking_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
    losses = torch.tensor([[0.3, 0.1, 0.2], [1.0, 1.0, 1.0]])
    # Better: 1 than 0 (gap -0.5), 1 than 2 (0.5), 2 than 0 (-1); no pair of the second video.
    want = (0.2 + 0.5 + 0.0 + 0.2 + 1.0) / 3
    assert ranking_loss(scores, losses, margin=0.2).item() == pytest.approx(want)
    assert ranking_loss(scores, losses.new_ones(2, 3), margin=0.2).item() == 0


def test_motion_by_hand() -> None:
    by_itself, beside = motion_features(torch.tensor([[1.0, 3.0], [0.0, 0.0]])).unbind(-1)
    log2, log4, log3_2, log5_2 = torch.tensor([2.0, 4.0, 1.5, 2.5]).log().tolist()
    torch.testing.assert_close(by_itself, torch.tensor([[log2 / 10, log4 / 10], [0.0, 0.0]]))
    torch.testing.assert_close(beside, torch.tensor([[log3_2, log5_2], [0.0, 0.0]]))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_best_are_read_first_and_answers_are_averaged(name: str, frames: Any) -> None:
    reader = video_reader(name)
    video = frames(40)
    trace = reader(video).trace
    candidates = uniform(40, 12)
    assert video.glanced == candidates
    with torch.no_grad():
        small = video.glance(candidates, size=reader.glance_size)
        ranks = reader._ranks(reader.seen_scores(small[None], None))[0]
        order = [candidates[k] for k in ranks.argsort(descending=True)[:5].tolist()]
        assert list(trace.read) == order and trace.num_exits == 5
        each = reader.classify(reader._features(video.read(order, size=(SIDE, SIDE))))
    said = dense_candidates(reader, frames(40)).exit_logits[0]
    for count in range(1, 6):
        torch.testing.assert_close(said[count - 1], each[:count].mean(0), atol=1e-4, rtol=1e-5)
    reader.set_policy("confidence", 0.0)
    halted = reader(frames(40))
    assert list(halted.trace.read) == order[:1]
    torch.testing.assert_close(halted.value, said[0], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("evidence", ["motion", "both"])
def test_other_evidence(name: str, evidence: str, frames: Any, single_gop: Any) -> None:
    reader = fresh(name, evidence=evidence).eval()
    with torch.no_grad():
        for parameter in reader.scorer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for length in (40, 3):
        want = dense_candidates(reader, frames(length)).logits[0]
        torch.testing.assert_close(reader(frames(length)).value, want, atol=1e-4, rtol=1e-5)
    trace = reader(Video(single_gop)).trace
    if evidence == "motion":  # nothing is decoded to choose
        assert not trace.skimmed and trace.cost.frames_glanced == 0
        assert trace.cost.frames_decoded == max(trace.read) + 1
    else:
        assert len(trace.skimmed) == 7
    with pytest.raises(ValueError, match=r"motion \(\[B, S\]\) are needed"):
        reader(features=torch.randn(2, 12, 16), glances=torch.zeros(2, 12, 3, SIDE, SIDE))


@pytest.mark.parametrize(
    ("name", "evidence"),
    [("sc_sampler", "glances"), ("sc_sampler", "motion"), ("oc_sampler", "glances")],
)
def test_it_finds_the_frame_that_tells(name: str, evidence: str) -> None:
    """Of eight frames it reads two, and is right where two uniform ones guess."""
    sizes = {"num_frames": 2, "num_candidates": 8, "num_labels": 2, "glance_pixels": GLANCE}
    reader = trained(fresh(name, evidence=evidence, **sizes), steps=80)
    given, told = one_tells(512)
    with torch.no_grad():
        output = reader(**given)
        each = reader.classify(given["features"])
        ranks = reader._ranks(reader.seen_scores(given["glances"], given["motion"]))
    is_found = reader.best(ranks)[:, 0] == told
    right = (output.logits.argmax(-1) == given["labels"]).double().mean()
    usual = (each[:, uniform(8, 2)].mean(1).argmax(-1) == given["labels"]).double().mean()
    assert is_found.double().mean() > 0.9 and right > 0.9 > 0.75 > usual


def test_the_saliency_of_a_classifier_is_its_certainty() -> None:
    reader = fresh("sc_sampler", saliency="classifier", glance_pixels=GLANCE).eval()
    given, _ = one_tells(4)
    with torch.no_grad():
        output = reader(**given, class_weights=None)
        scores = reader.seen_scores(given["glances"], None)
        logits = reader.classify(given["features"])
    surest = scores.softmax(-1).amax(-1).argsort(descending=True)[:, :5]
    torch.testing.assert_close(reader.best(reader._ranks(scores)), surest)
    labels = given["labels"].repeat_interleave(8)
    want = sum(F.cross_entropy(each.flatten(0, 1), labels) for each in (logits, scores))
    torch.testing.assert_close(output.loss, want)


def test_the_policy_leaves_the_heavy_model_alone() -> None:
    reader = fresh("oc_sampler", num_frames=2, glance_pixels=GLANCE, answer_weight=0.0).train()
    reader(**one_tells(8)[0]).loss.backward()
    assert not any(p.grad is not None and p.grad.any() for p in reader.classifier.parameters())
    assert all(p.grad.any() for p in reader.scorer.parameters())


@pytest.mark.parametrize("name", SAMPLERS)
def test_several_labels_and_numbers_train_too(name: str) -> None:
    given, _ = one_tells(4)
    for task, labels in (
        ("multi_label_classification", torch.randint(2, (4, 4)).float()),
        ("regression", torch.randn(4, 4)),
    ):
        reader = fresh(name, glance_pixels=GLANCE, problem_type=task).train()
        loss = reader(**{**given, "labels": labels}).loss
        loss.backward()
        assert loss.isfinite() and reader.classifier.weight.grad.any()


def test_running_means_are_means() -> None:
    logits = torch.randn(2, 4, 3)
    want = torch.stack([logits[:, : k + 1].mean(1) for k in range(4)], 1)
    torch.testing.assert_close(running_means(logits), want)
    assert F.cross_entropy(want[:, -1], torch.tensor([0, 1])).isfinite()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("sc_sampler", {"evidence": "sound"}, r"evidence \('sound'\) must be one of"),
        ("sc_sampler", {"saliency": "hope"}, r"saliency \('hope'\) must be one of"),
        ("sc_sampler", {"num_candidates": 4}, r"num_candidates \(4\) must be between 5"),
        ("sc_sampler", {"glance_pixels": 0}, r"glance_pixels \(0\) must be a whole number"),
        ("oc_sampler", {"num_draws": 0}, r"num_draws \(0\) must be a whole number"),
        ("oc_sampler", {"entropy_weight": -1}, r"entropy_weight \(-1\) must be between"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(name, fields, message) -> None:
    with pytest.raises(Exception, match=message):
        READERS[name].config_class(**{**SIZES, **fields})


def test_what_oc_sampler_reads_first_is_the_best_frame_alone() -> None:
    """Sets of all sizes are drawn, so that the order is learned, too."""
    reader = fresh("oc_sampler", glance_pixels=GLANCE, num_candidates=8, num_labels=2)
    assert reader.config.any_size
    reader = trained(reader, 150)
    given, told = one_tells(64)
    with torch.no_grad():
        looks = reader.seen_scores(given["glances"], None)
    first = reader.best(reader._ranks(looks))[:, 0]
    assert (first == told).double().mean() > 0.9


def test_scores_begin_as_numbers_that_differ_from_frame_to_frame() -> None:
    """Layers that start too small would say the same of all, and hardly learn."""
    reader = fresh("sc_sampler", glance_pixels=GLANCE)
    known = reader.scorer.look(one_tells(16)[0]["glances"].flatten(0, 1))
    hidden = reader.scorer.hidden(known).relu()
    assert hidden.std(0).mean() > 0.05
