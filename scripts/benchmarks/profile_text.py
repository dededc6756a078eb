"""Where the time of a text pipeline goes, piece by piece, beside transformers' own pipeline.

    python scripts/benchmarks/profile_text.py --model out/sst2 --data_file dev.txt \
        --policy confidence:0.9

Pieces are timed by the processor time of the thread that does them, without what they call that is
a piece itself; what the tokenizer does in threads of its own is not seen, so it gets none. Medians
over interleaved rounds, after one to warm up. `--packing` adds the layers alone: padded against
packed, for cohorts of one window sorted by length and for texts as they come. Prints JSON.
"""

from __future__ import annotations

import functools
import json
import os
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import HfArgumentParser

import temporal.data.text
import temporal.pipelines.base
import temporal.pipelines.tasks.classes
from temporal.data import Document
from temporal.data.labelled.files import read_labelled_texts
from temporal.handle import Handle
from temporal.pipelines import pipeline
from temporal.pipelines.benchmark.interleaved import machine
from temporal.pipelines.pipeline import Pipeline
from temporal.pipelines.tasks.texts import TextPipeline
from temporal.scheduler import EngineRun
from temporal.stage import Stage


@dataclass
class ProfileArguments:
    """What to profile, on what."""

    data_file: str = field(metadata={"help": "Texts; see temporal.data.labelled.files."})
    model: str | None = field(default=None, metadata={"help": "Folder; default: the bundled one."})
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    policy: str | None = field(default=None, metadata={"help": "As of `pipeline()`."})
    batch_size: int = field(default=32, metadata={"help": "Of both pipelines."})
    max_samples: int | None = field(default=None, metadata={"help": "Use the first so many."})
    rounds: int = field(default=5, metadata={"help": "Timed rounds."})
    packing: bool = field(default=False, metadata={"help": "Also time padded and packed layers."})


class Clock:
    """Adds up the time of pieces, each without the pieces inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = threading.local()

    def piece(self, name: str, run: Callable[[], Any]) -> Any:
        """Run something as a piece."""
        inside = self._inside.__dict__.setdefault("pieces", [0.0])
        inside.append(0.0)
        start = time.thread_time()
        try:
            return run()
        finally:
            whole = time.thread_time() - start
            self.seconds[name] += whole - inside.pop()
            inside[-1] += whole

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Time every call of a function, or every step of the generator that it returns."""
        function = owner.__dict__[attribute]
        plain = function.__func__ if isinstance(function, classmethod) else function

        @functools.wraps(plain)
        def timed(*args: Any, **kwargs: Any) -> Any:
            result = self.piece(name, lambda: plain(*args, **kwargs))
            return self._steps(result, name) if isinstance(result, Iterator) else result

        is_method = isinstance(function, classmethod)
        setattr(owner, attribute, classmethod(timed) if is_method else timed)

    def _steps(self, steps: Iterator[Any], name: str) -> Iterator[Any]:
        end = object()
        try:
            while (value := self.piece(name, lambda: next(steps, end))) is not end:
                yield value
        finally:
            if close := getattr(steps, "close", None):
                close()


def watch_pipeline(clock: Clock) -> None:
    """Name the pieces of text pipelines."""
    clock.watch(temporal.pipelines.base, "items_of", "items")
    clock.watch(temporal.data.text, "tokenize", "tokenizer")
    clock.watch(Document, "batch", "documents")
    clock.watch(TextPipeline, "_sources", "cohorts")
    clock.watch(EngineRun, "outcomes", "engine")
    clock.watch(EngineRun, "_step", "reader: what to do next")
    clock.watch(Handle, "trace", "traces")
    clock.watch(temporal.pipelines.tasks.classes, "class_scores", "scores")
    clock.watch(Pipeline, "_reading", "results")
    clock.watch(Pipeline, "_readings", "order of results")
    clock.watch(Stage, "run", "stages")


def profile(args: ProfileArguments, texts: list[str]) -> dict[str, Any]:
    """Milliseconds of a text in each piece, and in transformers' pipeline."""
    plain = pipeline(
        "text-classification", args.model, policy=args.policy, batch_size=args.batch_size
    )
    watched = pipeline(
        "text-classification", args.model, policy=args.policy, batch_size=args.batch_size
    )
    contestants: dict[str, Callable[[], Any]] = {"temporal": lambda: plain(texts)}
    if plain.reader.plain_classifier is not None:
        dense = transformers.pipeline(
            "text-classification",
            model=plain.reader.plain_classifier,
            tokenizer=plain.tokenizer,
            device="cpu",
        )
        limit = plain.max_tokens
        contestants["transformers"] = lambda: dense(
            texts, batch_size=args.batch_size, truncation=True, max_length=limit
        )
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    processor: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(args.rounds + 1):
        for name, run in contestants.items():
            start, own = time.perf_counter(), time.process_time()
            run()
            if round_number:
                wall[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - own)
    clock = Clock()
    watch_pipeline(clock)
    pieces: dict[str, list[float]] = defaultdict(list)
    for round_number in range(args.rounds + 1):
        clock.seconds.clear()
        clock.piece("call", lambda: watched(texts))
        if round_number:
            for name, seconds in clock.seconds.items():
                pieces[name].append(seconds)
    per_text = 1000 / len(texts)
    milliseconds = {name: statistics.median(s) * per_text for name, s in pieces.items()}
    total = sum(milliseconds.values())
    return {
        "wall_ms": {name: statistics.median(s) * per_text for name, s in wall.items()},
        "processor_ms": {name: statistics.median(s) * per_text for name, s in processor.items()},
        "tokenized_by": plain.tokenized_by,
        "pieces_ms": dict(sorted(milliseconds.items(), key=lambda item: -item[1])),
        "outside_stages_share": 1 - milliseconds["stages"] / total,
    }


def packing(args: ProfileArguments, texts: list[str]) -> list[dict[str, Any]]:
    """All layers on padded and on packed batches, milliseconds a text."""
    from temporal.backbones.text import PackedTokens, PaddedTokens, family_of

    pipe = pipeline("text-classification", args.model)
    model, limit = pipe.model.classifier, pipe.max_tokens or 512
    family, width = family_of(model), model.config.hidden_size
    layers = range(model.config.num_hidden_layers)
    ids = pipe.tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
    lengths = [len(row) for row in ids]
    random.Random(0).shuffle(lengths)
    rows = []
    for batch_size in (1, 8, 32, 128):
        for order in ("sorted", "unsorted"):
            window = lengths[: 8 * batch_size]
            if len(window) < 8 * batch_size:
                continue
            window = sorted(window, reverse=True) if order == "sorted" else window
            batches = [window[k : k + batch_size] for k in range(0, len(window), batch_size)]
            seconds: dict[str, list[float]] = {"padded": [], "packed": []}
            for round_number in range(args.rounds + 1):
                spent = dict.fromkeys(seconds, 0.0)
                for batch in batches:
                    batch = sorted(batch, reverse=True)
                    packed = PackedTokens(batch, torch.device("cpu"))
                    padded: PaddedTokens = packed.padded()
                    hidden_1ND = torch.randn(1, sum(batch), width)
                    inputs = {
                        "padded": (packed.pad(hidden_1ND), padded),
                        "packed": (hidden_1ND, packed),
                    }
                    for name, (hidden, tokens) in inputs.items():
                        start = time.thread_time()
                        family.run(model, layers, hidden, tokens)
                        spent[name] += time.thread_time() - start
                if round_number:
                    for name in seconds:
                        seconds[name].append(spent[name])
            ms = {n: statistics.median(s) / len(window) * 1000 for n, s in seconds.items()}
            filled = sum(map(max, batches)) * batch_size
            rows.append(
                {
                    "batch_size": batch_size,
                    "order": order,
                    "padding_share": 1 - sum(window) / filled,
                    **{f"{name}_ms": value for name, value in ms.items()},
                    "speedup": ms["padded"] / ms["packed"],
                }
            )
    return rows


def main() -> None:
    """Profile, and print what was found."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    (args,) = HfArgumentParser(ProfileArguments).parse_args_into_dataclasses()
    texts = list(read_labelled_texts(args.data_file, args.text_column, args.label_column)["text"])
    texts = texts[: args.max_samples]
    report: dict[str, Any] = {
        "texts": len(texts),
        "batch_size": args.batch_size,
        "policy": args.policy,
        "rounds": args.rounds,
        "threads": torch.get_num_threads(),
        **machine(),
        **profile(args, texts),
    }
    if args.packing:
        with torch.inference_mode():
            report["packing"] = packing(args, texts)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
