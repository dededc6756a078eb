"""The command line with a pipeline whose ranks misbehave, as `FAKE_RANKS` says.

    FAKE_RANKS='{"1": {"delay": 0.2, "kill_at": 5}}' python fake_ranks.py run ... --num-processes 2

For each rank: `delay` seconds for an input, `kill_at` or `hang_at` (or `fail_at`) the input of its
own with that number. Each rank notes the inputs that it began in `FAKE_NOTES/R.txt`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from fake_pipe import FakePipe  # noqa: E402  # a script: its path is set just now


class Misbehaves(FakePipe):
    """Reads as `FakePipe` does, but for what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.rank = os.environ.get("RANK", "0")
        told = json.loads(os.environ.get("FAKE_RANKS", "{}")).get(self.rank, {})
        self.delay_seconds = float(told.get("delay", 0))
        self.faults = {told.get(f"{name}_at"): name for name in ("kill", "hang", "fail", "stop")}
        self.count = 0
        self.notes = Path(os.environ["FAKE_NOTES"], f"{self.rank}.txt")

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Read one by one."""

        def noted() -> Iterator[Any]:
            for item in inputs:
                with self.notes.open("a") as file:
                    file.write(f"{item.id}\n")
                self.count += 1
                fault = self.faults.get(self.count)
                if fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if fault == "stop":
                    os.kill(os.getpid(), signal.SIGTERM)
                if fault == "hang":
                    time.sleep(1000)
                if fault == "fail":
                    raise RuntimeError("a fault of this rank")
                yield item

        yield from super().read(noted(), **options)


if __name__ == "__main__":
    module = ModuleType("temporal.pipelines.pipeline")
    module.pipeline = lambda task, **options: Misbehaves()  # type: ignore[attr-defined]
    sys.modules["temporal.pipelines.pipeline"] = module
    from temporal.pipelines.command.cli import main

    main()
