"""Measure a text reader against what a user would run otherwise, on one set of labelled texts.

    python scripts/benchmark_text.py --model out/sst2 --data_file dev.txt --batch_size 32

Baselines: transformers' own pipeline with the same weights (its dense classifier); the same with
the texts sorted by length; the classifier on the first tokens only and the classifier cut to fewer
layers, each at about the adaptive reader's cost. Everything is timed in the same run, interleaved
A B A B, tokenizer included; medians. Prints JSON.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from text_data import read_labelled_texts
from transformers import AutoTokenizer, HfArgumentParser
from video_data import interval

from temporal.models import EarlyExit
from temporal.pipelines import pipeline


@dataclass
class BenchmarkArguments:
    """What to measure, on what."""

    model: str = field(metadata={"help": "Folder of a saved EarlyExit or SkimRNN."})
    data_file: str = field(metadata={"help": "Labelled texts; see scripts/text_data.py."})
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    batch_size: int = field(default=32, metadata={"help": "Of every contestant."})
    max_samples: int | None = field(default=None, metadata={"help": "Use the first so many."})
    rounds: int = field(default=5, metadata={"help": "Timed rounds, after one to warm up."})
    budget: float | None = field(default=None, metadata={"help": "Operating point to run."})
    max_length: int = field(default=512, metadata={"help": "Tokens that the dense model reads."})


Contestant = Callable[[list[str]], list[str]]


def dense_pipeline(model: EarlyExit, tokenizer: Any, args: BenchmarkArguments) -> Contestant:
    """transformers' pipeline around the classifier inside the reader."""
    pipe = transformers.pipeline(
        "text-classification", model=model.classifier, tokenizer=tokenizer, device="cpu"
    )

    def run(texts: list[str], **options: Any) -> list[str]:
        options = {"truncation": True, "max_length": args.max_length, **options}
        return [row["label"] for row in pipe(texts, batch_size=args.batch_size, **options)]

    return run


def sorted_by_length(run: Contestant) -> Contestant:
    """The same contestant with the texts in the order of their length."""

    def sorted_run(texts: list[str]) -> list[str]:
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        labels = run([texts[k] for k in order])
        back = dict(zip(order, labels, strict=True))
        return [back[k] for k in range(len(texts))]

    return sorted_run


def shallow_pipeline(
    model: EarlyExit, tokenizer: Any, exit_number: int, args: BenchmarkArguments
) -> Contestant:
    """Everything answers at one fixed exit: a smaller static model from the same training."""
    pipe = pipeline(
        "text-classification", model=model, tokenizer=tokenizer, batch_size=args.batch_size
    )
    assert model.config.exit_layers is not None

    def run(texts: list[str]) -> list[str]:
        kept = model.config.thresholds
        count = len(model.config.exit_layers or []) - 1
        model.config.thresholds = [1e9] * exit_number + [0.0] * (count - exit_number)
        try:
            return [row["label"] for row in pipe(texts)]
        finally:
            model.config.thresholds = kept

    return run


def main() -> None:
    """Run all contestants on the same texts and print what each did."""
    (args,) = HfArgumentParser(BenchmarkArguments).parse_args_into_dataclasses()
    rows = read_labelled_texts(args.data_file, args.text_column, args.label_column)
    if args.max_samples:
        rows = rows.select(range(min(args.max_samples, len(rows))))
    texts = list(rows["text"])
    adaptive = pipeline(
        "text-classification", model=args.model, budget=args.budget, batch_size=args.batch_size
    )
    names = adaptive.model.config.label2id
    labels = [names.get(str(label), label) for label in rows["label"]]

    readings = list(adaptive.read(texts))
    macs = sum(reading.trace.cost.macs for reading in readings if reading.trace)
    units = sum(reading.trace.units_total for reading in readings if reading.trace)
    read = sum(reading.trace.units_read for reading in readings if reading.trace)
    contestants: dict[str, Contestant] = {
        "adaptive": lambda texts: [row["label"] for row in adaptive(texts)]
    }
    details: dict[str, dict[str, Any]] = {
        "adaptive": {"macs": macs, "share_of_tokens_read": read / units}
    }
    model = adaptive.model
    if isinstance(model, EarlyExit):
        tokenizer = AutoTokenizer.from_pretrained(args.model)
        exits = [reading.trace.exit for reading in readings if reading.trace]
        layers = model.config.exit_layers or []
        mean_layers = sum(layers[k] for k in exits if k is not None) / len(exits)
        details["adaptive"] |= {
            "mean_layers": mean_layers,
            "exits_taken": [exits.count(k) / len(exits) for k in range(len(layers))],
        }
        dense = dense_pipeline(model, tokenizer, args)
        contestants["transformers"] = dense
        contestants["transformers_sorted"] = sorted_by_length(dense)
        near = min(range(len(layers)), key=lambda k: abs(layers[k] - mean_layers))
        contestants[f"fixed_{layers[near]}_layers"] = shallow_pipeline(model, tokenizer, near, args)
        lengths = sorted(reading.trace.units_total for reading in readings if reading.trace)
        first = max(4, int(sum(lengths) / len(lengths) * mean_layers / layers[-1]))
        contestants[f"first_{first}_tokens"] = sorted_by_length(
            lambda texts: dense(texts, max_length=first)  # type: ignore[call-arg]  # dense takes it
        )
    else:
        kept = model.config.read_threshold

        def read_all(texts: list[str]) -> list[str]:
            model.config.read_threshold = 0.0
            try:
                return [row["label"] for row in adaptive(texts)]
            finally:
                model.config.read_threshold = kept

        contestants["reads_everything"] = read_all

    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, list[str]] = {}
    for round_number in range(args.rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            answers[name] = run(texts)
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    report = {}
    for name in contestants:
        right = sum(
            names.get(answer, answer) == label
            for answer, label in zip(answers[name], labels, strict=True)
        )
        accuracy = right / len(labels)
        report[name] = {
            "accuracy": accuracy,
            "accuracy_interval": interval(accuracy, len(labels)),
            "seconds": medians[name],
            "texts_per_second": len(texts) / medians[name],
            "adaptive_speedup": medians[name] / medians["adaptive"],
            **details.get(name, {}),
        }
    print(
        json.dumps(
            {
                "texts": len(texts),
                "batch_size": args.batch_size,
                "rounds": args.rounds,
                "threads": torch.get_num_threads(),
                "machine": f"{platform.machine()}, Python {platform.python_version()}",
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
                "results": report,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
