"""`StageQueue`: the calls that wait for their stages, and which stage's turn it is."""

from __future__ import annotations

from typing import Any

from .stage import Stage, StageCall


class StageQueue:
    """Calls of readers, by stage.

    The stage that most rows wait for comes first: batches of the others grow meanwhile, as those of
    a deep layer do while new texts come up to it. But rows that nobody joins while every other
    stage might have had its turn wait for nothing; and whoever waits with them is missing in all
    batches that run. Then it is their turn, however few they are.
    """

    def __init__(self) -> None:
        self._calls: dict[Stage, list[tuple[Any, StageCall]]] = {}
        self._passed_over: dict[Stage, int] = {}  # batches of others since a call came
        self._met: set[Stage] = set()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, reader: Any, call: StageCall) -> None:
        """Let a reader's call wait for its stage."""
        self._calls.setdefault(call.stage, []).append((reader, call))
        self._passed_over[call.stage] = 0
        self._met.add(call.stage)

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()

    def longest(self) -> tuple[Stage, int]:
        """The stage that most rows wait for, and how many they are; there must be one."""
        rows = {
            stage: sum(call.num_rows for _, call in calls) for stage, calls in self._calls.items()
        }
        longest = max(rows, key=rows.__getitem__)
        return longest, rows[longest]

    def overdue(self) -> Stage | None:
        """A stage that no row came to while as many batches ran as there are stages."""
        stages = (s for s in self._calls if self._passed_over[s] >= len(self._met))
        return next(stages, None)

    @property
    def fixed_seconds(self) -> float | None:
        """The largest fixed cost of a batch among the stages waited for; None: there are none."""
        return max((stage.fixed_seconds for stage in self._calls), default=None)

    def take(self, stage: Stage, max_rows: int | None) -> tuple[list[StageCall], list[Any]]:
        """Take the calls of a stage's next batch out, oldest first, with their readers."""
        queue = self._calls.pop(stage)
        batch = stage.take_batch([call for _, call in queue], max_rows)
        taken = set(map(id, batch))
        rest = [entry for entry in queue if id(entry[1]) not in taken]
        for other in self._calls:
            self._passed_over[other] += 1
        if rest:
            self._calls[stage] = rest
            self._passed_over[stage] = 0
        return batch, [reader for reader, call in queue if id(call) in taken]
