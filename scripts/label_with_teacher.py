"""Label texts with what a trained reader says of them, for a smaller one to learn from.

    python scripts/label_with_teacher.py --teacher out/imdb --data_file imdb/train.parquet \
        --block_column id --chunk_size 62 --output_dir out/soft
    python scripts/finetune_text.py --model skim_rnn --train_file out/soft/train.parquet \
        --validation_file out/soft/validation.parquet ...

Distillation (Hinton, Vinyals & Dean, 2015, arXiv 1503.02531): the label of a text becomes a mixture
of its own and of the teacher's probabilities. A chunk of a text has the teacher's alone: what it
says need not be what the whole text says. Prints one JSON line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import HfArgumentParser

from temporal.data.labelled.digests import digest_text
from temporal.data.labelled.files import read_labelled_texts
from temporal.data.labelled.splits import VALIDATION_SHARE, hold_out, without_texts
from temporal.models import READERS
from temporal.models.rows_seen import load_rows_seen, start_of
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.rows import class_numbers
from temporal.pipelines.held_out.unseen import NotNew, Rows, keep_unseen, seed_of_split
from temporal.pipelines.loading.load import LoadedModel, load_model
from temporal.pipelines.scores import class_numbers_by_name
from temporal.policies.read import even_pieces


@dataclass
class LabelArguments:
    """Who labels what."""

    teacher: str = field(metadata={"help": "A saved reader with its tokenizer."})
    data_file: str = field(metadata={"help": "As --train_file of finetune_text.py."})
    output_dir: str = field(metadata={"help": "Folder for the two files."})
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    block_column: str | None = field(
        default=None, metadata={"help": "Hold out whole blocks of this number column."}
    )
    group_column: str | None = field(
        default=None,
        metadata={"help": "Hold out the rows of a group together: the column with its name."},
    )
    validation_share: float = field(
        default=VALIDATION_SHARE, metadata={"help": "Rows to hold out."}
    )
    hard_share: float = field(
        default=0.4, metadata={"help": "Weight of a text's own label in the mixture, 0 to 1."}
    )
    chunk_size: int | None = field(
        default=None, metadata={"help": "Also label chunks of at most so many tokens."}
    )
    max_length: int = field(default=512, metadata={"help": "Tokens that the teacher sees."})
    tokens_per_batch: int = field(default=8192, metadata={"help": "Tokens it sees at once."})
    seed: int | None = field(
        default=None,
        metadata={"help": "Of what is held out; default: as of the teacher's own training."},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.hard_share <= 1:
            raise ValueError(
                f"--hard_share ({self.hard_share}) must be between 0, the teacher alone, and 1, "
                "the texts' own labels alone"
            )


def chunk_bounds(length: int, size: int) -> list[tuple[int, int]]:
    """Where equal chunks of at most `size` tokens begin and end."""
    if not length:
        return [(0, 0)]
    return [(piece.start, piece.stop) for piece in even_pieces(length, size)]


def load_teacher(folder: str) -> LoadedModel:
    """A saved reader that takes whole texts.

    Raises:
        ValueError: the folder holds none.
    """
    file = Path(folder, "config.json")
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type") if file.exists() else None
    # A ChunkReader's forward takes what its encoder said, not texts.
    kinds = sorted(k for k, v in READERS.items() if v.unit == "token" and v.trains_on_units)
    if kind not in kinds:
        found = "has no config.json" if not file.exists() else f"has model_type {kind!r}"
        raise ValueError(
            f"--teacher ({folder}) {found}, and must be a folder that finetune_text.py saved, of "
            f"one of {kinds}: train one, or wrap a classifier by EarlyExit.from_classifier and "
            "save it with its tokenizer"
        )
    return load_model("text-classification", folder)


@torch.inference_mode()
def teach(
    teacher: LoadedModel, texts: list[str], *, max_length: int, tokens_per_batch: int
) -> Tensor:
    """The teacher's probabilities of texts, `[N, K]`, in the order of its classes."""
    reader, tokenizer = teacher.reader, teacher.tokenizer
    ids = tokenizer(
        texts,
        truncation=True,
        max_length=min(max_length, teacher.max_tokens or max_length),
        add_special_tokens=teacher.adds_special_tokens,
    )["input_ids"]
    order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
    answers = torch.empty(len(ids), reader.config.num_labels)
    while order:
        count = max(1, tokens_per_batch // max(1, len(ids[order[-1]])))
        rows, order = order[-count:], order[:-count]
        padded = tokenizer.pad({"input_ids": [ids[k] for k in rows]}, return_tensors="pt")
        batch = padded.to(reader.device)
        with torch.autocast(reader.device.type, torch.bfloat16):
            output = reader(batch["input_ids"], batch["attention_mask"])
        answers[rows] = output.logits.float().softmax(-1).cpu()
    return answers


def teachers_classes(
    train: Dataset, teacher: LoadedModel, file: str
) -> tuple[list[Any], list[int]]:
    """The labels that occur, in the order of their numbers, and the teacher's number of each.

    Raises:
        ValueError: one is not the teacher's, or one of the teacher's does not occur.
    """
    config = teacher.reader.config
    names = sorted(set(train["label"]))  # what learns from the files numbers them so
    columns = class_numbers(names, class_numbers_by_name(config))
    if sorted(columns) != list(range(config.num_labels)):
        raise ValueError(
            f"--data_file ({file}) has the labels {names[:5]}, and the teacher "
            f"{sorted(config.label2id)[:5]}: all of the teacher's must occur, each under "
            "one name; give more texts"
        )
    return names, columns


@ended_by(NotNew)
def main() -> None:
    """Write train.parquet, its labels probabilities, and validation.parquet, as it was."""
    (args,) = HfArgumentParser(LabelArguments).parse_args_into_dataclasses()
    teacher = load_teacher(args.teacher)
    reader, tokenizer = teacher.reader.eval(), teacher.tokenizer
    rows = read_labelled_texts(
        args.data_file,
        args.text_column,
        args.label_column,
        block_column=args.block_column,
        group_column=args.group_column,
    )
    seen = load_rows_seen(args.teacher)
    seed = seed_of_split(args.seed, seen)
    train, validation = hold_out(rows, args.validation_share, seed)
    held = Rows(source=args.data_file, rows=[digest_text(text) for text in validation["text"]])
    unseen = keep_unseen(args.teacher, held, refuse=("training",))
    train = without_texts(train, validation["text"])
    class_numbers(
        rows["label"], class_numbers_by_name(reader.config)
    )  # refuses what is not the teacher's
    names, columns = teachers_classes(train, teacher, args.data_file)
    if torch.cuda.is_available():
        reader.to("cuda")

    texts = list(train["text"])
    sizes = {"max_length": args.max_length, "tokens_per_batch": args.tokens_per_batch}
    soft = teach(teacher, texts, **sizes)[:, columns]
    own = torch.eye(len(names))[[names.index(label) for label in train["label"]]]
    labels = (args.hard_share * own + (1 - args.hard_share) * soft).tolist()
    agreement = (soft.argmax(1) == own.argmax(1)).float().mean().item()
    if args.chunk_size:
        ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        chunks = [
            tokenizer.decode(row[start:end]).removeprefix("##")
            for row in ids
            for start, end in chunk_bounds(len(row), args.chunk_size)
        ]
        labels += teach(teacher, chunks, **sizes)[:, columns].tolist()
        texts += chunks

    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict({"text": texts, "label": labels}).to_parquet(folder / "train.parquet")
    validation.select_columns(["text", "label"]).to_parquet(folder / "validation.parquet")
    # What the teacher was shown it has told, too: finetune_text.py finds it beside its file.
    start_of(args.teacher, args.teacher).save(folder)
    result = {
        "texts": len(train),
        "chunks": len(texts) - len(train),
        "teacher_right": round(agreement, 4),
        "held_out": len(validation),
        "held_out_rows": unseen.report,
        "output_dir": args.output_dir,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
