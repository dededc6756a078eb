"""Readers that choose one frame after another: FrameGlimpse, FastForward and AdaFrame."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.engine import Engine
from temporal.models import (
    AdaFrame,
    AdaFrameConfig,
    FastForward,
    FastForwardConfig,
    FrameGlimpse,
    FrameGlimpseConfig,
)
from temporal.policies.halt import utility_drop

from ..video.video_laws import World, outcomes_of
from ..video.video_readers import SIZES, dense_candidates, video_reader
from .tasks import cue_and_answer, train

CHOOSERS = ("ada_frame", "fast_forward", "frame_glimpse")
SMALL = {**SIZES, "num_labels": 2, "num_candidates": 8, "hidden_size": 32}


def jumper(**options: Any) -> Any:
    """A `FastForward` whose jumps differ from video to video."""
    torch.manual_seed(3)
    options = {"jumps": [-1, 3, 5], "num_candidates": 12, "hidden_size": 16} | options
    reader = FastForward(FastForwardConfig(**{**SIZES, **options})).eval()
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return reader


@pytest.mark.parametrize("name", CHOOSERS)
def test_forward_takes_the_frames_that_are_read_and_says_the_same(name: str, world: World) -> None:
    reader = video_reader(name)
    for length in (40, 9, 3):
        video = world.frames(length)
        trace = reader(video).trace
        with torch.no_grad():
            dense = dense_candidates(reader, world.frames(length))
        frames = reader.training_frames(length, [0])
        assert [frames[rank] for rank in dense.picked[0].tolist()] == list(trace.read)
        assert dense.units_read.tolist() == [trace.units_read]


def test_jumps_lead_forth_and_back_and_end_past_the_last(world: World) -> None:
    reader = jumper()
    ended, seen = set(), set()
    for outcome in outcomes_of(reader, world.videos()):
        video = world.frames(outcome.trace.units_total)
        with torch.no_grad():
            dense = dense_candidates(reader, video)
        torch.testing.assert_close(outcome.value, dense.logits[0], atol=1e-4, rtol=1e-5)
        frames = reader.training_frames(len(video), [0])
        picked = [rank for rank in dense.picked[0].tolist() if rank >= 0]
        assert list(outcome.trace.read) == [frames[rank] for rank in picked]
        assert outcome.trace.num_exits == len(picked) and not outcome.trace.halted
        ended.add(len(picked))
        seen.add(tuple(picked))
        assert picked[0] == 0 and len(set(picked)) == len(picked)
        rest = dense.exit_logits[0, len(picked) - 1 :]  # after the end, the last answer stays
        assert torch.equal(rest, rest[-1:].expand_as(rest))
    assert len(seen) > 1 and min(ended) < 5


def test_a_reading_that_ends_itself_is_known_to_a_calibration(world: World) -> None:
    reader = jumper()
    videos = world.videos()
    told = reader.answers(iter(videos))
    assert list(told.rows) == list(range(len(videos))) and not told.faults
    policies = reader.policy_space().policies(num_points=8)
    said, costs = told.under(policies)
    for policy, said_N, costs_N in zip(policies, said, costs, strict=True):
        for name, value in policy.items():
            setattr(reader.config, name, value)
        outcomes = outcomes_of(reader, world.videos())
        assert [int(outcome.value.argmax()) for outcome in outcomes] == said_N.tolist()
        assert [outcome.trace.units_read for outcome in outcomes] == costs_N.tolist()
    assert len(set(costs.flatten().tolist())) > 2


def test_the_stop_head_is_a_criterion(world: World) -> None:
    reader = jumper()
    full = reader(world.frames(30)).trace
    reader.set_policy("stop", 0.0)
    trace = reader(world.frames(30)).trace
    assert trace.units_read == 1 < full.units_read and trace.halted_at == trace.read[0]
    with pytest.raises(ValueError, match="jumps"):
        FastForwardConfig(jumps=[0, 1])
    with pytest.raises(ValueError, match="num_candidates"):
        FrameGlimpseConfig(num_candidates=4, num_frames=5)


def test_the_utility_halts_ada_frame_where_it_has_dropped(world: World) -> None:
    reader = video_reader("ada_frame")
    assert reader.config.criterion == "utility"
    video = world.frames(30)
    with torch.no_grad():
        utilities = dense_candidates(reader, video).utilities[0]
    drops = [float(utility_drop(utilities[: k + 1, None], steps=2)) for k in range(4)]
    exit_taken = max(range(4), key=lambda k: drops[k])
    assert drops[exit_taken] > 0  # else this weight tells nothing
    reader.set_policy("utility", drops[exit_taken] - 1e-4)
    assert reader(world.frames(30)).trace.exit == exit_taken
    told = reader.answers([world.frames(30)])
    assert told.told_NE[0].tolist() == pytest.approx(drops, abs=1e-4)


@pytest.mark.parametrize("name", CHOOSERS)
def test_candidates_that_are_broken_are_passed_over_for_their_neighbours(
    name: str, world: World
) -> None:
    """AdaFrame's glances meet three of them, which does not end its reading."""
    reader = video_reader(name)
    reader.config.num_candidates = 12
    frames = reader.training_frames(40, [0])
    bad = frames[-3:] if name == "ada_frame" else list(reader(world.frames(40)).trace.read[:2])
    broken = world.frames(40, broken=bad)
    outcome = next(iter(Engine(1, deterministic=True).run(reader.read, [broken])))
    assert outcome.error is None and isinstance(outcome.fault, OSError)
    trace = outcome.trace
    assert trace is not None and trace.units_read == 5 and not {*trace.read} & {*bad}
    assert {*trace.read} <= {*frames} and not trace.halted


def test_a_frame_is_worth_by_how_much_it_beats_all_before() -> None:
    """By hand, of classes and of a number: before the first frame a reading answers with 0."""
    reader = AdaFrame(AdaFrameConfig(**{**SMALL, "num_labels": 3}))
    said = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.7, 0.2, 0.1]]).log()
    gains = reader.gains(list(said[:, None]), torch.tensor([0]))
    torch.testing.assert_close(gains, torch.tensor([[0.25, 0.0, 0.25]]))
    task = {"num_labels": 1, "problem_type": "regression", "criterion": "utility"}
    reader = AdaFrame(AdaFrameConfig(**{**SMALL, **task}))
    said = torch.tensor([[[1.0]], [[2.5]], [[2.0]]])
    gains = reader.gains(list(said), torch.tensor([3.0]))
    torch.testing.assert_close(gains, torch.tensor([[5.0, 3.75, 0.0]]))  # of 9, 4, 0.25 and 1


def test_ada_frame_refuses_more_candidates_than_its_memory_holds() -> None:
    reader = AdaFrame(AdaFrameConfig(**{**SMALL, "glance_pixels": 4}))
    features, times, labels, _ = cue_and_answer(2, 9, cue=0, places=[2])
    with pytest.raises(ValueError, match=r"9 candidates.*num_candidates \(8\)"):
        reader(features=features, times=times, glances=torch.zeros(2, 9, 3, 4, 4))


def right(reader: Any, batch: dict[str, Tensor]) -> float:
    """The accuracy of its answers."""
    with torch.no_grad():
        answers = reader(**batch).logits.argmax(-1)
    return float((answers == batch["labels"]).double().mean())


def test_frame_glimpse_learns_to_look_where_the_cue_points() -> None:
    """Two glimpses: the cue in the middle, and the one frame of seven that shows the class."""
    torch.manual_seed(0)
    reader = FrameGlimpse(FrameGlimpseConfig(**{**SMALL, "num_frames": 2}))

    def batch() -> dict[str, Tensor]:
        features, times, labels, _ = cue_and_answer(64, 8, cue=3, places=[1, 6])
        return {"features": features, "times": times, "labels": labels}

    assert right(train(reader, batch, steps=200), batch()) > 0.9


def test_fast_forward_learns_to_jump_and_to_stop() -> None:
    torch.manual_seed(0)
    options = {"num_frames": 4, "jumps": [1, 2, 4], "read_cost": 0.1}
    reader = FastForward(FastForwardConfig(**{**SMALL, **options}))

    def batch() -> dict[str, Tensor]:
        features, times, labels, _ = cue_and_answer(64, 8, cue=0, places=[2, 4])
        return {"features": features, "times": times, "labels": labels}

    train(reader, batch, steps=150)
    given = batch()
    assert right(reader, given) > 0.9
    with torch.no_grad():
        output = reader(**given)
        ranks = given["features"][..., 8:10].amax(-1).argmax(1)
        assert (output.picked[:, 1] == ranks).double().mean() > 0.9
        # After the frame that shows the class, to stop is worth more than before it.
        rows = torch.arange(64)
        first = reader._step(given["features"][:, 0], given["times"][:, 0], *reader.first_state(64))
        second = reader._step(
            given["features"][rows, ranks], given["times"][rows, ranks], *first[3:]
        )
    assert (second[2] > first[2]).double().mean() > 0.9


def test_ada_frame_learns_to_read_where_its_glances_point() -> None:
    """One read: the glances say which of two frames shows the class, and no frame does."""
    torch.manual_seed(0)
    options = {"num_frames": 1, "num_candidates": 4, "memory_size": 8, "glance_pixels": 4}
    reader = AdaFrame(AdaFrameConfig(**{**SMALL, **options}))

    def batch() -> dict[str, Tensor]:
        features, times, labels, ranks = cue_and_answer(64, 4, cue=0, places=[0, 3])
        features[..., :2] = 0
        bright = 255.0 * (ranks == 3)[:, None, None, None, None]
        glances = bright.expand(-1, 4, 3, 4, 4)
        return {"features": features, "times": times, "labels": labels, "glances": glances}

    assert right(train(reader, batch, steps=150, rate=0.005), batch()) > 0.9


@pytest.mark.parametrize("kind", [AdaFrame, FrameGlimpse])
def test_what_starts_coarse_to_fine_reads_so_before_it_has_learned(kind: Any, world: World) -> None:
    torch.manual_seed(0)
    options = {"num_frames": 5, "num_candidates": 40, "hidden_size": 16, "coarse_to_fine": True}
    reader = kind(kind.config_class(**{**SIZES, **options})).eval()
    read = reader(world.frames(40)).trace.read
    # The middle, near the edges (a tenth of the length away), and the middles between.
    assert read[:3] == (20, 4, 36) and set(read[3:]) == {12, 28}
    free = kind(kind.config_class(**{**SIZES, **options, "coarse_to_fine": False})).eval()
    assert free(world.frames(40)).trace.read != read


def test_fast_forward_begins_where_it_is_told(world: World) -> None:
    for place, first in ((0.0, 0), (0.5, 6), (1.0, 11)):
        reader = jumper(first_place=place)
        frames = reader.training_frames(40, [0])
        trace = reader(world.frames(40)).trace
        assert trace.read[0] == frames[first]
        with torch.no_grad():
            assert dense_candidates(reader, world.frames(40)).picked[0, 0] == first
    with pytest.raises(ValueError, match="first_place"):
        FastForwardConfig(first_place=1.5)
