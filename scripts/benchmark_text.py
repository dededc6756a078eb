"""Measure a text reader against what a user would run otherwise, on one set of labelled texts.

    python scripts/benchmark_text.py --model out/sst2 --data_file dev.txt --batch_size 32

Baselines: transformers' own pipeline with the same weights (its dense classifier), in batches, with
the texts sorted by length, and one by one, which on a CPU pads nothing and is often its fastest;
the classifier on the first tokens only and the classifier cut to fewer layers, each at about the
adaptive reader's cost; the skim alone where there is one. Everything is timed in the same run,
interleaved A B A B, tokenizer included; medians. Prints JSON.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import transformers
from interleaved import clock
from text_data import read_labelled_texts
from transformers import AutoTokenizer, HfArgumentParser
from video_data import interval

from temporal.models import ChunkReader, EarlyExit
from temporal.models.whole_classifier import WholeClassifier
from temporal.pipelines import pipeline


@dataclass
class BenchmarkArguments:
    """What to measure, on what."""

    model: str = field(metadata={"help": "Folder of a saved reader of texts."})
    data_file: str = field(metadata={"help": "Labelled texts; see scripts/text_data.py."})
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    batch_size: int = field(default=32, metadata={"help": "Of every contestant."})
    max_samples: int | None = field(default=None, metadata={"help": "Use the first so many."})
    rounds: int = field(default=5, metadata={"help": "Timed rounds, after one to warm up."})
    budget: float | None = field(default=None, metadata={"help": "Operating point to run."})
    max_length: int = field(default=512, metadata={"help": "Tokens that the dense model reads."})


Contestant = Callable[[list[str]], list[str]]


def dense_pipeline(model: Any, tokenizer: Any, args: BenchmarkArguments) -> Contestant:
    """transformers' pipeline around the classifier inside the reader."""
    pipe = transformers.pipeline(
        "text-classification", model=model.classifier, tokenizer=tokenizer, device="cpu"
    )

    def run(texts: list[str], **options: Any) -> list[str]:
        defaults = {"max_length": args.max_length, "batch_size": args.batch_size}
        return [row["label"] for row in pipe(texts, **{"truncation": True, **defaults, **options})]

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


def baselines(
    args: BenchmarkArguments, adaptive: Any, readings: Sequence[Any]
) -> tuple[dict[str, Contestant], dict[str, Any]]:
    """What the adaptive reader is measured against, and how deep it went (where it has exits)."""
    model: Any = adaptive.model
    if hasattr(model.config, "read_threshold"):
        kept = model.config.read_threshold

        def read_all(texts: list[str]) -> list[str]:
            model.config.read_threshold = 0.0
            try:
                return [row["label"] for row in adaptive(texts)]
            finally:
                model.config.read_threshold = kept

        return {"reads_everything": read_all}, {}

    if isinstance(model, ChunkReader):
        model = model.encoder
    if not isinstance(model, EarlyExit | WholeClassifier):
        return {}, {}
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    traces = [reading.trace for reading in readings]
    num_tokens = sum(trace.units_total for trace in traces)
    mean_layers = sum(trace.token_layers for trace in traces) / num_tokens
    share = mean_layers / model.classifier.config.num_hidden_layers
    first = max(4, int(num_tokens / len(traces) * share))
    dense = dense_pipeline(model, tokenizer, args)
    shorter: Any = partial(dense, max_length=first)
    alone: Any = partial(dense, batch_size=1)
    found = {
        "transformers": dense,
        "transformers_sorted": sorted_by_length(dense),
        "transformers_one_by_one": alone,
        f"first_{first}_tokens": sorted_by_length(shorter),
        **skim_alone(adaptive),
    }
    if isinstance(model, EarlyExit):
        layers = model.config.exit_layers or []
        near = min(range(len(layers)), key=lambda k: abs(layers[k] - mean_layers))
        found[f"fixed_{layers[near]}_layers"] = shallow_pipeline(model, tokenizer, near, args)
    exits = [trace.exit for trace in traces]
    return found, {
        "mean_layers": mean_layers,
        "exits_taken": [exits.count(k) / len(exits) for k in range(max(exits) + 1)],
    }


def skim_alone(adaptive: Any) -> dict[str, Contestant]:
    """A ChunkReader that answers whatever its skim says; nothing for a reader without one."""
    config = adaptive.model.config
    if getattr(adaptive.model, "skim", None) is None:
        return {}

    def run(texts: list[str]) -> list[str]:
        kept, config.thresholds = config.thresholds, [-1.0]
        try:
            return [row["label"] for row in adaptive(texts)]
        finally:
            config.thresholds = kept

    return {"skim_alone": run}


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

    readings = [reading for reading in adaptive.read(texts) if reading.trace]
    traces = [reading.trace for reading in readings]
    others, depth = baselines(args, adaptive, readings)
    details = {
        "adaptive": {
            "macs": sum(trace.cost.macs for trace in traces),
            "share_of_tokens_read": sum(trace.units_read for trace in traces)
            / sum(trace.units_total for trace in traces),
            **depth,
        }
    }
    contestants = {"adaptive": lambda texts: [row["label"] for row in adaptive(texts)], **others}
    clocked = clock({name: partial(run, texts) for name, run in contestants.items()}, args.rounds)
    report = {}
    for name, took in clocked.items():
        given = [names.get(answer, answer) for answer in took.answer]
        accuracy = sum(a == b for a, b in zip(given, labels, strict=True)) / len(labels)
        report[name] = {
            "accuracy": accuracy,
            "accuracy_interval": interval(accuracy, len(labels)),
            "seconds": took.seconds,
            "texts_per_second": len(texts) / took.seconds,
            "adaptive_speedup": took.seconds / clocked["adaptive"].seconds,
            "adaptive_cpu_speedup": took.cpu_seconds / clocked["adaptive"].cpu_seconds,
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
