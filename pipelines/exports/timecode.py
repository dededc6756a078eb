"""Timecodes: hours, minutes, seconds and frames, as cutting rooms write them.

At 29.97 frames a second a timecode that counts 30 frames for each second falls behind the clock.
Drop-frame timecode leaves out the numbers 00 and 01 of each minute that is no multiple of ten (no
frame is left out), and so keeps to the clock within 3 frames in a day. At 59.94 it leaves out four.
"""

from __future__ import annotations

import math
from fractions import Fraction

_NEAR = 0.004  # of a frame a second: 29.97 is 30000/1001 to two places


def exact_rate(rate: float | str | Fraction) -> Fraction:
    """The exact rate that a number of frames a second stands for: 29.97 is 30000/1001.

    Args:
        rate: a number, or text: `"29.97"`, `"30000/1001"`.

    Raises:
        ValueError: timecodes cannot count it: it is neither whole nor 1000/1001 of a whole number.
    """
    try:
        given = Fraction(rate)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        given = Fraction(0)
    whole = round(given)
    if 1 <= whole <= 99:  # frames of a second have two digits
        for exact in (Fraction(whole), Fraction(whole * 1000, 1001)):
            if abs(given - exact) < _NEAR:
                return exact
    raise ValueError(
        f"frame_rate ({rate}) must be a rate that timecodes count, 1 to 99 frames a second: a "
        "whole number such as 25, or 23.976, 29.97, 59.94"
    )


def drops_frames(rate: Fraction) -> bool:
    """Whether timecodes of an exact rate are drop-frame ones: of 29.97 and 59.94."""
    return rate.denominator != 1 and round(rate) % 30 == 0


def frame_at(seconds: float, rate: Fraction) -> int:
    """The number of the frame that begins nearest to a time."""
    return math.floor(Fraction(seconds) * rate + Fraction(1, 2))


def timecode(frame: int, rate: Fraction, *, drop_frame: bool) -> str:
    """The timecode of a frame, `01:02:03:04`; of drop-frame ones `01:02:03;04`.

    Args:
        frame: its number, from 0; a day later it begins anew.
        rate: exact frames a second.
        drop_frame: leave numbers out, as above.
    """
    base = round(rate)  # numbers of a second
    if drop_frame:
        dropped = base // 15  # numbers left out of a minute: 2 of 30
        in_minute = 60 * base - dropped
        tens, rest = divmod(frame, 600 * base - 9 * dropped)
        frame += 9 * dropped * tens + dropped * max(0, (rest - dropped) // in_minute)
    seconds, number = divmod(frame, base)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % 24:02}:{minute:02}:{second:02}{';' if drop_frame else ':'}{number:02}"
