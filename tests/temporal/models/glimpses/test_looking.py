"""Readers that read the frames that are worth it: LiteEval, FrameSkimRNN and FrameSkipRNN."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.data import Video
from temporal.engine import Engine
from temporal.models import READERS, FrameSkipRNN, FrameSkipRNNConfig, LiteEval, LiteEvalConfig

from ..video.video_laws import World, outcomes_of
from ..video.video_readers import SIZES, dense_candidates, video_reader
from .tasks import cue_and_answer, train

READERS_HERE = ("frame_skim_rnn", "frame_skip_rnn", "lite_eval")
SMALL = {**SIZES, "num_labels": 2, "num_frames": 8, "hidden_size": 32}


def choosing(name: str, world: World) -> Any:
    """One that reads some frames of these videos and not others, not the same in all."""
    reader = video_reader(name)
    reader.config.num_frames = 12
    for threshold in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9):
        reader.set_policy("read", threshold)
        read = {outcome.trace.units_read for outcome in outcomes_of(reader, world.videos())}
        if len(read) > 1 and min(read) < 12 and max(read) > 1:
            return reader
    raise AssertionError(f"{name} reads the same of all videos, whatever the threshold")


@pytest.mark.parametrize("name", READERS_HERE)
def test_what_is_read_is_what_forward_decides_and_nothing_else_is_computed(
    name: str, world: World
) -> None:
    reader = choosing(name, world)
    videos, rows = world.videos(), reader.features.rows
    outcomes = outcomes_of(reader, videos)
    assert reader.features.rows - rows == sum(outcome.trace.units_read for outcome in outcomes)
    for video, outcome in zip(videos, outcomes, strict=True):
        with torch.no_grad():
            dense = dense_candidates(reader, world.frames(len(video)))
        torch.testing.assert_close(outcome.value, dense.logits[0], atol=1e-4, rtol=1e-5)
        frames = reader.training_frames(len(video), [0])
        read = [frames[k] for k in dense.reads[0].nonzero().flatten().tolist()]
        assert video.asked == list(outcome.trace.read) == read
        assert dense.units_read.tolist() == [len(read)] and not outcome.trace.halted
        glanced = [] if reader.glance_size is None else frames
        assert video.glanced == glanced


@pytest.mark.parametrize("name", READERS_HERE)
def test_whoever_else_is_in_flight_makes_no_difference(name: str, world: World) -> None:
    reader = choosing(name, world)
    alone = [reader(video) for video in world.videos()]
    for max_in_flight in (3, 64):
        outcomes = outcomes_of(reader, world.videos(), max_in_flight)
        for one, other in zip(alone, outcomes, strict=True):
            torch.testing.assert_close(one.value, other.value, atol=1e-4, rtol=1e-5)
            assert (
                one.trace.read == other.trace.read and one.trace.cost.macs == other.trace.cost.macs
            )


@pytest.mark.parametrize("name", READERS_HERE)
def test_a_higher_threshold_reads_no_more(name: str, world: World) -> None:
    reader = choosing(name, world)
    space = reader.policy_space().policies()
    assert space[0] == {"read_threshold": 0.0} and reader.answers([]) is None
    reader.set_policy("read", 0.0)
    full = reader(world.frames(30)).trace
    reader.set_policy("read", 1.0)
    least = reader(world.frames(30)).trace
    assert full.units_read == 12 > least.units_read
    assert least.cost.macs < full.cost.macs == reader.dense_macs(30)
    for threshold in (None, 1.5):
        with pytest.raises(ValueError, match="threshold"):
            reader.set_policy("read", threshold)
    with pytest.raises(ValueError, match="read_threshold"):
        READERS[name].config_class(read_threshold=-0.1)


@pytest.mark.parametrize("name", READERS_HERE)
def test_a_broken_frame_is_passed_over(name: str, world: World) -> None:
    reader = choosing(name, world)
    frames = reader.training_frames(40, [0])
    broken = world.frames(40, broken=[frames[0], frames[-1]])
    outcome = next(iter(Engine(1, deterministic=True).run(reader.read, [broken])))
    assert outcome.error is None and isinstance(outcome.fault, OSError)
    assert outcome.value.isfinite().all() and not outcome.trace.halted


def test_what_skip_rnn_skips_is_not_decoded(world: World) -> None:
    reader = choosing("frame_skip_rnn", world)
    for threshold in (0.5, 0.9, 1.0):
        reader.set_policy("read", threshold)
        trace = reader(Video(world.intra)).trace
        assert trace.cost.frames_decoded == trace.units_read
    assert trace.units_read < 12


def test_lite_eval_keeps_its_fine_state_in_step() -> None:
    """What is not read takes the coarse state for the first entries of the fine one."""
    reader = video_reader("lite_eval")
    coarse, fine = (torch.randn(2, 4), torch.randn(2, 4)), (torch.randn(2, 16), torch.randn(2, 16))
    state = reader._skim(torch.randn(2, 8), *coarse, *fine)
    for k in range(2):
        assert torch.equal(state[k], coarse[k])
        assert torch.equal(state[2 + k], torch.cat([coarse[k], fine[k][:, 4:]], 1))
    share = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    said = [torch.zeros(2, 4)] * 4
    # By hand: cross-entropy of four equal classes, and 2 (3 / 8 - 0.2)^2.
    labels = torch.tensor([1, 2])
    config = reader.config
    cost = config.share_weight * (share.mean() - config.target_share) ** 2
    output = reader.reads_output(said, share, cost, labels, None)
    assert output.loss.item() == pytest.approx(1.3862944 + 2 * 0.175**2, abs=1e-5)
    assert output.units_read.tolist() == [2.0, 1.0]


def right(reader: Any, batch: dict[str, Tensor]) -> tuple[float, float]:
    """The accuracy of its answers, and the mean of the frames that it reads."""
    with torch.no_grad():
        output = reader(**batch)
    is_right = output.logits.argmax(-1) == batch["labels"]
    return float(is_right.double().mean()), float(output.units_read.mean())


def test_lite_eval_learns_to_read_what_its_glances_show() -> None:
    """One of eight frames shows the class, and its glance is bright."""
    torch.manual_seed(0)
    options = {"glance_pixels": 4, "glance_features": 8, "coarse_size": 8, "target_share": 0.125}
    reader = LiteEval(LiteEvalConfig(**{**SMALL, **options}))

    def batch() -> dict[str, Tensor]:
        features, times, labels, ranks = cue_and_answer(32, 8, cue=0, places=[1, 3, 6])
        glances = torch.zeros(32, 8, 3, 4, 4)
        glances[torch.arange(32), ranks] = 255
        return {"features": features, "times": times, "labels": labels, "glances": glances}

    accuracy, frames_read = right(train(reader, batch, steps=100), batch())
    assert accuracy > 0.9 and frames_read < 3


def test_skip_rnn_learns_to_skip() -> None:
    """The class is shown by the last frame, and what lies between tells nothing."""
    torch.manual_seed(0)
    reader = FrameSkipRNN(FrameSkipRNNConfig(**SMALL, update_loss_weight=0.02))

    def batch() -> dict[str, Tensor]:
        features, times, labels, _ = cue_and_answer(32, 8, cue=0, places=[6])
        return {"features": features, "times": times, "labels": labels}

    accuracy, frames_read = right(train(reader, batch, steps=150), batch())
    assert accuracy > 0.9 and frames_read < 6
