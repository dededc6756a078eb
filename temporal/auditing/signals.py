"""What of a reading shows whether its input is like others: how certain it was, how much it read.

A value is kept as one of 64 ordered cells, so that a distribution is a few counts: they add up, and
they fit into a configuration (`stored`, `counts_of`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

NUM_CELLS = 64
"""Of each signal, in the order of its values."""

SIGNALS: Mapping[str, str] = {
    "certainty": "how certain the answers are",
    "first_certainty": "how certain the first exit is",
    "exit": "at which exit readings halt",
    "units_read": "how much is read",
}
"""The signals, with what each of them tells."""

_MOST = 10**12
_CELLS_PER_LOGIT = 4
_LOWEST_LOGIT = -4.0
_CELLS_PER_DOUBLING = 3

Counts = dict[str, list[int]]
"""How many readings have each cell, by signal; those that tell none are in no cell."""


def cells(
    *,
    score: float | None,
    confidences: Sequence[float] = (),
    exit: int | None = None,
    units_read: int | None = None,
) -> dict[str, int]:
    """The cell of each signal that a reading tells.

    Args:
        score: of its answer, a probability; None: the task has none.
        confidences: at the exits that were computed, in order.
        exit: the exit that answered, from 0.
        units_read: units read in full.
    """
    found: dict[str, int] = {}
    if score is not None and 0 <= score <= 1:
        found["certainty"] = _certainty_cell(score)
    if confidences and 0 <= confidences[0] <= 1:
        found["first_certainty"] = _certainty_cell(confidences[0])
    if exit is not None:
        found["exit"] = min(exit, NUM_CELLS - 1)
    if units_read is not None:
        doublings = math.log2(1 + units_read)
        found["units_read"] = min(int(doublings * _CELLS_PER_DOUBLING), NUM_CELLS - 1)
    return found


def counted(readings: Iterable[Mapping[str, int]]) -> Counts:
    """Count the cells of readings; a signal that none of them tells is left out."""
    counts: Counts = {}
    for reading in readings:
        add(counts, reading)
    return counts


def add(counts: Counts, reading: Mapping[str, int]) -> None:
    """Count one more reading's cells."""
    for name, cell in reading.items():
        counts.setdefault(name, [0] * NUM_CELLS)[cell] += 1


def stored(counts: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Counts as words of a configuration: `"40:3 41:17"` are 3 readings in cell 40, 17 in 41."""
    return {
        name: " ".join(f"{cell}:{count}" for cell, count in enumerate(of_cells) if count)
        for name, of_cells in counts.items()
    }


def counts_of(words: Mapping[str, str]) -> Counts:
    """Counts from what `stored` made of them.

    Raises:
        ValueError: it is not that.
    """
    counts: Counts = {}
    try:
        for name, text in words.items():
            of_cells = [0] * NUM_CELLS
            for word in text.split():
                cell, _, count = word.partition(":")
                if not (0 <= int(cell) < NUM_CELLS and 0 < int(count) < _MOST):
                    raise ValueError(word)
                of_cells[int(cell)] += int(count)
            if name in SIGNALS and any(of_cells):  # later versions may tell more
                counts[name] = of_cells
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"read_like ({str(words)[:80]}) must be what temporal calibrate stores of how inputs "
            f"were read ({error}): run it again"
        ) from error
    return counts


def _certainty_cell(probability: float) -> int:
    """Cells are even in the logit: most answers are close to certain, and differ there."""
    if probability <= 0:
        return 0
    if probability >= 1:
        return NUM_CELLS - 1
    logit = math.log(probability) - math.log1p(-probability)
    return min(max(int((logit - _LOWEST_LOGIT) * _CELLS_PER_LOGIT), 0), NUM_CELLS - 1)
