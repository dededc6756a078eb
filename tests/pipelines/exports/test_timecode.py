"""Timecodes, by the standard's own numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest

from temporal.pipelines.exports.timecode import drops_frames, exact_rate, frame_at, timecode

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (0, "00:00:00;00"),
        (29, "00:00:00;29"),
        (30, "00:00:01;00"),
        (1799, "00:00:59;29"),
        (1800, "00:01:00;02"),  # 00 and 01 of the second minute are left out
        (1801, "00:01:00;03"),
        (3597, "00:01:59;29"),
        (3598, "00:02:00;02"),
        (17981, "00:09:59;29"),
        (17982, "00:10:00;00"),  # of the tenth minute none is
        (17983, "00:10:00;01"),
        (107892, "01:00:00;00"),  # an hour: 108 numbers less
        (2589408, "00:00:00;00"),  # a day
    ],
)
def test_drop_frame(frame: int, code: str) -> None:
    assert timecode(frame, NTSC, drop_frame=True) == code


@pytest.mark.parametrize(
    ("frame", "code"),
    [(3599, "00:00:59;59"), (3600, "00:01:00;04"), (35964, "00:10:00;00"), (215784, "01:00:00;00")],
)
def test_drop_frame_at_twice_the_rate_leaves_out_four(frame: int, code: str) -> None:
    assert timecode(frame, Fraction(60000, 1001), drop_frame=True) == code


@pytest.mark.parametrize(
    ("frame", "rate", "code"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (1500, Fraction(25), "00:01:00:00"),
        (90001, Fraction(25), "01:00:00:01"),
        (1800, NTSC, "00:01:00:00"),  # counted without leaving out
        (1440, Fraction(24000, 1001), "00:01:00:00"),
        (99, Fraction(10), "00:00:09:09"),
    ],
)
def test_counted_through(frame: int, rate: Fraction, code: str) -> None:
    assert timecode(frame, rate, drop_frame=False) == code


def test_drop_frame_numbers_are_each_given_once_and_in_order() -> None:
    codes = [timecode(frame, NTSC, drop_frame=True) for frame in range(17982 * 2)]
    assert codes == sorted(set(codes))
    assert not any(code[6:] in ("00;00", "00;01") and code[4] != "0" for code in codes)


def test_drop_frame_keeps_to_the_clock() -> None:
    for hours in (1, 5, 23):
        code = timecode(frame_at(3600 * hours, NTSC), NTSC, drop_frame=True)
        hour, minute, second = (int(part) for part in code[:8].split(":"))
        assert abs(hour * 3600 + minute * 60 + second + int(code[9:]) / 30 - 3600 * hours) < 0.11


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (25, Fraction(25)),
        (29.97, NTSC),
        ("29.97", NTSC),
        ("30000/1001", NTSC),
        (29.97002997, NTSC),
        (30.0, Fraction(30)),
        (23.976, Fraction(24000, 1001)),
        (24.0, Fraction(24)),
        (59.94, Fraction(60000, 1001)),
        (24.99999, Fraction(25)),
    ],
)
def test_rates(given: float | str, exact: Fraction) -> None:
    assert exact_rate(given) == exact


@pytest.mark.parametrize("given", [0, -25, 12.5, "film", 1e9, float("nan"), float("inf"), "1/0"])
def test_rates_that_no_timecode_counts(given: float | str) -> None:
    with pytest.raises(ValueError, match="frame_rate"):
        exact_rate(given)


def test_which_rates_drop() -> None:
    rates = [24, 25, 30, 50, 60, 23.976, 29.97, 47.952, 59.94]
    assert [drops_frames(exact_rate(rate)) for rate in rates] == [*[False] * 6, True, False, True]


def test_the_frame_at_a_time() -> None:
    assert frame_at(60.06, NTSC) == 1800  # 60.06 * 30000 / 1001
    assert frame_at(0.059, Fraction(25)) == 1
    assert frame_at(0.06, Fraction(25)) in (1, 2)  # half a frame
