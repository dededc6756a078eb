"""What a pipeline makes of held-out inputs: sources to ask about, and readings under a policy."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from temporal.models.operating_points import apply_point
from temporal.models.policy_space import Policy
from temporal.trace import Trace

from ..inputs import items_of
from .readings_seen import ReadingsSeen

_TIMED_ROUNDS = 3


class Offered:
    """The sources of some inputs, made as the pipeline makes them.

    Cohorts come in the order of the inputs; what is no cohort is opened when it is asked for, and
    closed when the next one is.

    Args:
        pipe: of any task.
        inputs: as for `Pipeline.read`.

    Attributes:
        positions: numbers of the inputs that became a source, in the order of the sources.
        faults: why others did not, by their number.
    """

    def __init__(self, pipe: Any, inputs: Sequence[Any]) -> None:
        self.pipe, self.inputs = pipe, inputs
        self.positions: list[int] = []
        self.faults: dict[int, Exception] = {}

    def __iter__(self) -> Iterator[Any]:
        self.positions.clear()
        self.faults.clear()
        numbers: dict[int, int] = {}

        def pair(position: int, source: Any) -> Any:
            numbers[id(source)] = position
            return source

        def fail(position: int, id: str, error: Exception) -> None:
            self.faults[position] = error

        items = items_of(list(self.inputs), self.pipe.kind, None, None)
        groups = self.pipe._sources(enumerate(items), pair, fail)
        if self.pipe.reader.reads_cohorts:  # all in memory
            sources = [source for group in groups for source in group]
            groups = iter(sorted(sources, key=lambda source: numbers[id(source)]))
        for source in groups:
            self.positions.append(numbers.pop(id(source)))
            try:
                yield source
            finally:
                close = getattr(source, "close", None)
                if close is not None:
                    close()

    def left_out(self, later: Mapping[int, Exception]) -> list[tuple[str, str]]:
        """Which inputs were not read in full, and why, in their order.

        Args:
            later: why sources were not, by their numbers.
        """
        faults = {**self.faults, **{self.positions[k]: why for k, why in later.items()}}
        names = {k: str(getattr(self.inputs[k], "id", self.inputs[k])) for k in faults}
        return [(names[k], str(why)) for k, why in sorted(faults.items())]


def cost_of(trace: Trace, unit: str) -> float:
    """What a reading cost, in `"macs"` or `"ms"` (computing and decoding)."""
    if unit == "macs":
        return float(trace.cost.macs)
    return 1000 * (trace.cost.model_seconds + trace.cost.decode_seconds)


def read_at(
    pipe: Any,
    policy: Policy,
    inputs: Sequence[Any],
    unit: str,
    told: set[str] | None = None,
    seen: ReadingsSeen | None = None,
) -> tuple[list[int | None], list[float]]:
    """Each input's answer (None: it cannot be read) and cost under a policy.

    Times are medians over rounds, after one that warms up and counts MACs. Inputs that cannot be
    read are named on stderr, unless they are among those that were `told` before. `seen` takes note
    of how the others were read.

    Raises:
        ValueError: there are inputs, and none can be read.
    """
    apply_point(pipe.model.config, {"policy": policy})
    rounds = [list(pipe.read(inputs, top_k=1))]
    if unit == "ms":
        rounds = [list(pipe.read(inputs, top_k=1)) for _ in range(_TIMED_ROUNDS)]
    errors = [f"{reading.id}: {reading.error.message}" for reading in rounds[0] if reading.error]
    if errors and not any(reading.classes for reading in rounds[0]):
        raise ValueError(f"inputs must hold one that can be read, and none can; {errors[0]}")
    if told is not None:
        bad = [reading for reading in rounds[0] if not reading.classes and reading.id not in told]
        for reading in bad:
            why = "no answer" if reading.error is None else reading.error.message
            print(f"left out {reading.id[:300]}: {why}", file=sys.stderr)
        told.update(reading.id for reading in bad)
    answers = [reading.classes[0] if reading.classes else None for reading in rounds[0]]
    if seen is not None:
        seen.note(policy, rounds[0])
    costs = [
        statistics.median(cost_of(reading.trace, unit) if reading.trace else 0.0 for reading in one)
        for one in zip(*rounds, strict=True)
    ]
    return answers, costs


def exit_costs(
    pipe: Any, policy: Policy, inputs: Sequence[Any], unit: str, *, min_exit: int
) -> list[float]:
    """Mean cost of an input when all answer at exit e: `[E]`, measured on this machine.

    A model to choose by. Where some inputs go on and others do not, batches are less full.

    Args:
        pipe: around a reader with exits at fixed places.
        policy: its full reading, with a threshold for each exit but the last.
        inputs: to measure on.
        unit: of the costs.
        min_exit: exits before this one are never asked, and cost what it does.
    """
    never = policy["thresholds"]
    costs = []
    for exit in range(min_exit, len(never) + 1):
        forced = [*never[:exit], *(-level for level in never[exit:])]
        answers, spent = read_at(pipe, {**policy, "thresholds": forced}, inputs, unit)
        costs.append(statistics.fmean(spent))
    apply_point(pipe.model.config, {"policy": policy})
    return costs[:1] * min_exit + costs
