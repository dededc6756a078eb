"""From raw texts to labels: reviews a second of the bundled reader, and of what it is beside.

    python scripts/benchmarks/benchmark_raw_text.py --data_file test.parquet \
        --before ../older/.venv/bin/python --dense out/exits

Each pass is a process of its own, in turn: `now`; `reference`, the same with the tokenizer of
transformers; and `before`, another checkout by its Python. The dense contestant is transformers'
pipeline around the classifier inside a saved reader, at each batch size, on the first
`--dense_samples` texts. Passes are timed after one over some texts to warm up. Prints JSON; seconds
of the processor tell more than those on the wall where others share the machine.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import HfArgumentParser

from temporal.data.labelled.files import read_labelled_texts
from temporal.pipelines import pipeline
from temporal.pipelines.benchmark.interleaved import machine
from temporal.pipelines.benchmark.text_contestants import dense_classifier, transformers_pipeline

_WARM_UP = 512


@dataclass
class RawTextArguments:
    """What to measure, on what."""

    data_file: str = field(metadata={"help": "Texts; see temporal.data.labelled.files."})
    max_samples: int = field(default=10_000, metadata={"help": "Use the first so many."})
    rounds: int = field(default=5, metadata={"help": "Passes of each."})
    before: str | None = field(default=None, metadata={"help": "Python of another checkout."})
    dense: str | None = field(default=None, metadata={"help": "Folder of a saved text reader."})
    dense_samples: int = field(default=256, metadata={"help": "Texts for the dense classifier."})
    dense_batch_sizes: list[int] = field(
        default_factory=lambda: [1, 8, 32], metadata={"help": "The best is compared with."}
    )
    only: str | None = field(default=None, metadata={"help": "Make one pass of this, and end."})


def one_pass(args: RawTextArguments) -> dict[str, Any]:
    """Read the texts once, in this process."""
    rows = read_labelled_texts(args.data_file, "text", "label")
    texts, labels = list(rows["text"])[: args.max_samples], list(rows["label"])[: args.max_samples]
    name, _, size = str(args.only).partition(":")
    if name == "dense":
        classifier = dense_classifier(pipeline("text-classification", args.dense))
        run = transformers_pipeline(
            classifier, str(args.dense), batch_size=int(size), max_length=512
        )
        names, warm_up = classifier.config.label2id, 8

        def answers(some: list[str]) -> list[tuple[str, str]]:
            return [(label, "") for label in run(some)]
    else:
        pipe: Any = pipeline("text-classification")
        if name == "reference":
            pipe.exact_tokenizer.stay_with_reference("to compare")
        names, warm_up = pipe.model.config.label2id, _WARM_UP

        def answers(some: list[str]) -> list[tuple[str, str]]:
            read = pipe.read(some)
            return [
                (str(r.predictions[0]["label"]), repr((r.predictions, r.trace.read))) for r in read
            ]

    answers(texts[:warm_up])
    start, processor = time.perf_counter(), time.process_time()
    found = answers(texts)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - processor
    right = sum(
        names[label] == int(target) for (label, _), target in zip(found, labels, strict=True)
    )
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "texts": len(texts),
        "accuracy": right / len(texts),
        "answers": hashlib.sha256(repr(found).encode()).hexdigest()[:16],
        "threads": torch.get_num_threads(),
    }


def passes(args: RawTextArguments, names: list[str], rounds: int, samples: int) -> dict[str, Any]:
    """Medians of passes of each contestant, in turn, in processes of their own."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            python = args.before if name == "before" else sys.executable
            command = [str(python), __file__, "--data_file", args.data_file, "--only", name]
            command += [
                "--max_samples",
                str(samples),
                *(["--dense", args.dense] if args.dense else []),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    results = {}
    for name, rows in found.items():
        seconds = statistics.median(row["seconds"] for row in rows)
        processor = statistics.median(row["cpu_seconds"] for row in rows)
        results[name] = {
            **rows[-1],
            "answers": sorted({row["answers"] for row in rows}),
            "seconds": seconds,
            "cpu_seconds": processor,
            "texts_per_second": rows[-1]["texts"] / seconds,
            "texts_per_cpu_second": rows[-1]["texts"] / processor,
        }
    return results


def main() -> None:
    """Measure, and print what was found."""
    (args,) = HfArgumentParser(RawTextArguments).parse_args_into_dataclasses()
    if args.only:
        print(json.dumps(one_pass(args)))
        return
    names = ["now", "reference", *(["before"] if args.before else [])]
    results = passes(args, names, args.rounds, args.max_samples)
    if args.dense:
        dense = [f"dense:{size}" for size in args.dense_batch_sizes]
        results |= passes(args, dense, 1, args.dense_samples)
    now = results["now"]
    for row in results.values():
        for rate in ("texts_per_second", "texts_per_cpu_second"):
            row[f"now_is_faster_by ({rate})"] = now[rate] / row[rate]
    print(json.dumps({"rounds": args.rounds, **machine(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
