"""A pipeline without a model, for testing jobs: it counts words, and can be slow.

As a script it runs a job over numbered items, so that tests can kill it:

    python fake_pipe.py OUTPUT --items 60 --delay-seconds 0.01 --resume
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from temporal.data import Item
from temporal.pipelines.reading import Reading, ReadingError
from temporal.trace import Cost, Trace

FakeItem: Any = Item  # with any error


class FakePipe:
    """Reads every second word and says `odd` or `even` by their number; never halts early."""

    task = "text-classification"
    model_name = "fake"
    id2label = {0: "even", 1: "odd"}

    def __init__(
        self, delay_seconds: float = 0.0, tell: Path | None = None, order: str = "completed"
    ) -> None:
        self.delay_seconds = delay_seconds
        self.order = order  # that is asked for; a job's is this one
        self.tell = tell  # a file that is there once an input is being read
        self.handed_out: list[str] = []

    def tokenizer(self, text: str, **options: Any) -> dict[str, list[tuple[int, int]]]:
        """Give each word's characters."""
        spans, start = [], 0
        for word in text.split(" "):
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return {"offset_mapping": spans}

    def check_options(self) -> None:
        """It has none."""

    def dense_macs(self, trace: Trace) -> int:
        """Ten for a word."""
        return 10 * trace.units_total

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
        """Read one by one."""
        assert options == {"order": self.order, "on_error": "record"}
        for item in inputs:
            self.handed_out.append(item.id)
            if self.tell is not None:
                self.tell.touch()
            time.sleep(self.delay_seconds)
            yield self._reading(item)

    def _reading(self, item: Any) -> Reading:
        if item.error is not None:
            error = ReadingError(
                stage="input", reason=item.error.reason, message=item.error.message
            )
            return Reading(id=item.id, error=error)
        words = item.value.split(" ")
        label = self.id2label[len(words) % 2]
        read = tuple(range(0, len(words), 2))
        cost = Cost(
            macs=10 * len(read), layers=1, model_seconds=time.perf_counter() % 1, decode_seconds=0.5
        )
        trace = Trace(unit="token", units_total=len(words), read=read, cost=cost)
        return Reading(
            id=item.id, predictions=({"label": label, "score": 0.75},), trace=trace, backend=None
        )


def numbered_items(count: int) -> Iterator[FakeItem]:
    """Items of 1 to 7 words whose labels are right for two of three; every tenth is broken."""
    for i in range(count):
        if i % 10 == 9:
            error = SimpleNamespace(reason="empty_input", message=f"item {i} is empty")
            yield FakeItem(id=f"item-{i}", error=error)
            continue
        num_words = i % 7 + 1
        label = num_words % 2 if i % 3 else 1 - num_words % 2
        yield FakeItem(id=f"item-{i}", value=" ".join(["word"] * num_words), extra={"label": label})


def main() -> None:
    """Run a job and leave with its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--delay-seconds", type=float, default=0.0)
    parser.add_argument("--rows-per-part", type=int, default=4)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    from temporal.pipelines.jobs.job import run
    from temporal.pipelines.jobs.ranks import Ranks

    ranks = Ranks.from_environment()
    summary = run(
        FakePipe(options.delay_seconds, tell=Path(options.output, "reading")),
        numbered_items(options.items),
        options.output,
        resume=options.resume,
        progress=False,
        rows_per_part=options.rows_per_part,
        rank=ranks.rank,
        world_size=ranks.world_size,
    )
    sys.exit(summary.exit_code)


if __name__ == "__main__":
    main()
