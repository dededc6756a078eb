"""Groups of frames are read together where that goes, one by one where not, and faults are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.data import Video
from temporal.engine import Engine, Outcome, run_alone
from temporal.handle import Handle
from temporal.models.video.reading import MAX_FAULTS, Group, Groups, glance
from temporal.trace import Cost


def groups_of(video: Any, groups: list[list[int]], *, stop: int = 99, **view: Any) -> Outcome:
    """All groups that come, read by a reader of its own."""

    async def read(handle: Handle) -> list[Group]:
        await handle.open()
        found: list[Group] = []
        async for group in Groups(handle, groups, **{"size": (8, 8), **view}):
            found.append(group)
            if len(found) == stop:
                break
        return found

    outcome = run_alone(read, video)
    assert isinstance(outcome, Outcome)
    return outcome


def summary(outcome: Outcome) -> list[tuple[int, list[int], bool]]:
    return [(group.number, group.frames, group.is_last) for group in outcome.value]


def test_groups_come_in_order_and_the_last_is_known(frames) -> None:
    video = frames(40)
    outcome = groups_of(video, [[0, 20], [10], [30, 5]])
    assert summary(outcome) == [(0, [0, 20], False), (1, [10], False), (2, [30, 5], True)]
    assert video.asked == list(outcome.trace.read) == [0, 20, 10, 30, 5]
    third = outcome.value[2]
    assert torch.equal(third.pixels, torch.stack([video.pixels(k, (8, 8)) for k in (30, 5)]))
    assert third.filled() is third.pixels
    assert outcome.fault is None


def test_what_comes_after_a_halt_is_not_read(frames) -> None:
    video = frames(40)
    groups_of(video, [[0, 20], [10], [30, 5]], stop=2)
    assert video.asked == [0, 20, 10]


def test_a_broken_frame_costs_itself_and_not_its_group(frames) -> None:
    video = frames(40, broken=[20])
    outcome = groups_of(video, [[0, 20, 9, 20], [10]])
    assert summary(outcome) == [(0, [0, 9], False), (1, [10], True)]
    first = outcome.value[0]
    # 20 is seen as the frame that is nearest to it.
    want = [video.pixels(k, (8, 8)) for k in (0, 9, 9, 9)]
    assert torch.equal(first.filled(), torch.stack(want))
    assert outcome.trace.read == (0, 9, 10)
    assert (outcome.error, str(outcome.fault)) == (None, "frame 20 is broken")


def test_a_group_of_which_nothing_can_be_read_is_passed_over(frames) -> None:
    outcome = groups_of(frames(40, broken=[10, 11]), [[0], [10, 11], [12]])
    assert summary(outcome) == [(0, [0], False), (2, [12], True)]


def test_after_some_faults_what_was_read_answers(frames) -> None:
    video = frames(40, broken=range(1, 39))
    outcome = groups_of(video, [[0, 1, 2, 3, 39], [39], [0]])
    assert MAX_FAULTS == 3
    assert summary(outcome) == [(0, [0], True)]
    assert video.asked == [0, 0]  # together, and alone
    outcome = groups_of(frames(40, broken=range(1, 39)), [[0], [1], [2], [3], [39]])
    assert summary(outcome) == [(0, [0], False)]


def test_where_nothing_can_be_read_the_first_fault_is_the_error(frames) -> None:
    async def read(handle: Handle) -> int:
        return sum(
            [len(group.frames) async for group in Groups(handle, [[4, 2], [7]], size=(8, 8))]
        )

    bad, good = Engine(2).run(read, [frames(9, broken=range(9)), frames(9)])
    assert str(bad.error) == "frame 4 is broken" and good.value == 3


def test_frames_that_are_passed_on_the_way_are_not_decoded_again(single_gop) -> None:
    video = Video(single_gop)
    outcome = groups_of(video, [[50], [10], [30]])
    assert video.spent.frames_decoded == 51 and outcome.trace.read == (50, 10, 30)
    part = {"size": None, "region": (4, 4, 8, 8)}
    with_region = groups_of(Video(single_gop), [[50], [10]], **part)
    assert with_region.trace.cost.frames_decoded == 51
    want = Video(single_gop).read([10], region=(4, 4, 8, 8))
    assert torch.equal(with_region.value[1].pixels, want)


def test_whole_frames_are_expected_only_where_they_fit(single_gop, monkeypatch) -> None:
    from temporal.models.video import reading

    decoded = []
    for fits in (True, False):
        monkeypatch.setattr(reading, "whole_frames_fit", lambda index, count, fits=fits: fits)
        video = Video(single_gop)
        groups_of(video, [[50], [10]], size=None)
        decoded.append(video.spent.frames_decoded)
    assert decoded == [51, 51 + 11]


def test_leaving_in_the_middle_leaves_nothing_behind(frames) -> None:
    """Also where an event loop watches over generators, as in a notebook."""
    import asyncio

    async def main() -> Outcome:
        return groups_of(frames(40), [[0], [1], [2]], stop=1)

    assert summary(asyncio.run(main())) == [(0, [0], False)]


def test_glances_survive_broken_frames_too(frames) -> None:
    async def read(handle: Handle) -> tuple[list[int], torch.Tensor]:
        return await glance(handle, [9, 4, 20], size=(4, 6))

    hurt, bad = Engine(2).run(read, [frames(40, broken=[4]), frames(40, broken=range(40))])
    seen, pixels = hurt.value
    assert seen == [9, 20] and hurt.trace.skimmed == (9, 20)
    assert torch.equal(pixels[1], frames(40).pixels(20, (4, 6)))
    assert str(hurt.fault) == "frame 4 is broken"
    assert str(bad.error) == "frame 9 is broken" and bad.trace.skimmed == ()


@pytest.mark.parametrize("max_in_flight", [1, 5])
def test_readers_side_by_side_do_not_mix_their_faults(frames, max_in_flight) -> None:
    async def read(handle: Handle) -> list[int]:
        read_: list[int] = []
        async for group in Groups(handle, [[0, 1, 2], [3], [4]], size=(8, 8)):
            read_ += group.frames
        return read_

    videos = [frames(9, broken=[k]) for k in range(5)]
    outcomes = list(Engine(max_in_flight).run(read, videos))
    assert [o.value for o in outcomes] == [[j for j in range(5) if j != k] for k in range(5)]
    assert [str(o.fault) for o in outcomes] == [f"frame {k} is broken" for k in range(5)]


class _SeenInPart:
    """A source of frames of which only frame 0 can be decoded."""

    id, unit, in_memory, spent = "part", "frame", True, Cost()

    def __len__(self) -> int:
        return 6

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost()

    def read(self, units: Sequence[int], **options: Any) -> Tensor:
        if any(units):
            raise ValueError("broken")
        return torch.zeros(len(units), 3, 2, 2, dtype=torch.uint8)

    glance = read


def test_what_a_glance_saw_is_read_however_much_it_did_not_see() -> None:
    async def read(video: Handle) -> list[int]:
        seen, _ = await glance(video, range(await video.open()))
        return [group.frames[0] async for group in Groups(video, [[k] for k in seen], size=(2, 2))]

    assert run_alone(read, _SeenInPart()).value == [0]
