"""Held-out rows for the scripts that judge a saved reader: texts or clips, with labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from text_data import held_out_rows, read_labelled_texts
from torch import Tensor
from video_data import read_clips

from temporal.data import Document, collect


@dataclass
class HeldOutArguments:
    """Which reader, and what it is judged on."""

    model: str = field(metadata={"help": "Folder of a saved reader."})
    data_file: str = field(
        metadata={"help": "Labelled texts (scripts/text_files.py), or a folder of videos."}
    )
    task: Literal["text", "video"] = field(default="text", metadata={"help": "What it reads."})
    calibration_share: float | None = field(
        default=None,
        metadata={
            "help": "Use the rows that finetune_text.py kept out of training this way (with "
            "--validation_share: leave them out, as that training did)."
        },
    )
    validation_share: float | None = field(
        default=None,
        metadata={
            "help": "Use the rows that finetune_text.py held out to validate: 0.1. After a "
            "training with --calibration_share give that, too: they are of what it left."
        },
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
    manifest: str | None = field(
        default=None,
        metadata={"help": "Videos: a CSV file in the folder with path, label and group."},
    )
    max_samples: int | None = field(default=None, metadata={"help": "Use the first so many."})
    batch_size: int | None = field(default=None, metadata={"help": "Default: the pipeline's."})

    def __post_init__(self) -> None:
        if self.max_samples is not None and self.max_samples < 1:
            raise ValueError(
                f"--max_samples ({self.max_samples}) must be at least 1; leave it out to use all"
            )


@dataclass(frozen=True)
class HeldOut:
    """Inputs of a pipeline."""

    inputs: list[str]
    """N texts, or paths of videos."""
    labels: Tensor | None
    """int64 `[N]`, class numbers of the reader; None: there are none."""


def read_held_out(args: HeldOutArguments, pipe: Any) -> HeldOut:
    """The rows that the arguments name; blank texts are left out."""
    if args.task == "video":
        return _videos(args, pipe.model.config.label2id)
    rows = read_labelled_texts(
        args.data_file,
        args.text_column,
        args.label_column,
        phrases=args.train_phrases,
        block_column=args.block_column,
        blank=not (args.calibration_share or args.validation_share),  # a training refuses them
    )
    rows = held_out_rows(
        rows,
        args.seed,
        calibration_share=args.calibration_share,
        validation_share=args.validation_share,
    )
    if args.train_phrases and "whole" not in rows.column_names:
        raise ValueError(
            f"--train_phrases needs trees, and {args.data_file} holds none: leave it out, or give "
            "the .txt treebank file that the training split"
        )
    if args.train_phrases:  # the same split as in training, but whole sentences only
        rows = rows.filter(lambda row: row["whole"])
    if args.max_samples:
        rows = rows.select(range(min(args.max_samples, len(rows))))
    numbers = class_numbers(rows["label"], pipe.model.config.label2id)
    good = [k for k, text in enumerate(rows["text"]) if text and text.strip()]
    if not good:
        raise ValueError(
            f"{args.data_file} must hold a text to judge the reader by, and of {len(rows)} rows "
            "that are left none has one: give more rows, or a larger share"
        )
    return HeldOut([rows["text"][k] for k in good], torch.tensor([numbers[k] for k in good]))


def documents_of(texts: list[str], pipe: Any) -> list[Any]:
    """The texts as the pipeline's reader gets them."""
    return Document.batch(
        texts,
        pipe.tokenizer,
        max_tokens=pipe.max_tokens,
        add_special_tokens=pipe.adds_special_tokens,
    )


def _videos(args: HeldOutArguments, names: dict[str, int]) -> HeldOut:
    if args.manifest is None:
        items = collect(args.data_file, kind="video", limit=args.max_samples)
        return HeldOut([str(item.value) for item in items], None)
    clips, labels = read_clips(args.data_file, args.manifest)
    clips = clips[: args.max_samples]
    numbers = class_numbers([labels[clip.label] for clip in clips], names)
    return HeldOut([clip.path for clip in clips], torch.tensor(numbers))


def class_numbers(labels: Any, names: dict[str, int]) -> list[int]:
    """Labels are numbers of classes, or their names."""
    numbers = [names.get(str(label), label) for label in labels]
    known = set(names.values())
    strange = sorted({str(number) for number in numbers if number not in known})
    if strange:
        raise ValueError(
            f"labels {strange[:5]} must be among the reader's: {sorted(names)[:5]}; name the "
            "column of the labels by --label_column, or give the data that it was trained for"
        )
    return numbers
