"""Time one rank against two that share the work, in turns, whole and disturbed, and print JSON.

    python scripts/benchmarks/collections/benchmark_ranks.py text-classification reviews.parquet
    python scripts/benchmarks/collections/benchmark_ranks.py video-classification clips/ --rounds 3

Further options are those of `temporal run`. Seconds are those of the work, from the moment that the
first rank's bar appears to its last input, since a process takes seconds to load its model however
long its collection is. Each rank computes with one thread. Six runs a round:

- `one`: one rank. It reads ahead in threads of its own, on cores that no other rank needs.
- `one_core`: one rank that has one core.
- `apart`: two processes that know nothing of each other, for half of the inputs each: what the
  machine's two cores give together (seconds of the slower one).
- `two`: two ranks.
- `killed`: two, the second of which is killed (SIGKILL) when a third of the inputs is read. Ideal:
  the first goes on alone at its own speed.
- `slowed`: two, the second of which is stopped for nine tenths of every tenth of a second. Ideal:
  the work at the speed of 1.1 ranks.

`same_rows`: every run wrote the rows of `one`, in its order, but for what a clock measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from temporal.pipelines.jobs.store.ledger import read_rows

_INPUTS = re.compile(r"(\d+)/(\d+) \[[^\]\r]*input/s")
_OF_A_CLOCK = "_seconds"
_KILLED_AT = 1 / 3
_SLOWED_TO = 0.1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=3)
    options, more = parser.parse_known_args()
    words = [options.task, options.data, *more]
    rounds: list[dict[str, float]] = []
    is_same = True
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            seconds: dict[str, float] = {}
            for name, way in _WAYS.items():
                seconds[name], at = timed(words, Path(folder, name), way)
                if at:
                    seconds[f"{name}_at"] = at
            rounds.append(seconds)
            expected = rows(Path(folder, "one"))
            is_same &= all(rows(Path(folder, name)) == expected for name in _WAYS)
        print(json.dumps(seconds), file=sys.stderr)
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    one, two, at = medians["one"], medians["two"], medians["killed_at"]
    ideal = {"killed": at + (1 - at / two) * one, "slowed": 2 * two / (1 + _SLOWED_TO)}
    report = {
        "inputs": len(expected),
        "seconds": medians,
        "speedup": round(one / two, 3),
        "speedup_of_one_core": round(medians["one_core"] / two, 3),
        "speedup_of_two_apart": round(one / medians["apart"], 3),
        "of_ideal": {name: round(medians[name] / ideal[name], 3) for name in ideal},
        "same_rows": is_same,
        "rounds": rounds,
        "load": os.getloadavg(),
    }
    print(json.dumps(report, indent=2))


class Bar:
    """The bar of a rank, followed while it is drawn."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.first: float | None = None
        self.last = 0.0
        self.share = 0.0
        self.text = b""
        self._thread = threading.Thread(target=self._follow, args=(process.stderr,), daemon=True)
        self._thread.start()

    def _follow(self, stream: Any) -> None:
        while piece := stream.read1(4096):
            now = time.perf_counter()
            self.text += piece
            if found := _INPUTS.findall(piece.decode(errors="replace")):
                self.first = self.first or now
                share = int(found[-1][0]) / int(found[-1][1])
                self.last = now if share > self.share else self.last
                self.share = share

    def until(self, share: float) -> float:
        """Wait for this share of the inputs; seconds since the bar was there."""
        while self._thread.is_alive() and (self.first is None or self.share < share):
            time.sleep(0.005)
        return time.perf_counter() - (self.first or 0.0)

    def end(self) -> float:
        """Seconds from the first to the last input."""
        self._thread.join()
        return self.last - (self.first or 0.0)


def timed(words: list[str], output: Path, way: Way) -> tuple[float, float]:
    """Seconds of the work, and when the last rank was disturbed (0: it was not, or all along)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "temporal", "run", *words, "--output", str(output)]
    cores = set(sorted(os.sched_getaffinity(0))[:1]) if way.on_one_core else None
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_MININTERVAL": "0.02"}
    if way.ranks > 1:
        environment |= {"WORLD_SIZE": str(way.ranks)}
        environment |= (
            {} if way.is_apart else {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        )
    else:
        command += ["--num-processes", "1"]
    processes = [
        subprocess.Popen(
            command,
            env={**environment, "RANK": str(rank)} if way.ranks > 1 else environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if rank == 0 or way.is_apart else subprocess.DEVNULL,
            preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None,
        )
        for rank in range(way.ranks)
    ]
    bars = [Bar(process) for process in processes[: way.ranks if way.is_apart else 1]]
    bar = bars[0]
    at = way.disturb(bar, processes[-1])
    seconds = max(one.end() for one in bars)
    if processes[0].wait() not in (0, 3):
        sys.exit(bar.text.decode(errors="replace"))
    processes[-1].send_signal(signal.SIGCONT)
    for process in processes:
        process.wait()
    return seconds, at


def leave(bar: Bar, process: Any) -> float:
    """Disturb nothing."""
    return 0.0


def kill(bar: Bar, process: Any) -> float:
    """Kill a rank when a third of the inputs is read."""
    at = bar.until(_KILLED_AT)
    process.kill()
    return at


def slow(bar: Bar, process: Any) -> float:
    """Let a rank run for a tenth of the time, until the work is done."""
    bar.until(0.0)
    while bar.share < 1 and process.poll() is None:
        process.send_signal(signal.SIGCONT)
        time.sleep(0.1 * _SLOWED_TO)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.1 * (1 - _SLOWED_TO))
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a run is started, and what befalls it."""

    ranks: int
    disturb: Callable[[Bar, Any], float] = leave
    on_one_core: bool = False
    is_apart: bool = False


_WAYS = {
    "one": Way(ranks=1),
    "one_core": Way(ranks=1, on_one_core=True),
    "apart": Way(ranks=2, is_apart=True),
    "two": Way(ranks=2),
    "killed": Way(ranks=2, disturb=kill),
    "slowed": Way(ranks=2, disturb=slow),
}


def rows(output: Path) -> list[dict[str, Any]]:
    """Rows of a run, without what a clock measured."""
    return [
        {name: value for name, value in row.items() if not name.endswith(_OF_A_CLOCK)}
        for row in read_rows(output)
    ]


if __name__ == "__main__":
    main()
