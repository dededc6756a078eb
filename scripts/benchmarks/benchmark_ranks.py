"""Time one rank against two that share the work, one after the other in turns, and print JSON.

    python scripts/benchmarks/benchmark_ranks.py text-classification reviews.parquet --limit 5000
    python scripts/benchmarks/benchmark_ranks.py video-classification clips/ --rounds 3

Seconds are those of the work, from the first look at an input to the last row (the command line's
own bar), since a process takes seconds to load its model however long its collection is. Each rank
computes with one thread. `same_rows`: two ranks wrote the rows of one, in its order, bit for bit
but for what a clock measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from temporal.pipelines.jobs.store.ledger import read_rows

_ELAPSED = re.compile(r"\[(?:(\d+):)?(\d+):(\d+)<")
_OF_A_CLOCK = "_seconds"


def timed(words: list[str], output: Path, ranks: int) -> float:
    """Run the command with so many ranks; seconds of its work."""
    command = [sys.executable, "-m", "temporal", "run", *words, "--output", str(output)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_MININTERVAL": "0.05"}
    done = subprocess.run(
        [*command, "--num-processes", str(ranks)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    # The bar counts whole seconds; its rate at the end does not.
    return seconds_told(done.stderr)


def seconds_told(messages: str) -> float:
    """Seconds of a bar: inputs over their rate, or what it says."""
    last = [line for line in re.split(r"[\r\n]", messages) if _ELAPSED.search(line)][-1]
    hours, minutes, seconds = _ELAPSED.search(last).groups()  # type: ignore[union-attr]
    told = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    inputs = re.search(r"(\d+)/\d+ \[", last)
    rate = re.search(r"([\d.]+)input/s", last)
    if inputs and rate and abs(int(inputs[1]) / float(rate[1]) - told) <= 1:
        return int(inputs[1]) / float(rate[1])
    return float(told)


def rows(output: Path) -> list[dict[str, Any]]:
    """Rows of a run, without what a clock measured."""
    return [
        {name: value for name, value in row.items() if not name.endswith(_OF_A_CLOCK)}
        for row in read_rows(output)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=3)
    options, more = parser.parse_known_args()
    words = [options.task, options.data, *more]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    same = True
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for ranks in seconds:
                seconds[ranks].append(timed(words, Path(folder, str(ranks)), ranks))
            one, two = (rows(Path(folder, str(ranks))) for ranks in seconds)
            same &= one == two
    medians = {ranks: statistics.median(values) for ranks, values in seconds.items()}
    report = {
        "inputs": len(one),
        "seconds_one_rank": seconds[1],
        "seconds_two_ranks": seconds[2],
        "speedup_of_medians": round(medians[1] / medians[2], 3),
        "same_rows": same,
        "load": os.getloadavg(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
