"""The dense model on a part of each input, so small that it takes the reader's time.

What a saving has to be compared with: whoever has less time can read less of everything, without a
reader that chooses. Of a text that is its first tokens, of a video uniform frames.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

from .thinned import Thinned

Cut = Callable[[Any, int], Any]
"""A pipeline and a number of units -> a pipeline whose reader is offered no more of an input."""

_NEAR = 0.05
"""A time that is so near to another, as a share of it, is as near as clocks tell."""


def first_tokens(pipe: Any, count: int) -> Any:
    """A pipeline that reads the first tokens of each text and nothing else."""
    cut = copy.copy(pipe)
    cut.truncation, cut.max_length = True, max(count, pipe.num_added_tokens + 1)
    return cut


def uniform_frames(pipe: Any, count: int) -> Any:
    """A pipeline whose reader is offered so many uniform frames of each video and no others."""
    cut = copy.copy(pipe)

    def sources(items: Any, pair: Callable[[int, Any], Any], fail: Any) -> Any:
        def thin(position: int, source: Any) -> Any:
            return pair(position, Thinned(source, count))

        return type(pipe)._sources(cut, items, thin, fail)

    cut._sources = sources
    return cut


CUTS: Mapping[str, tuple[Cut, str]] = {
    "text": (first_tokens, "the first {}tokens of a text"),
    "video": (uniform_frames, "{}uniform frames of a video"),
}
"""By the kind of source, how it is cut and how that is said."""


def said(words: str, count: int) -> str:
    """The words of a cut with its number of units."""
    if count > 1:
        return words.format(f"{count:,} ")
    return words.format("one " if words.startswith("{") else "").replace("s of", " of")


def nearest_cut(
    time_of: Callable[[int], float], wanted: float, *, first: int, most: int, tries: int = 5
) -> int:
    """The number of units whose time is nearest to a wanted one, of those that were tried.

    Each number that is tried is the last one, scaled by what the time is off.

    Args:
        time_of: measures the time that a number of units takes, in any unit.
        wanted: the time.
        first: the number to try first.
        most: the largest one; the smallest is 1.
        tries: how many are measured at most.
    """
    took: dict[int, float] = {}
    cut = min(max(first, 1), most)
    while cut not in took and len(took) < tries:
        took[cut] = time_of(cut)
        ratio = wanted / took[cut]
        if abs(ratio - 1) <= _NEAR:
            break
        scaled = round(cut * ratio)
        if scaled == cut:  # so few units that rounding undoes it
            scaled += 1 if ratio > 1 else -1
        cut = min(max(scaled, 1), most)
    return min(took, key=lambda tried: abs(math.log(took[tried] / wanted)))
