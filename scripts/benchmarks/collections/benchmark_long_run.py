"""`temporal run` over a million texts: memory, the ledger's share of the time, and going on.

    python scripts/benchmarks/collections/benchmark_long_run.py --output_dir out/long \
        --texts reviews.parquet --num_texts 1000000

The texts of a table are repeated under new ids until there are enough. The command is run as it is,
in a process of its own, which is looked at once a second: what it holds. What of its time is the
ledger's is noted inside: writing, committing and joining parts, finding what has its row, and
adding up. With `--kill_at SHARE` it is killed (-9) once so much is committed and resumed; then the
seconds to the first new row are told. Prints JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from temporal.pipelines.benchmark.process_memory import memory_mb


def make_texts(args: argparse.Namespace) -> Path:
    """Write the table that is read."""
    import pyarrow.parquet as pq

    path = Path(args.output_dir / f"texts-{args.num_texts}.csv")
    if path.exists():
        return path
    texts = [" ".join(text.split()) for text in pq.read_table(args.texts)["text"].to_pylist()]
    if args.most_words:
        texts = [" ".join(text.split()[: args.most_words]) for text in texts]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text"])
        for number in range(args.num_texts):
            table.writerow([f"review-{number:09d}", texts[number % len(texts)]])
    return path


def run_here(args: argparse.Namespace) -> None:
    """Run the command in this process, and note what the ledger takes."""
    from temporal.__main__ import main as command
    from temporal.pipelines.jobs import run_output, work
    from temporal.pipelines.jobs.store.ledger import ResultWriter

    began, seconds, processor, depth = time.time(), {}, {}, [0]
    first_row: list[float] = []

    def timed(owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            depth[0] += 1
            start, started = time.perf_counter(), time.thread_time()
            try:
                return real(*arguments, **options)
            finally:
                depth[0] -= 1
                if not depth[0]:  # what one calls of another counts once
                    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
                    spent = processor.get(name, 0.0) + time.thread_time() - started
                    processor[name] = spent

        setattr(owner, name, call)

    for owner, name in (
        (ResultWriter, "write_group"),
        (ResultWriter, "join"),
        (ResultWriter, "close"),
        (run_output, "done_before"),
        (run_output, "check_stored_columns"),
        (run_output, "summarize"),
    ):
        timed(owner, name)
    take = work.Work._take

    def noted(self: Any, *arguments: Any) -> None:
        first_row.append(time.time() - began) if not first_row else None
        take(self, *arguments)

    work.Work._take = noted  # type: ignore[method-assign]
    sys.argv = ["temporal", *args.here]
    start = time.perf_counter()
    try:
        command()
    finally:
        facts = {
            "seconds": time.perf_counter() - start,
            "processor_seconds": time.process_time(),
            "first_row_seconds": first_row[0] if first_row else None,
            "ledger_seconds": seconds,
            "ledger_processor_seconds": processor,
        }
        (args.output_dir / "facts.json").write_text(json.dumps(facts))


def watched(args: argparse.Namespace, texts: Path, *, kill_at: int | None = None) -> dict[str, Any]:
    """Run the command and look at it once a second; kill it when so many rows are committed."""
    from temporal.pipelines.jobs.store.ledger import parts

    output = args.output_dir / "rows"
    arguments = ["run", "text-classification", str(texts), "-o", str(output), "--resume"]
    arguments += ["--format", args.format, "--quiet", "--device", "cpu"]
    command = [sys.executable, __file__, *own_options(args), "--here", *arguments]
    began = time.time()
    process = subprocess.Popen(command)
    held: list[tuple[float, float]] = []
    most_parts = 0
    while process.poll() is None:
        time.sleep(1)
        with suppress(LookupError, OSError):  # it may have ended
            memory = memory_mb(process=process.pid)
            held.append((round(time.time() - began, 1), memory))
        found = parts(output) if output.exists() else []
        most_parts = max(most_parts, len(found))
        if kill_at is not None and found and last_number(found) >= kill_at:
            process.kill()
            process.wait()
            return {"killed_after_seconds": round(time.time() - began, 1), "held_mb": thin(held)}
    facts = json.loads((args.output_dir / "facts.json").read_text())
    ledger = sum(facts["ledger_seconds"].values())
    processor = sum(facts["ledger_processor_seconds"].values())
    return {
        "exit_code": process.returncode,
        **facts,
        "ledger_share": round(ledger / facts["seconds"], 4),
        "ledger_share_of_the_processor": round(processor / facts["processor_seconds"], 4),
        "microseconds_of_the_ledger_a_row": round(1e6 * ledger / args.num_texts, 2),
        "most_parts": most_parts,
        "held_mb": thin(held),
        "warm_mb": held[len(held) // 10][1],
        "most_after_warm_mb": max(memory for _, memory in held[len(held) // 10 :]),
        "end_mb": held[-1][1],
    }


def last_number(found: list[Path]) -> int:
    """Position at which the last part begins."""
    return int(found[-1].stem.split("-")[-1])


def thin(held: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Some thirty of the looks."""
    return held[:: max(1, len(held) // 30)]


def own_options(args: argparse.Namespace) -> list[str]:
    """What the process that is watched needs of these."""
    return ["--output_dir", str(args.output_dir), "--texts", str(args.texts)]


def main() -> None:
    """Run, watch and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output_dir", type=Path, required=True, help="Where rows are written.")
    parser.add_argument("--texts", type=Path, required=True, help="A parquet table of texts.")
    parser.add_argument("--num_texts", type=int, default=1_000_000)
    parser.add_argument("--most_words", type=int, help="Of each text; default: all.")
    parser.add_argument("--format", default="parquet", choices=["parquet", "jsonl"])
    parser.add_argument("--kill_at", type=float, help="Kill it once this share is committed.")
    parser.add_argument("--here", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if args.here:
        run_here(args)
        return
    texts = make_texts(args)
    results: dict[str, Any] = {}
    if args.kill_at is not None:
        results["killed"] = watched(args, texts, kill_at=int(args.kill_at * args.num_texts))
    results["run" if args.kill_at is None else "resumed"] = watched(args, texts)
    about = {
        "cores": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("numpy", "pyarrow", "torch", "transformers")},
        "texts": args.num_texts,
    }
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
