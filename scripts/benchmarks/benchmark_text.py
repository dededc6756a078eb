"""Measure a text reader against what a user would run otherwise, on one set of labelled texts.

    python scripts/benchmarks/benchmark_text.py --model out/sst2 --data_file dev.txt \
        --batch_size 1 32
    python scripts/benchmarks/benchmark_text.py --model out/imdb --data_file test.parquet --frontier

Contestants (temporal.pipelines.benchmark.text_contestants): the reader, in our pipeline; the same
with nothing skipped and nothing halted; and around the same weights transformers' own pipeline in
batches, with the texts sorted by length, and one by one, which on a CPU pads nothing and is often
its fastest; its classifier on the first tokens only and cut to fewer layers, each at about the
reader's cost; a ChunkReader's skim alone. `--frontier` runs all operating points that are stored,
and many lengths and depths, for a plot of accuracy against time
(scripts/benchmarks/plot_frontier.py).

Everything is timed in one run, interleaved A B A B, tokenizer included; medians. Latencies are
those of calls with `batch_size` texts. Peak memory is of a process that loads one contestant and
runs it. `realised_share` is (1 - time / dense time) / (1 - MACs / dense MACs) against transformers'
pipeline at the same batch size (`_own`: against our own engine reading everything). What padding
costs does not count as MACs. Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import HfArgumentParser

from temporal.data import Document
from temporal.macs import count_macs_by_length
from temporal.models.operating_points import set_to
from temporal.pipelines import pipeline
from temporal.pipelines.benchmark.interleaved import Clocked, clock, machine
from temporal.pipelines.benchmark.process_memory import memory_mb
from temporal.pipelines.benchmark.text_contestants import (
    Contestant,
    adaptive,
    all_of_it,
    dense_classifier,
    fixed_depth,
    skim_alone,
    sorted_by_length,
    transformers_pipeline,
    with_exits,
)
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.arguments import RowsArguments
from temporal.pipelines.held_out.rows import class_numbers, text_rows, unseen_texts, without_blanks
from temporal.pipelines.held_out.unseen import NotNew
from temporal.pipelines.scores import class_numbers_by_name
from temporal.training.accuracy import interval

_LATENCY_CALLS = 200
_FIRST = (32, 64, 128, 256, 512)
"""Tokens of the truncated contestants of a frontier."""


@dataclass
class BenchmarkArguments(RowsArguments):
    """What to measure, on what."""

    batch_size: list[int] = field(
        default_factory=lambda: [32], metadata={"help": "Of every contestant; several: in turn."}
    )
    rounds: int = field(default=5, metadata={"help": "Timed rounds, after one to warm up."})
    budget: float | None = field(default=None, metadata={"help": "Operating point to run."})
    max_drop: float | None = field(default=None, metadata={"help": "Or the one certified for it."})
    max_length: int = field(default=512, metadata={"help": "Tokens that the dense model reads."})
    frontier: bool = field(default=False, metadata={"help": "Many points of each contestant."})
    memory: bool = field(default=False, metadata={"help": "Also measure peak memory."})
    only: str | None = field(
        default=None, metadata={"help": "Run this contestant once, and print its peak memory."}
    )


@dataclass(frozen=True)
class Texts:
    """What all contestants answer."""

    texts: list[str]
    labels: list[Any]
    lengths: list[int]
    """Tokens of each, special tokens included, before anything is cut."""
    report: dict[str, Any]
    """What is known of them: of `temporal.pipelines.held_out.unseen`."""


class Bench:
    """A reader and its contestants at one batch size."""

    def __init__(self, args: BenchmarkArguments, batch_size: int) -> None:
        self.args, self.batch_size = args, batch_size
        self.pipe = pipeline(
            "text-classification",
            model=args.model,
            budget=args.budget,
            max_drop=args.max_drop,
            batch_size=batch_size,
        )
        self.classifier = dense_classifier(self.pipe)
        self.numbers = class_numbers_by_name(self.pipe.model.config)
        for model in (self.pipe.model, self.classifier):
            names = {} if model is None else model.config.id2label
            if len(set(names.values())) < len(names):  # contestants answer by name: no two alike
                model.config.id2label = {k: str(k) for k in names}
                model.config.label2id = {str(k): k for k in names}

    def data(self) -> Texts:
        """The texts, with the labels that the reader gives."""
        args = self.args
        rows = text_rows(args)
        good = without_blanks(rows, args.data_file)
        if len(good) < len(rows):
            print(f"left out {len(rows) - len(good)} blank texts", file=sys.stderr)
        rows, _, report = unseen_texts(args, good)
        texts, labels = list(rows["text"]), class_numbers(rows["label"], self.numbers)
        whole = Document.batch(texts, self.pipe.tokenizer, add_special_tokens=True)
        lengths = [len(row) if isinstance(row, Document) else 0 for row in whole]
        return Texts(texts, labels, lengths, report)

    def dense(self, **options: Any) -> Contestant:
        """The pipeline of transformers around the classifier inside the reader."""
        settings = {"batch_size": self.batch_size, "max_length": self.args.max_length, **options}
        return transformers_pipeline(self.classifier, self.args.model, **settings)

    def contestants(self, share: float, data: Texts) -> dict[str, Contestant]:
        """All of them; `share` is what the reader spent of the dense classifier's MACs."""
        found = {"adaptive": adaptive(self.pipe), "reads_everything": all_of_it(self.pipe)}
        if getattr(self.pipe.model, "skim", None) is not None:
            found["skim_alone"] = skim_alone(self.pipe)
        if self.classifier is None:
            return found
        found["transformers"] = self.dense()
        found["transformers_sorted"] = sorted_by_length(self.dense())
        if self.batch_size > 1:
            found["transformers_one_by_one"] = self.dense(batch_size=1)
        layers = self.classifier.config.num_hidden_layers
        mean_length = float(np.minimum(data.lengths, self.args.max_length).mean())
        first = [max(4, round(mean_length * share))]
        inside = with_exits(self.pipe)
        exits = [] if inside is None else list(inside.model.config.exit_layers)
        depths = []
        if exits:
            depths = [min(range(len(exits)), key=lambda k: abs(exits[k] - share * layers))]
        if self.args.frontier:
            first = [*_FIRST, *first]
            depths = list(range(len(exits)))
        for count in sorted({min(count, self.args.max_length) for count in first}):
            found[f"first_{count}_tokens"] = sorted_by_length(self.dense(max_length=count))
        for k in depths:
            found[f"fixed_{exits[k]}_layers"] = fixed_depth(inside, k)
        if self.args.frontier:
            for k, point in enumerate(self.pipe.model.config.operating_points or []):
                found[f"point_{k}"] = adaptive(self.pipe, **point["policy"])
        return found

    def dense_macs(self, data: Texts) -> int:
        """MACs of the dense classifier on these texts without padding, or of reading everything."""
        if self.classifier is None:
            with set_to(self.pipe.model.config, **self.pipe.reader.policy_space().full):
                return sum(row.trace.cost.macs for row in self.pipe.read(data.texts) if row.trace)
        classifier = self.classifier
        one = torch.ones(1, 1, dtype=torch.long)
        with torch.inference_mode():
            of_length = count_macs_by_length(lambda n: classifier(input_ids=one.expand(1, n)))
        return sum(of_length(min(n, self.args.max_length)) for n in data.lengths if n)


def latencies(run: Contestant, texts: list[str], batch_size: int) -> dict[str, float]:
    """Milliseconds of calls with a batch of texts: their median and 95th percentile."""
    starts = range(0, min(len(texts), _LATENCY_CALLS * batch_size), batch_size)
    run(texts[:batch_size])
    took = []
    for start in starts:
        before = time.perf_counter()
        run(texts[start : start + batch_size])
        took.append(1000 * (time.perf_counter() - before))
    return {"p50_ms": float(np.quantile(took, 0.5)), "p95_ms": float(np.quantile(took, 0.95))}


def peak_memory(args: BenchmarkArguments, batch_size: int, only: str) -> float:
    """MB that a process held at most which loads and runs one contestant and nothing else."""
    names = ("model", "data_file", "text_column", "label_column", "max_length", "max_samples")
    names += ("calibration_share", "validation_share", "block_column", "group_column", "seed")
    options = {f"--{name}": getattr(args, name) for name in (*names, "budget", "max_drop")}
    options.update({"--batch_size": batch_size, "--only": only})
    options["--leave_out_seen"] = args.leave_out_seen
    given = [str(part) for pair in options.items() if pair[1] is not None for part in pair]
    command = [sys.executable, __file__, *given]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(found.strip().splitlines()[-1])["peak_mb"]


def what_was_read(bench: Bench, data: Texts) -> dict[str, Any]:
    """Units and MACs of the reader's own pass over the texts, from its traces."""
    traces = [row.trace for row in bench.pipe.read(data.texts) if row.trace]
    units = sum(trace.units_total for trace in traces)
    facts: dict[str, Any] = {
        "units_total": units,
        "units_read": sum(trace.units_read for trace in traces),
        "macs": sum(trace.cost.macs for trace in traces),
    }
    if bench.classifier is not None:
        facts["mean_layers"] = sum(trace.token_layers for trace in traces) / units
        exits = [trace.exit for trace in traces]
        facts["exits_taken"] = [exits.count(k) / len(exits) for k in range(max(exits) + 1)]
    return facts


def measure(args: BenchmarkArguments, batch_size: int) -> dict[str, Any]:
    """All contestants at one batch size."""
    bench = Bench(args, batch_size)
    data = bench.data()
    read = what_was_read(bench, data)
    dense_macs = bench.dense_macs(data)
    found = bench.contestants(read["macs"] / dense_macs, data)
    runs: dict[str, Callable[[], list[str]]] = {
        name: partial(run, data.texts) for name, run in found.items()
    }
    clocked = clock(runs, args.rounds)
    names = bench.pipe.model.config.label2id
    rows = {name: _row(took, data.labels, names) for name, took in clocked.items()}
    seconds = {name: took.seconds for name, took in clocked.items()}
    own = rows["adaptive"]
    own.update(read, macs_share=read["macs"] / dense_macs)
    saved = 1 - own["macs_share"]
    beside = {"realised_share_own": "reads_everything", "realised_share": "transformers"}
    for key, other in beside.items():
        if other in seconds and saved > 0:
            own[key] = (1 - seconds["adaptive"] / seconds[other]) / saved
    for name in rows:
        rows[name]["adaptive_speedup"] = seconds[name] / seconds["adaptive"]
    for name in ("adaptive", "transformers"):
        if name in found:
            rows[name].update(latencies(found[name], data.texts, batch_size))
            if args.memory:
                rows[name]["peak_mb"] = peak_memory(args, batch_size, name)
    return {
        "batch_size": batch_size, "dense_macs": dense_macs, "rows": data.report, "results": rows
    }  # fmt: skip


def _row(took: Clocked[list[str]], labels: list[Any], names: dict[str, int]) -> dict[str, Any]:
    given = [names.get(answer, answer) for answer in took.answer]
    accuracy = sum(a == b for a, b in zip(given, labels, strict=True)) / len(labels)
    return {
        "accuracy": accuracy,
        "accuracy_interval": interval(accuracy, len(labels)),
        "seconds": took.seconds,
        "cpu_seconds": took.cpu_seconds,
        "texts_per_second": len(labels) / took.seconds,
    }


@ended_by(NotNew)
def main() -> None:
    """Run all contestants on the same texts and print what each did."""
    (args,) = HfArgumentParser(BenchmarkArguments).parse_args_into_dataclasses()
    if args.only:
        bench = Bench(args, args.batch_size[0])
        run = adaptive(bench.pipe) if args.only == "adaptive" else bench.dense()
        run(bench.data().texts)
        print(json.dumps({"peak_mb": memory_mb("VmHWM")}))
        return
    runs = [measure(args, batch_size) for batch_size in args.batch_size]
    print(
        json.dumps(
            {
                "model": args.model,
                "data_file": args.data_file,
                "rounds": args.rounds,
                "threads": torch.get_num_threads(),
                **machine(),
                "runs": runs,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
