"""Table 2 of "Neural Speed Reading via Skim-RNN" (Seo et al., ICLR 2018), theirs beside ours.

    python scripts/benchmarks/reproduce_skim_rnn.py --data_dir data --output_dir out/skim_rnn

For each data set a plain LSTM (d = 100) is trained, and from it a Skim-LSTM for each pair of skim
size and gamma in the table, on the labels of that set alone. What is in --output_dir already is not
trained again. Speed is that of the recurrent part, one document at a time in one thread, against
torch's nn.LSTM (the paper: NumPy against NumPy). FLOP reduction counts the recurrence alone.

Two sets are smaller here than in the paper: AG News is trained on 10,000 texts of its 120,000, and
IMDb is judged on a part of its test set. SST is judged on its dev part; MR has no split, so a tenth
is held out. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmark_recurrent import BenchmarkArguments, judge

from temporal.data.labelled.digests import digest_text
from temporal.data.labelled.files import read_labelled_texts
from temporal.data.labelled.splits import VALIDATION_SHARE, hold_out
from temporal.pipelines.benchmark.interleaved import machine
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.unseen import NotNew, Rows, keep_unseen


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the table: shares in percent."""

    accuracy: float
    skim_size: int = 0
    gamma: float = 0.0
    skimmed: float = 0.0
    flop_reduction: float = 1.0
    speedup: float = 1.0


def skim(size: int, gamma: float, accuracy: float, *measured: float) -> Published:
    """A Skim-LSTM's row, as it stands in the table."""
    names = ("skimmed", "flop_reduction", "speedup")
    measures = dict(zip(names, measured, strict=True))
    return Published(skim_size=size, gamma=gamma, accuracy=accuracy, **measures)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A data set: files under --data_dir, options of finetune_text.py, the table's rows."""

    train: str
    test: str | None
    epochs: int
    options: tuple[str, ...] = ()
    dense: Published
    skims: tuple[Published, ...]


EXPERIMENTS = {
    "sst": Experiment(
        train="sst/train.txt",
        test="sst/dev.txt",
        epochs=3,
        options=("--train_phrases",),
        dense=Published(accuracy=86.4),
        skims=(skim(5, 0.01, 86.4, 58.2, 2.4, 1.4), skim(10, 0.02, 86.4, 68.0, 3.0, 1.7)),
    ),
    "mr": Experiment(
        train="mr",
        test=None,
        epochs=10,
        dense=Published(accuracy=82.5),
        skims=(skim(5, 0.01, 84.2, 52.0, 2.1, 1.3),),
    ),
    "agnews": Experiment(
        train="agnews/dev.tsv",
        test="agnews/test.tsv",
        epochs=8,
        dense=Published(accuracy=93.5),
        skims=(skim(5, 0.01, 93.6, 30.3, 1.4, 1.0), skim(10, 0.02, 92.5, 10.6, 1.1, 0.8)),
    ),
    "imdb": Experiment(
        train="imdb/train.parquet",
        test="imdb/test_part.parquet",
        epochs=3,
        options=("--block_column", "id", "--max_seq_length", "500"),
        dense=Published(accuracy=91.1),
        skims=(skim(10, 0.01, 91.2, 83.9, 5.8, 2.3), skim(10, 0.02, 90.9, 90.7, 9.5, 2.7)),
    ),
}
_COMMON = (
    *("--model", "skim_rnn", "--word_dropout", "0.2", "--per_device_train_batch_size", "64"),
    *("--per_device_eval_batch_size", "128", "--lr_scheduler_type", "cosine"),
    *("--warmup_steps", "100", "--weight_decay", "0.01", "--save_strategy", "no"),
    *("--eval_strategy", "epoch", "--report_to", "none", "--disable_tqdm", "true", "--seed", "0"),
)


def train(folder: Path, options: tuple[str, ...], reader: dict[str, Any]) -> Path:
    """Run finetune_text.py, unless it has been here: the folder of the reader."""
    if not (folder / "all_results.json").exists():
        script = Path(__file__).with_name("finetune_text.py")
        settings = ("--output_dir", str(folder), "--reader_options", json.dumps(reader))
        command = (sys.executable, str(script), *_COMMON, *options, *settings)
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder


def reproduce(name: str, data: Path, output: Path, rounds: int) -> list[dict[str, Any]]:
    """Train and judge the readers of one data set: a row for each."""
    experiment = EXPERIMENTS[name]
    epochs = ("--num_train_epochs", str(experiment.epochs))
    options = ("--train_file", str(data / experiment.train), *epochs, *experiment.options)
    lstm = train(
        output / name / "lstm",
        ("--learning_rate", "2e-3", *options),
        {"pooling": "max", "dropout": 0.5, "read_threshold": 0, "skim_loss_weight": 0},
    )
    readers = [(lstm, experiment.dense)]
    for row in experiment.skims:
        folder = output / name / f"skim_{row.skim_size}_{row.gamma}"
        start = ("--init_from", str(lstm), "--freeze_embeddings", "--learning_rate", "7e-4")
        sizes = {"skim_size": row.skim_size, "skim_loss_weight": row.gamma}
        train(folder, (*start, *options), {"pooling": "max", "dropout": 0.5, **sizes})
        readers.append((folder, row))

    rows = read_labelled_texts(str(data / (experiment.test or experiment.train)))
    if experiment.test is None:
        _, rows = hold_out(rows, VALIDATION_SHARE, seed=0)  # as finetune_text.py does
    digests = Rows(source=str(data / name), rows=[digest_text(text) for text in rows["text"]])
    kept = [keep_unseen(str(folder), digests, leave_out=True).kept for folder, _ in readers]
    rows = rows.select(sorted(set.intersection(*map(set, kept))))
    texts, labels = list(rows["text"]), list(rows["label"])
    how = BenchmarkArguments(models=[], data_file="", rounds=rounds)
    results = []
    for folder, row in readers:
        found = judge(str(folder), texts, labels, how)
        ours = {
            "accuracy": round(100 * found["accuracy"], 1),
            "skimmed": round(100 * (1 - found["share_read"]), 1),
            "flop_reduction": round(1 / found["macs_share"], 1),
            "speedup": round(found["recurrent_part"]["speedup"], 1),
        }
        theirs = {key: getattr(row, key) for key in ours}
        size = {"skim_size": row.skim_size, "gamma": row.gamma}
        results.append({"data": name, "texts": len(texts), **size, "paper": theirs, "ours": ours})
    return results


@ended_by(NotNew)
def main() -> None:
    """Reproduce what was asked for and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--data", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    args = parser.parse_args()
    torch.manual_seed(0)
    rows = [
        row
        for name in args.data
        for row in reproduce(name, args.data_dir, args.output_dir, args.rounds)
    ]
    print(json.dumps({**machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
