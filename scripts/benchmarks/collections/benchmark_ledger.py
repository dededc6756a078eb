"""What the ledger of a run costs: seconds and bytes a row at several sizes, and going on with it.

    python scripts/benchmarks/collections/benchmark_ledger.py --output_dir out/ledger \
        --texts reviews.parquet --sizes 100000 300000 1000000

The rows are those that the bundled review reader makes of some texts, under other ids. For each
size, each in a process of its own: they are written and joined as a run does it (`write`); then a
run that goes on finds which inputs have their row and meets each of them in its order, then each is
looked up, and as many that have none (`resume`); then they are added up (`sum`). `names` does the
same with names without rows, for sizes whose rows would fill the disk; `parts` says how many parts
there are and how often a row is written again, by the same code without rows. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from temporal.pipelines.benchmark.process_memory import memory_mb

_GROUP = 256  # inputs of a text job's group
_ROWS_PER_PART = 16_384  # the most of a text job's part
_NAME = "review-{:012d}"


class Meter:
    """Seconds of the wall and of the processor, and memory, of what is done meanwhile."""

    def __enter__(self) -> Meter:
        self.before_mb = memory_mb()
        self._wall, self._processor = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.processor = time.process_time() - self._processor

    def report(self, count: int, **facts: Any) -> dict[str, Any]:
        """Of so many rows."""
        return {
            "seconds": round(self.seconds, 2),
            "microseconds_a_row": round(1e6 * self.seconds / count, 3),
            "processor_microseconds_a_row": round(1e6 * self.processor / count, 3),
            "before_mb": self.before_mb,
            "after_mb": memory_mb(),
            "peak_mb": memory_mb("VmHWM"),
            **facts,
        }


def make_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows as the bundled reader makes them of the first texts."""
    from temporal.data import collect
    from temporal.pipelines import pipeline, rows

    pipe = pipeline("text-classification", device="cpu")
    items = collect(str(args.texts), kind="text", limit=args.num_texts)
    return list(rows(pipe, items))


def as_written(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a job hands it to its writer: with its trace as the reader gave it."""
    from temporal.pipelines.jobs.table.trace_column import StoredTrace, dense_macs_of, trace_of

    trace = trace_of(row)
    return row if trace is None else row | {"trace": StoredTrace(trace, dense_macs_of(row))}


def write(args: argparse.Namespace, size: int, output: Path) -> dict[str, Any]:
    """Write rows as a job does."""
    from temporal.pipelines import row_schema
    from temporal.pipelines.jobs.store.ledger import ResultWriter, parts

    made = list(map(as_written, json.loads((args.output_dir / "rows.json").read_text())))
    output.mkdir(parents=True)
    most, warm = 0, 0.0
    with (
        ResultWriter(
            output, schema=row_schema(), format=args.format, rows_per_part=_ROWS_PER_PART
        ) as writer,
        Meter() as meter,
    ):
        for start in range(0, size, _GROUP):
            numbers = range(start, min(start + _GROUP, size))
            group = [{**made[i % len(made)], "id": _NAME.format(i)} for i in numbers]
            writer.write_group(group, first=start, end=numbers.stop)
            if start % (64 * _GROUP) == 0:
                most = max(most, len(parts(output)))
            if not warm and start >= size // 10:
                warm = memory_mb()
        writer.join()
    found = parts(output)
    stored = sum(path.stat().st_size for path in found)
    return meter.report(
        size,
        warm_mb=warm,
        bytes_a_row=round(stored / size, 1),
        most_parts=most,
        parts=len(found),
        largest_part_bytes=max(path.stat().st_size for path in found),
    )


def resume(args: argparse.Namespace, size: int, output: Path) -> dict[str, Any]:
    """Find the rows that are there, and look up each input."""
    from temporal.pipelines.jobs.store.resumed import done_before

    with Meter() as meter:
        done = done_before(output)
    assert len(done) == size
    found = meter.report(size)
    return {"find": found, "meet": meet(done, size), **look_up(done, size)}


def meet(done: Any, size: int) -> dict[str, Any]:
    """Meet all names that are there in their order, as inputs come to a run that goes on."""
    from temporal.data.names.known_names import key_of
    from temporal.data.names.roll_call import RollCall

    with Meter() as meter:
        roll = RollCall(done)
        count = sum(roll.meet(key_of(_NAME.format(number))) == "expected" for number in range(size))
    assert count == size
    return meter.report(size)


def look_up(done: Any, size: int) -> dict[str, Any]:
    """Look up all names that are there, and as many that are not."""
    found: dict[str, Any] = {}
    for name, numbers in (("known", range(size)), ("new", range(size, 2 * size))):
        with Meter() as meter:
            count = sum(_NAME.format(number) in done for number in numbers)
        assert count == (size if name == "known" else 0)
        found[f"look_up_{name}"] = meter.report(size)
    return found


def add_up(args: argparse.Namespace, size: int, output: Path) -> dict[str, Any]:
    """Add up all rows, as at the end of a run."""
    from temporal.pipelines.jobs.store.ledger import read_tables
    from temporal.pipelines.jobs.table.summary import SUMMARY_COLUMNS, summarize

    with Meter() as meter:
        summary = summarize(read_tables(output, columns=SUMMARY_COLUMNS))
    assert summary.inputs == size
    return meter.report(size)


def names(args: argparse.Namespace, size: int, output: Path) -> dict[str, Any]:
    """Add so many names as the inputs of a collection are told apart, then look them up."""
    from temporal.data.names.known_names import KnownNames

    one_by_one = KnownNames()
    with Meter() as meter:
        for number in range(size):
            one_by_one.add(_NAME.format(number))
    added = meter.report(size)
    del one_by_one
    known = KnownNames(keeps_order=True)
    with Meter() as meter:
        known.update(map(_NAME.format, range(size)))
        known.settle()
    together = meter.report(size)
    found = {"add": added, "add_together": together, "meet": meet(known, size)}
    return {**found, **look_up(known, size)}


def simulate_parts(size: int, bytes_a_row: float) -> dict[str, Any]:
    """How many parts there are at most, and how often a row is written, without writing any."""
    from temporal.pipelines.jobs.store.join import FAN_IN, Sized, neighbours_due, packed
    from temporal.pipelines.jobs.store.parts import Part

    def sized(first: int, rows: int) -> Sized:
        part = Part(rank=0, first=first, last=first, path=Path("x"))
        return Sized(part=part, rows=rows, bytes=int(rows * bytes_a_row), kind="x")

    there: list[Sized] = []
    most = written = 0
    for number, first in enumerate(range(0, size, _ROWS_PER_PART), start=1):
        there.append(sized(first, _ROWS_PER_PART))
        written += _ROWS_PER_PART
        most = max(most, len(there))
        while number % FAN_IN == 0 and (due := neighbours_due(there[-4 * FAN_IN :])):
            place = there.index(due[0])
            groups = list(packed(due))
            written += sum(one.rows for group in groups if len(group) > 1 for one in group)
            there[place : place + len(due)] = [
                sized(group[0].part.first, sum(one.rows for one in group)) for group in groups
            ]
    return {"most_parts": most, "times_a_row_is_written": round(written / size, 2)}


MEASURES: dict[str, Callable[..., Any]]
MEASURES = {"write": write, "resume": resume, "sum": add_up, "names": names}


def measured(name: str, size: int, output: Path) -> dict[str, Any]:
    """One measure in a process of its own."""
    here = ["--here", name, str(size), str(output)]
    command = [sys.executable, __file__, *sys.argv[1:], *here]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(f"{name} {size}: {done.stdout.strip()}", file=sys.stderr)
    return result


def all_measures(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each size, then the simulations."""
    bytes_a_row = 300.0
    for size in args.sizes:
        output = args.output_dir / f"{size}"
        found = {name: measured(name, size, output) for name in ("write", "resume", "sum")}
        bytes_a_row = found["write"]["bytes_a_row"]
        yield f"{size}", found
    for size in args.names:
        yield f"names {size}", measured("names", size, args.output_dir)
    for size in args.parts:
        yield f"parts {size}", simulate_parts(size, bytes_a_row)


def main() -> None:
    """Measure, each in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output_dir", type=Path, required=True, help="Where rows are written.")
    parser.add_argument("--texts", type=Path, required=True, help="A table of texts.")
    parser.add_argument("--num_texts", type=int, default=1024, help="Texts that rows are made of.")
    parser.add_argument("--format", default="parquet", choices=["parquet", "jsonl"])
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--names", type=int, nargs="*", default=[], help="Names without rows.")
    parser.add_argument("--parts", type=int, nargs="*", default=[10**6, 10**7, 10**8])
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if args.here:
        name, size, output = args.here
        print(json.dumps(MEASURES[name](args, int(size), Path(output))))
        return
    (args.output_dir / "rows.json").write_text(json.dumps(make_rows(args)))
    results = dict(all_measures(args))
    resource_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    about = {
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("numpy", "pyarrow", "torch")},
        "format": args.format,
        "largest_process_mb": resource_mb,
    }
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
