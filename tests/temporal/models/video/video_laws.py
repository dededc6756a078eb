"""Laws that hold for every reader of videos, whatever it decides: functions of a name and a world.

`test_video_laws` puts all registered readers through them; what is registered later (an example of
the documentation) goes through them by its name: `for law in LAWS.values(): law(name, world)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from temporal.data import DecodePool, Video, VideoPart
from temporal.data.frames import Frames
from temporal.engine import Engine, Outcome
from temporal.models import READERS

from .video_readers import (
    READ_BY_THRESHOLD,
    SIDE,
    SIZES_READ,
    dense_answer,
    dense_candidates,
    read_everything,
    video_reader,
)


@dataclass(frozen=True, kw_only=True)
class World:
    """What readers read here."""

    frames: Any
    """Makes a video of random frames that writes down what it is asked for."""

    intra: Path
    """A film of keyframes, of `SIDE` x `SIDE` pixels."""

    single_gop: Path
    """A film with a single keyframe."""

    folder: Path
    """An empty folder."""

    def videos(self, lengths: Sequence[int] = tuple(range(20, 30))) -> list[Any]:
        """Videos of random frames, which differ."""
        return [self.frames(length) for length in lengths]


def outcomes_of(reader: Any, videos: Sequence[Any], max_in_flight: int = 8) -> list[Outcome]:
    """Outcomes in input order, none of them failed."""
    outcomes = list(Engine(max_in_flight, deterministic=True).run(reader.read, videos))
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return outcomes


def choosing(reader: Any, world: World) -> Any:
    """Give a reader a threshold at which some videos halt early and some do not."""
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        reader.set_policy("confidence", threshold)
        outcomes = outcomes_of(reader, world.videos())
        if len({outcome.trace.exit for outcome in outcomes if outcome.trace}) > 1:
            return reader
    raise AssertionError("all videos halt at one place, whatever the threshold")


def same(a: Outcome, b: Outcome) -> None:
    """Two readings of one video are the same one."""
    torch.testing.assert_close(a.value, b.value, atol=1e-4, rtol=1e-5)
    assert a.trace is not None and b.trace is not None
    for fact in ("units_total", "read", "skimmed", "halted_at", "exit", "num_exits"):
        assert getattr(a.trace, fact) == getattr(b.trace, fact), fact


def not_read_is_not_decoded_and_not_computed(name: str, world: World) -> None:
    """Counters of the decoder and of the stages say so."""
    reader = video_reader(name)
    full = reader(Video(world.intra)).trace
    reader.set_policy("confidence", 0.0)
    halted = reader(Video(world.intra)).trace
    for trace in (full, halted):
        looked_at = {*trace.read, *trace.skimmed}
        assert trace.cost.frames_decoded == len(looked_at)
        assert trace.cost.frames_glanced <= len(looked_at)
    assert halted.halted and not full.halted
    assert 0 < halted.units_read < full.units_read
    if not full.cost.frames_glanced:  # else what was chosen from was decoded, halted or not
        assert halted.cost.frames_decoded < full.cost.frames_decoded
        assert 0 < halted.cost.bytes_read < full.cost.bytes_read
    assert 0 < halted.cost.macs < full.cost.macs


def a_full_reading_costs_the_dense_macs(name: str, world: World) -> None:
    """What is halted is a share of that, and the share of a full reading is one."""
    reader = read_everything(name, video_reader(name))
    assert reader.dense_macs(40) is None  # nothing has told yet
    for length in (40, 2):
        trace = reader(world.frames(length)).trace
        assert trace.cost.macs == reader.dense_macs(trace.units_total) > 0
    reader.set_policy("confidence", 0.0)
    trace = reader(world.frames(40)).trace
    assert 0 < trace.cost.macs < reader.dense_macs(trace.units_total)


def what_calibration_is_told_is_what_is_read(name: str, world: World) -> None:
    """A video with a broken frame too: told as it is read where it is, else left out, and why."""
    reader = video_reader(name)
    bad = reader(world.frames(40)).trace.read[1]
    videos = [world.frames(39), world.frames(40, broken=[bad]), world.frames(40, broken=range(40))]
    told = reader.answers(videos)
    if told is None:  # it cannot be told, and a calibration reads by each policy
        return
    assert 0 in told.rows and 2 in told.faults
    assert sorted([*told.rows, *told.faults]) == [0, 1, 2]
    fresh = [world.frames(39), world.frames(40, broken=[bad])]
    outcomes = [reader(video) for video in fresh]
    for row, logits_EK in zip(told.rows, told.logits_NEK, strict=True):
        torch.testing.assert_close(logits_EK[-1], outcomes[row].value, atol=1e-4, rtol=1e-5)
    if 1 in told.faults:
        assert str(told.faults[1]) == str(outcomes[1].fault)


def what_a_training_says_is_looked_at_is_what_is_decoded(name: str, world: World) -> None:
    """`frames_seen` of a `forward` names the frames that a reading reads or glances at.

    Not of a reader whose `forward` is told what was chosen by glances, and gets none itself.
    """
    reader = video_reader(name)
    if not getattr(reader, "has_frame_features", False):
        return
    if name in READ_BY_THRESHOLD:
        reader.set_policy("read", 0.5)
    for length in (20, 31):
        trace = reader(world.frames(length)).trace
        if trace.skimmed and reader.glance_size is None:
            return
        with torch.no_grad():
            output = dense_candidates(reader, world.frames(length))
        plan = reader.training_frames(length, world.frames(length).index.keyframes)
        seen = reader.frames_seen(output, len(plan))[0].tolist()
        looked_at = {*trace.read, *trace.skimmed}
        assert {frame for frame, is_seen in zip(plan, seen, strict=True) if is_seen} == looked_at


def nothing_is_asked_for_that_is_not_read(name: str, world: World) -> None:
    """What the source was asked for is what the trace says, in its order."""
    reader = choosing(video_reader(name), world)
    videos = world.videos()
    for video, outcome in zip(videos, outcomes_of(reader, videos), strict=True):
        assert outcome.trace is not None
        assert video.asked == list(outcome.trace.read)
        assert set(outcome.trace.skimmed) <= set(video.glanced)
        assert video.sizes <= SIZES_READ.get(name, {(SIDE, SIDE)})


def a_gop_is_decoded_once(name: str, world: World) -> None:
    """Frames passed on the way to others are kept."""
    trace = video_reader(name)(Video(world.single_gop)).trace
    assert trace.cost.frames_decoded == max({*trace.read, *trace.skimmed}) + 1


def any_batch_and_any_order_equals_one_by_one(name: str, world: World) -> None:
    """Whoever else is in flight."""
    reader = choosing(video_reader(name), world)
    alone = [reader(video) for video in world.videos()]
    assert len({outcome.trace.exit for outcome in alone}) > 1
    for max_in_flight in (1, 3, 64):
        order = torch.randperm(len(alone)).tolist()
        videos = world.videos()
        outcomes = outcomes_of(reader, [videos[k] for k in order], max_in_flight)
        for k, outcome in zip(order, outcomes, strict=True):
            same(outcome, alone[k])


def the_same_inputs_twice_give_the_same_bits(name: str, world: World) -> None:
    """Also from another object of the same weights."""
    first, second = (
        outcomes_of(choosing(video_reader(name), world), world.videos()) for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        same(a, b)
        assert torch.equal(a.value, b.value)


def with_nothing_skipped_it_equals_the_dense_model(name: str, world: World) -> None:
    """Longer and shorter than what it reads at most."""
    reader = video_reader(name)
    videos = world.videos((1, 3, 40, 17, 9, 25))
    for video, outcome in zip(videos, outcomes_of(reader, videos), strict=True):
        want = dense_answer(name, reader, world.frames(len(video)))
        torch.testing.assert_close(
            outcome.value.log_softmax(-1), want.log_softmax(-1), atol=1e-4, rtol=1e-5
        )
        assert outcome.trace is not None and not outcome.trace.halted


def the_trace_is_true(name: str, world: World) -> None:
    """Its facts fit together, and its cost is what the source spent."""
    reader = choosing(video_reader(name), world)
    for video in (*world.videos(), Video(world.intra), Video(world.single_gop)):
        outcome = reader(video)
        trace = outcome.trace
        assert (trace.unit, trace.units_total, trace.truncated) == ("frame", len(video), False)
        assert not {*trace.read} & {*trace.skimmed}
        assert {*trace.read, *trace.skimmed} <= {*range(len(video))}
        assert 0 <= trace.exit < trace.num_exits
        assert trace.halted == (trace.exit + 1 < trace.num_exits)
        if trace.confidences:
            assert len(trace.confidences) == trace.exit + 1
            assert trace.confidences[-1] == pytest.approx(outcome.value.softmax(-1).max().item())
        seen = {unit for view in trace.views if not view.is_glance for unit in view.units}
        assert seen <= {*trace.read, *trace.skimmed}
        assert (trace.halted_at is not None) == trace.halted
        if trace.halted:  # a clip is known by its middle
            assert min(trace.read) <= trace.halted_at <= max(trace.read)
        assert trace.cost.frames_decoded == video.spent.frames_decoded
        assert trace.cost.bytes_read == video.spent.bytes_read
        again = reader(video).trace  # of a source that was read before
        assert (again.read, again.cost.macs) == (trace.read, trace.cost.macs)


def a_fault_is_recorded_and_the_rest_answers(name: str, world: World) -> None:
    """A frame that cannot be read costs itself; its video alone is told of it."""
    reader = video_reader(name)
    reads = reader(world.frames(40)).trace.read
    for bad in (reads[0], reads[-1]):
        good, hurt, other = outcomes_of(
            reader, [world.frames(39), world.frames(40, broken=[bad]), world.frames(41)]
        )
        assert (good.fault, other.fault) == (None, None)
        assert isinstance(hurt.fault, OSError) and str(bad) in str(hurt.fault)
        assert hurt.trace is not None and hurt.value.isfinite().all()
        assert hurt.trace.read and bad not in {*hurt.trace.read, *hurt.trace.skimmed}
        same(good, reader(world.frames(39)))


def a_video_of_faults_fails_alone_and_soon(name: str, world: World) -> None:
    """It is not tried to the end, frame after frame."""
    reader = video_reader(name)
    bad, good = world.frames(40, broken=range(40)), world.frames(41)
    tries: list[int] = []
    read = bad.read

    def counted(units: Sequence[int], **options: Any) -> Any:
        tries.append(len(units))
        return read(units, **options)

    bad.read = counted
    outcomes = list(Engine(2, deterministic=True).run(reader.read, [bad, good]))
    assert isinstance(outcomes[0].error, OSError) and outcomes[1].error is None
    assert len(tries) <= 5
    assert outcomes[0].trace is not None and outcomes[0].trace.read == ()


def where_the_frames_are_makes_no_difference(name: str, world: World) -> None:
    """A file, a worker's and those in memory are read alike."""
    reader = choosing(video_reader(name), world)
    video = Video(world.intra)
    with DecodePool(1, 60.0) as pool:
        plain, isolated = reader(Video(world.intra)), reader(pool.open(world.intra))
    memory = reader(Frames(video.read(range(len(video)))))
    same(plain, isolated)
    same(plain, memory)
    costs = [outcome.trace.cost for outcome in (plain, isolated, memory)]
    assert costs[0].frames_decoded == costs[1].frames_decoded > costs[2].frames_decoded == 0
    assert costs[0].bytes_read == costs[1].bytes_read


def a_part_is_read_as_a_video_of_its_frames(name: str, world: World) -> None:
    """Nothing before its GOP and nothing behind it is decoded; some seconds of a worker's, too."""
    reader = choosing(video_reader(name), world)
    whole = Video(world.intra)
    memory = reader(Frames(whole.read(range(20, 50))))
    part = reader(VideoPart(world.intra, 0.8, 2.0))
    same(part, memory)
    looked_at = {*part.trace.read, *part.trace.skimmed}
    assert part.trace.cost.frames_decoded == len(looked_at)
    with DecodePool(1, 60.0) as pool:
        same(reader(VideoPart(pool.open(world.intra), 0.8, 2.0)), part)
    trace = reader(VideoPart(world.single_gop, 0.8, 2.0)).trace
    assert trace.cost.frames_decoded == 20 + max({*trace.read, *trace.skimmed}) + 1


def saving_keeps_answers_and_policy(name: str, world: World) -> None:
    """By `from_pretrained` of the class that is registered."""
    if name not in READERS:
        pytest.skip("it is not registered, so it is not saved")
    reader: Any = choosing(video_reader(name), world)
    reader.save_pretrained(world.folder)
    loaded = READERS[name].from_pretrained(world.folder).eval()
    videos = world.videos()
    for a, b in zip(outcomes_of(reader, videos), outcomes_of(loaded, videos), strict=True):
        same(a, b)


def in_bfloat16_it_answers_as_well(name: str, world: World) -> None:
    """Weights in half precision; a reader that chooses may choose otherwise, and say so."""
    videos = world.videos()
    for outcome in outcomes_of(video_reader(name).to(torch.bfloat16), videos):
        assert outcome.value.isfinite().all()
        assert outcome.trace is not None and outcome.trace.read


LAWS: dict[str, Callable[[str, World], None]] = {
    law.__name__: law
    for law in (
        not_read_is_not_decoded_and_not_computed,
        nothing_is_asked_for_that_is_not_read,
        what_a_training_says_is_looked_at_is_what_is_decoded,
        a_gop_is_decoded_once,
        any_batch_and_any_order_equals_one_by_one,
        the_same_inputs_twice_give_the_same_bits,
        with_nothing_skipped_it_equals_the_dense_model,
        the_trace_is_true,
        a_full_reading_costs_the_dense_macs,
        what_calibration_is_told_is_what_is_read,
        a_fault_is_recorded_and_the_rest_answers,
        a_video_of_faults_fails_alone_and_soon,
        where_the_frames_are_makes_no_difference,
        a_part_is_read_as_a_video_of_its_frames,
        saving_keeps_answers_and_policy,
        in_bfloat16_it_answers_as_well,
    )
}
