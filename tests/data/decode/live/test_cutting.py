"""Where streams are cut: windows counted by hand from lists of packets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from temporal.data.decode.live.arrived import Arrived, LiveCounts
from temporal.data.decode.live.cutting import Cut, Cutter


def arrived(pts: int, dts: int | None, *, key: bool = False) -> Arrived:
    return Arrived(
        packet=cast(Any, SimpleNamespace(size=10)),
        pts=pts,
        dts=dts,
        is_entry=key,
        is_damaged=False,
        is_shown=True,
        wall_seconds=0.0,
    )


def cutter(window: int, *, most: int = 1000, overlap: bool = False) -> tuple[Cutter, LiveCounts]:
    counts = LiveCounts()
    options: dict[str, Any] = {"counts": counts, "tick_seconds": 0.1, "overlap": overlap}
    return Cutter(window, max_packets=most, max_bytes=10**9, **options), counts


def seen(cut: Cut) -> tuple[list[int], list[int]]:
    """Times of what a window shows, and of what it only decodes."""
    shown = sorted(one.pts for one in cut.arrived if cut.low <= one.pts < cut.high)
    return shown, sorted(one.pts for one in cut.arrived if not cut.low <= one.pts < cut.high)


def cuts_of(cutter: Cutter, packets: list[Arrived]) -> list[Cut]:
    return [cut for packet in packets for cut in cutter.add(packet)] + cutter.finish()


def test_a_window_ends_at_the_first_keyframe_after_its_length() -> None:
    cut, counts = cutter(4)
    packets = [arrived(time, time, key=time % 3 == 0) for time in range(14)]
    made = cuts_of(cut, packets)
    # Keyframes at 0, 3, 6, 9, 12: the first that is 4 ticks or more after 0 is 6, then 12.
    assert [seen(one) for one in made] == [
        ([0, 1, 2, 3, 4, 5], [6]),
        ([6, 7, 8, 9, 10, 11], [12]),
        ([12, 13], []),
    ]
    assert [one.why for one in made] == ["full", "full", "ended"]
    assert (counts.frames_late, counts.frames_undecodable) == (0, 0)


def test_a_gop_without_end_is_cut_at_twice_the_length_and_kept_to_decode_from() -> None:
    cut, _ = cutter(2)
    made = cuts_of(cut, [arrived(time, time, key=time == 0) for time in range(8)])
    assert [seen(one) for one in made] == [
        ([0, 1, 2, 3, 4], []),
        ([5, 6, 7], [0, 1, 2, 3, 4]),
    ]


def test_frames_before_a_keyframe_that_are_stored_after_it_are_waited_for() -> None:
    # An open GOP: I0 P3 B1 B2 | I6 B4 B5 P9 B7 B8, decoding times one after the other.
    times = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    packets = [arrived(pts, k - 1, key=pts in (0, 6)) for k, pts in enumerate(times)]
    cut, _ = cutter(5)
    made = cuts_of(cut, packets)
    # At 6, once the decoding time is 6: with P9, which comes along for those after it.
    assert seen(made[0]) == ([0, 1, 2, 3, 4, 5], [6, 9])
    # B4 and B5 refer to what came before the keyframe, and are not decoded from it.
    assert seen(made[1]) == ([6, 7, 8, 9], [])


def test_what_comes_before_a_keyframe_is_counted_and_left_out() -> None:
    cut, counts = cutter(100)
    packets = [arrived(time, time, key=time == 3) for time in range(6)]
    (made,) = cuts_of(cut, packets)
    assert seen(made) == ([3, 4, 5], [])
    assert counts.frames_undecodable == 3


def test_when_nothing_comes_only_what_is_whole_is_given() -> None:
    # After P3, whose decoding time is 0, B1 and B2 may come: 0 is all that is certain.
    cut, _ = cutter(100)
    assert cut.add(arrived(0, -1, key=True)) + cut.add(arrived(3, 0)) == []
    (first,) = cut.stall()
    assert (seen(first), first.why) == (([0], [3]), "stalled")
    assert cut.stall() == []
    rest = cuts_of(cut, [arrived(1, 1), arrived(2, 2)])
    assert [seen(one) for one in rest] == [([1, 2, 3], [0])]


def test_after_frames_were_skipped_it_begins_at_a_keyframe() -> None:
    cut, counts = cutter(100)
    before = [made for time in range(3) for made in cut.add(arrived(time, time, key=time == 0))]
    assert before == []
    (skipped,) = cut.skip()
    assert (seen(skipped), skipped.why) == (([0, 1, 2], []), "skipped")
    packets = [arrived(9, 9), arrived(10, 10, key=True), arrived(11, 11)]
    assert [seen(one) for one in cuts_of(cut, packets)] == [([10, 11], [])]
    assert counts.frames_undecodable == 1


def test_a_jump_of_the_clock_ends_a_window() -> None:
    cut, counts = cutter(5)
    made = cuts_of(cut, [arrived(t, t, key=t == 0) for t in (0, 1, 2, 50, 51)])
    assert [(seen(one)[0], one.why) for one in made] == [([0, 1, 2], "jump"), ([50, 51], "ended")]
    assert (counts.jumps, round(counts.jumped_seconds, 6)) == (1, 4.8)


def test_frames_that_come_after_their_window_are_counted() -> None:
    cut, counts = cutter(2)
    packets = [arrived(t, d, key=t == 0) for t, d in ((0, 0), (1, 1), (2, 2), (4, 4), (3, 5))]
    made = cuts_of(cut, [*packets, arrived(6, 6)])
    assert [seen(one)[0] for one in made] == [[0, 1, 2, 4], [6]]
    assert counts.frames_late == 1


def test_a_gop_that_is_too_long_to_hold_is_given_up_and_counted() -> None:
    cut, counts = cutter(1000, most=4)
    packets = [arrived(time, time, key=time in (0, 7)) for time in range(9)]
    made = cuts_of(cut, packets)
    assert [seen(one)[0] for one in made] == [[0, 1, 2, 3], [7, 8]]
    assert counts.frames_undecodable == 3  # 4, 5 and 6


def test_windows_that_overlap_share_a_frame_and_give_none_twice() -> None:
    cut, _ = cutter(4, overlap=True)
    packets = [arrived(time, time, key=time % 3 == 0) for time in range(9)]
    made = [one for packet in packets for one in cut.add(packet)]
    made += cut.stall() + cut.stall() + cut.finish()
    # The keyframe at 6 ends the first window, and decodes alone; nothing is new after 8.
    assert [seen(one)[0] for one in made] == [[0, 1, 2, 3, 4, 5, 6], [6, 7, 8]]
    assert [one.frames_told for one in made] == [7, 2]


def test_windows_of_a_long_gop_overlap_as_well() -> None:
    cut, _ = cutter(2, overlap=True)
    made = cuts_of(cut, [arrived(time, time, key=time == 0) for time in range(8)])
    assert [seen(one)[0] for one in made] == [[0, 1, 2, 3, 4], [4, 5, 6, 7]]
