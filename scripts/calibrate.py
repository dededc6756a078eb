"""Choose when a reader halts (or how much it skims) from held-out data, and save it in its config.

    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.1 --max_drop 0.005
    python scripts/calibrate.py --task text --model out/skim --data_file imdb.parquet --budget 0.3
    python scripts/calibrate.py --task video --model DIR --data_file CLIPS_DIR --max_drop 0.02

The chosen policy becomes the reader's own; a frontier of operating points is stored beside it, so
that `budget=` can pick another at call time. Prints one JSON line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from text_data import hold_out, read_labelled_texts
from torch.nn.utils.rnn import pad_sequence
from transformers import HfArgumentParser

from temporal.data import Document, Video, VideoError, collect
from temporal.pipelines.loading import load_model
from temporal.training.calibration import (
    OperatingPoint,
    certified,
    exit_frontier,
    risk_bound,
    within_drop,
)


@dataclass
class CalibrationArguments:
    """What to calibrate, on what, to what."""

    model: str = field(metadata={"help": "Folder of a saved reader; its config.json is updated."})
    data_file: str = field(
        metadata={"help": "Labelled texts (scripts/text_data.py), or a folder of videos."}
    )
    task: Literal["text", "video"] = field(default="text", metadata={"help": "What it reads."})
    max_drop: float | None = field(
        default=None, metadata={"help": "Largest accuracy drop against reading everything, 0 to 1."}
    )
    budget: float | None = field(
        default=None, metadata={"help": "Share of the full cost that may be spent, 0 to 1."}
    )
    guarantee: bool = field(
        default=False,
        metadata={
            "help": "With --max_drop: only what Learn-then-Test certifies, not the measured."
        },
    )
    confidence: float = field(default=0.95, metadata={"help": "Of the bounds on the drop."})
    criterion: str | None = field(default=None, metadata={"help": "Default: the reader's."})
    calibration_share: float | None = field(
        default=None,
        metadata={"help": "Use the rows that finetune_text.py kept out of training this way."},
    )
    validation_share: float | None = field(
        default=None, metadata={"help": "Use the rows that finetune_text.py held out to validate."}
    )
    train_phrases: bool = field(
        default=False, metadata={"help": "Treebanks: the training used phrases."}
    )
    block_column: str | None = field(
        default=None, metadata={"help": "As in the training: blocks that were held out whole."}
    )
    seed: int = field(default=0, metadata={"help": "Of the split; the one of the training."})
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    max_samples: int | None = field(default=None, metadata={"help": "Use so many."})
    num_points: int = field(default=12, metadata={"help": "Operating points to store."})

    def __post_init__(self) -> None:
        if (self.max_drop is None) == (self.budget is None):
            raise ValueError("give --max_drop or --budget, and not both")


_READ_THRESHOLDS = (0.0, 0.2, 0.3, 0.36, *(k / 100 for k in range(40, 52)), 0.55, 0.6, 0.7, 0.8)
"""Densest about 0.5, where most tokens' probabilities lie."""


def labelled_documents(args: CalibrationArguments, loaded: Any) -> tuple[list[Any], torch.Tensor]:
    """The held-out texts as documents, and their class numbers; texts that cannot be read go."""
    rows = read_labelled_texts(
        args.data_file,
        args.text_column,
        args.label_column,
        phrases=args.train_phrases,
        block_column=args.block_column,
    )
    for share in (args.calibration_share, args.validation_share):
        if share:
            rows = hold_out(rows, share, args.seed)[1]
    if args.train_phrases:  # the same split as in training, but whole sentences only
        rows = rows.filter(lambda row: row["whole"])
    if args.max_samples:
        rows = rows.select(range(min(args.max_samples, len(rows))))
    documents = Document.batch(
        list(rows["text"]),
        loaded.tokenizer,
        max_tokens=loaded.max_tokens,
        add_special_tokens=loaded.adds_special_tokens,
    )
    names = loaded.reader.config.label2id
    labels = [names.get(str(label), label) for label in rows["label"]]
    good = [k for k, document in enumerate(documents) if isinstance(document, Document)]
    return [documents[k] for k in good], torch.tensor([labels[k] for k in good])


def batches(documents: list[Any], size: int = 64) -> Any:
    """Document numbers in batches of similar length."""
    order = sorted(range(len(documents)), key=lambda k: len(documents[k]))
    return (order[start : start + size] for start in range(0, len(order), size))


@torch.inference_mode()
def text_frontier(args: CalibrationArguments, loaded: Any) -> list[OperatingPoint]:
    """Points of an early-exit encoder (halting) or of a Skim-RNN (its read threshold)."""
    reader = loaded.reader.eval()
    documents, labels = labelled_documents(args, loaded)
    lengths = torch.tensor([len(document) for document in documents])

    def run() -> dict[str, torch.Tensor]:
        parts: dict[str, list[torch.Tensor]] = {}
        order: list[int] = []
        for batch in batches(documents):
            ids = pad_sequence([documents[k].ids for k in batch], batch_first=True)
            mask = (torch.arange(ids.shape[1]) < lengths[batch][:, None]).long()
            for name, value in reader(ids, attention_mask=mask).items():
                parts.setdefault(name, []).append(value)
            order += batch
        back = torch.tensor(order).argsort()
        return {name: torch.cat(values)[back] for name, values in parts.items()}

    if reader.config.model_type == "early_exit":
        layers = reader.config.exit_layers
        return exit_frontier(
            run()["exit_logits"],
            labels,
            [layer / layers[-1] for layer in layers],
            args.criterion or reader.config.criterion,
            weights_N=lengths,
            confidence=args.confidence,
        )
    # A Skim-RNN: the share of the full cost is the reading's share, plus the skimming's.
    small = reader.config.skim_size / reader.config.hidden_size
    points = []
    for threshold in _READ_THRESHOLDS:
        reader.config.read_threshold = threshold
        outputs = run()
        right = outputs["logits"].argmax(-1) == labels
        if threshold == 0.0:  # the first: everything is read
            full_right = right
        read = float((outputs["read_share"] * lengths).sum() / lengths.sum())
        lost = int((full_right & ~right).sum())
        points.append(
            OperatingPoint(
                policy={"read_threshold": threshold},
                cost_share=read + (1 - read) * small,
                accuracy=right.double().mean().item(),
                drop=(full_right.double().mean() - right.double().mean()).item(),
                drop_bound=risk_bound(lost, len(labels), 1 - args.confidence),
                confidence=args.confidence,
                num_calibration=len(labels),
            )
        )
    return points


@torch.inference_mode()
def video_frontier(args: CalibrationArguments, loaded: Any) -> list[OperatingPoint]:
    """Points of a frame reader: agreement with its own full reading, so no labels are needed."""
    reader = loaded.reader.eval()
    exits = []
    for item in collect(args.data_file, kind="video", limit=args.max_samples):
        try:
            with Video(item.value) as video:
                frames = reader.plan(len(video), video.index.keyframes)
                pixels = video.read(frames, size=(reader.config.image_size,) * 2)
                times = torch.tensor([[frame / len(video) for frame in frames]])
        except VideoError as error:
            print(f"left out {item.id}: {error}")
            continue
        if len(frames) == reader.config.num_frames:
            exits.append(reader(pixels[None], times=times).exit_logits)
    count = reader.config.num_frames
    return exit_frontier(
        torch.cat(exits),
        None,
        [(k + 1) / count for k in range(count)],
        args.criterion or reader.config.criterion,
        min_exit=reader.config.min_frames - 1,
        confidence=args.confidence,
    )


def spread(points: list[OperatingPoint], count: int) -> list[OperatingPoint]:
    """About `count` points that no other beats, evenly over the costs, the full reading first."""
    best: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.cost_share, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    full = points[0]
    if full not in best:
        best.append(full)
    if len(best) <= count:
        return best[::-1]
    steps = [round(k * (len(best) - 1) / (count - 1)) for k in range(count)]
    return [best[k] for k in sorted(set(steps), reverse=True)]


def main() -> None:
    """Calibrate and save."""
    (args,) = HfArgumentParser(CalibrationArguments).parse_args_into_dataclasses()
    task = f"{args.task}-classification"
    loaded = load_model(task, args.model)
    points = (text_frontier if args.task == "text" else video_frontier)(args, loaded)
    if args.budget is not None:
        affordable = [point for point in points if point.cost_share <= args.budget]
        if not affordable:
            cheapest = min(point.cost_share for point in points)
            raise SystemExit(f"--budget ({args.budget}) must be at least {cheapest:.3f}")
        # The budget is there to be spent: neighbours' accuracies differ by noise alone.
        chosen = max(affordable, key=lambda point: point.cost_share)
    else:
        chosen = (certified if args.guarantee else within_drop)(points, args.max_drop)

    file = Path(args.model, "config.json")
    config = json.loads(file.read_text())
    config.update(chosen.policy)
    stored = spread(points, args.num_points)
    config["operating_points"] = [point.to_dict() for point in stored]
    file.write_text(json.dumps(config, indent=2) + "\n")
    full = points[0]
    print(json.dumps({"chosen": chosen.to_dict(), "full": full.to_dict(), "stored": len(stored)}))


if __name__ == "__main__":
    main()
