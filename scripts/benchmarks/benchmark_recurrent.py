"""Measure recurrent readers against torch's own nn.LSTM (or nn.GRU) on labelled texts.

    python scripts/benchmarks/benchmark_recurrent.py --models out/skim out/jump \
        --data_file imdb.parquet

Every reader answers beside the plain network of the same sizes, in the same run, interleaved
A B A B; medians of rounds:
- `recurrent_part`: states of one document at a time in one thread; nn.LSTM gets its embedded input.
- `end_to_end`: the same, from token ids to logits.
- `batched`: batches of documents sorted by length, from token ids to logits, in several threads.
Prints JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import HfArgumentParser

from temporal.data import Document
from temporal.data.labelled.digests import digest_text
from temporal.data.labelled.files import read_labelled_texts
from temporal.engine import Engine
from temporal.models.recurrent.readers import pool_states
from temporal.pipelines.benchmark.interleaved import clock, machine
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.unseen import NotNew, Rows, keep_unseen
from temporal.pipelines.loading.load import load_model
from temporal.pipelines.scores import class_numbers_by_name
from temporal.training.accuracy import interval


@dataclass
class BenchmarkArguments:
    """What to measure, on what."""

    models: list[str] = field(metadata={"help": "Folders of saved recurrent readers."})
    data_file: str = field(metadata={"help": "Labelled texts; see temporal.data.labelled.files."})
    dense: str | None = field(
        default=None,
        metadata={"help": "Folder of the plain network (a SkimRNN that reads everything)."},
    )
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    max_samples: int | None = field(default=None, metadata={"help": "Accuracy on the first many."})
    timed_samples: int = field(default=200, metadata={"help": "Time on the first many."})
    leave_out_seen: bool = field(
        default=False,
        metadata={"help": "Leave out rows that a reader has seen, instead of refusing them."},
    )
    batch_size: int = field(default=32, metadata={"help": "Of `batched`."})
    num_threads: int = field(default=2, metadata={"help": "Of `batched`."})
    rounds: int = field(default=5, metadata={"help": "Timed rounds, after one to warm up."})


class Plain(nn.Module):
    """Embedding, nn.LSTM or nn.GRU, pooling and classifier, with a reader's weights.

    Beside an `HMRNN` it has as many layers, and its classifier sees all of them, too.
    """

    def __init__(self, reader: Any) -> None:
        super().__init__()
        config = reader.config
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        self.embedding, self.classifier = reader.embedding, reader.classifier
        self.pooling = config.pooling
        upper = zip(getattr(reader, "below", ()), getattr(reader, "hidden", ()), strict=True)
        self.layers = nn.ModuleList()  # one by one: nn.LSTM tells the states of its last alone
        for of_input, of_hidden in ((reader.read_input, reader.read_hidden), *upper):
            layer = kind(of_input.in_features, config.hidden_size, batch_first=True)
            with torch.no_grad():
                layer.weight_ih_l0.copy_(of_input.weight)
                layer.weight_hh_l0.copy_(of_hidden.weight)
                layer.bias_ih_l0.copy_(of_input.bias)
                layer.bias_hh_l0.zero_()
            self.layers.append(layer)

    def network(self, x_BTD: Tensor) -> Tensor:
        """States of all layers side by side, `[B, T, L * H]`."""
        states = []
        for layer in self.layers:
            x_BTD, _ = layer(x_BTD)
            states.append(x_BTD)
        return states[0] if len(states) == 1 else torch.cat(states, -1)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Logits `[B, K]`."""
        states_BTH = self.network(self.embedding(ids_BT))
        return self.classifier(pool_states(states_BTH, mask_BT, self.pooling))


def batches(ids: list[Tensor], size: int) -> list[tuple[Tensor, Tensor]]:
    """Padded batches of similar length: ids and mask, int64 `[B, T]` each."""
    ordered = sorted(ids, key=len)
    made = []
    for start in range(0, len(ordered), size):
        rows = ordered[start : start + size]
        masks = [torch.ones_like(row) for row in rows]
        made.append((pad_sequence(rows, True), pad_sequence(masks, True)))
    return made


def measure(reader: Any, ids: list[Tensor], args: BenchmarkArguments) -> dict[str, Any]:
    """Seconds of a reader and of the plain network with its weights, and their quotient."""
    plain = Plain(reader).eval()
    results = {}
    torch.set_num_threads(1)
    lengths = [torch.tensor([len(row)]) for row in ids]
    embedded = [reader.embedding(row)[None] for row in ids]
    alone = [(row[None], torch.ones_like(row)[None]) for row in ids]
    together = batches(ids, args.batch_size)
    settings = (
        (
            "recurrent_part",
            1,
            lambda: [plain.network(x) for x in embedded],
            lambda: [reader.run.fn(i, n) for (i, _), n in zip(alone, lengths, strict=True)],
        ),
        (
            "end_to_end",
            1,
            lambda: [plain(*pair) for pair in alone],
            lambda: [reader(*pair) for pair in alone],
        ),
        (
            "batched",
            args.num_threads,
            lambda: [plain(*pair) for pair in together],
            lambda: [reader(*pair) for pair in together],
        ),
    )
    for name, num_threads, dense, adaptive in settings:
        torch.set_num_threads(num_threads)
        clocked = clock({"dense": dense, "adaptive": adaptive}, args.rounds)
        seconds = {name: took.seconds for name, took in clocked.items()}
        tokens = sum(map(len, ids))
        results[name] = {
            "dense_us_per_token": 1e6 * seconds["dense"] / tokens,
            "adaptive_us_per_token": 1e6 * seconds["adaptive"] / tokens,
            "speedup": seconds["dense"] / seconds["adaptive"],
        }
    return results


@torch.inference_mode()
def judge(path: str, texts: list[str], labels: list[Any], args: BenchmarkArguments) -> Any:
    """Accuracy, what was read, and times of one reader."""
    loaded = load_model("text-classification", path)
    reader = loaded.reader.eval()
    documents = Document.batch(texts, loaded.tokenizer, max_tokens=loaded.max_tokens)
    names = class_numbers_by_name(reader.config)
    good = [k for k, document in enumerate(documents) if isinstance(document, Document)]
    cohorts = [
        [documents[k] for k in good[start : start + 64]] for start in range(0, len(good), 64)
    ]
    outcomes = list(Engine(64).run(reader.read, cohorts))
    right = sum(
        int(outcome.value.argmax()) == names.get(str(labels[k]), labels[k])
        for k, outcome in zip(good, outcomes, strict=True)
    )
    traces = [outcome.trace for outcome in outcomes]
    tokens = sum(trace.units_total for trace in traces)
    macs = sum(trace.cost.macs for trace in traces)
    dense_macs = sum(reader.dense_macs(trace.units_total) for trace in traces)
    times = measure(reader, [documents[k].ids for k in good[: args.timed_samples]], args)
    for row in times.values():
        row["realised_share"] = (1 - 1 / row["speedup"]) / (1 - macs / dense_macs)
    return {
        "model": reader.config.model_type,
        "accuracy": right / len(labels),
        "accuracy_interval": interval(right / len(labels), len(labels)),
        "share_read": sum(trace.units_read for trace in traces) / tokens,
        "macs_share": macs / dense_macs,
        **times,
    }


@ended_by(NotNew)
def main() -> None:
    """Judge all readers on the same texts and print what each did."""
    (args,) = HfArgumentParser(BenchmarkArguments).parse_args_into_dataclasses()
    rows = read_labelled_texts(args.data_file, args.text_column, args.label_column)
    if args.max_samples:
        rows = rows.select(range(min(args.max_samples, len(rows))))
    paths = [*([args.dense] if args.dense else []), *args.models]
    digests = Rows(source=args.data_file, rows=[digest_text(text) for text in rows["text"]])
    unseen = [keep_unseen(path, digests, leave_out=args.leave_out_seen) for path in paths]
    rows = rows.select(sorted(set.intersection(*(set(found.kept) for found in unseen))))
    texts, labels = list(rows["text"]), list(rows["label"])
    report = {
        "rows": {path: found.report for path, found in zip(paths, unseen, strict=True)},
        "texts": len(texts),
        "batch_size": args.batch_size,
        "threads": args.num_threads,
        "rounds": args.rounds,
        **machine(),
        "results": {path: judge(path, texts, labels, args) for path in paths},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
