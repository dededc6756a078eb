"""Rows of an audited pipeline: one whose input is audited is complete once that is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from ..reading import Reading
from ..tasks.registry import TaskRecord
from .audit import Audit
from .columns import audit_value

Made = tuple[Reading, dict[str, Any]]


class HeldRows:
    """Holds rows until they are complete, and gives them back.

    Args:
        audit: of the pipeline whose rows they are.
        record: of its task.
        order: `"input"`: in the order in which they came; `"completed"`: as they are complete.
    """

    def __init__(
        self, audit: Audit, record: TaskRecord, order: Literal["input", "completed"]
    ) -> None:
        self.audit, self.record, self.order = audit, record, order
        self._held: deque[Made] = deque()
        self._waiting: dict[str, dict[str, Any]] = {}

    def put(self, reading: Reading, row: dict[str, Any]) -> Iterator[Made]:
        """Take a row, and yield those that are complete."""
        if not self.audit.share:
            yield reading, row
            return
        row |= {"audit": None, "read_in_full": reading.read_in_full}
        if reading.id in self.audit.pending:
            self._waiting[reading.id] = row
        self._held.append((reading, row))
        yield from self._complete()

    def rest(self) -> Iterator[Made]:
        """Yield what is left, once all is read."""
        yield from self._complete()
        yield from self._held

    def _complete(self) -> Iterator[Made]:
        while self.audit.finished:
            audited = self.audit.finished.popleft()
            if (row := self._waiting.pop(audited.id, None)) is not None:
                row["audit"] = audit_value(audited, self.record.columns)
        if not self._waiting:
            while self._held:
                yield self._held.popleft()
        elif self.order == "input":
            while self._held[0][0].id not in self._waiting:
                yield self._held.popleft()
        else:
            held, self._held = self._held, deque()
            for made in held:
                if made[0].id in self._waiting:
                    self._held.append(made)
                else:
                    yield made
