"""Labelled texts for the scripts: tables with a text and a label column, and treebank trees."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, List, Value, concatenate_datasets, load_dataset

VALIDATION_SHARE = 0.1
"""Of what is left after calibration, where no file to validate on is given."""
_TREE_TOKEN = re.compile(r"\(|\)|[^\s()]+")


@dataclass
class DataArguments:
    """Texts to train on, and what is held out of them."""

    train_file: str = field(
        metadata={"help": "See `read_labelled_texts` in scripts/text_data.py for the formats."}
    )
    validation_file: str | None = field(
        default=None, metadata={"help": "Default: a tenth of the training file, held out."}
    )
    extra_train_files: list[str] = field(
        default_factory=list,
        metadata={"help": "More texts to train on, with the same labels; of trees all phrases."},
    )
    unlabelled_files: list[str] = field(
        default_factory=list,
        metadata={
            "help": "More texts, one a line, for regimes that freeze the last exit: its answers "
            "are what they teach."
        },
    )
    regression: bool = field(
        default=False, metadata={"help": "The labels are numbers to come close to."}
    )
    train_on_held_out: bool = field(
        default=False,
        metadata={
            "help": "Train on half of the tenth that the training before this one held out (and "
            "validate on the other): of the texts that they were trained on, exits are too sure."
        },
    )
    block_column: str | None = field(
        default=None, metadata={"help": "Hold out whole blocks of this number column."}
    )
    leave_out_file: str | None = field(
        default=None,
        metadata={"help": "Do not train on phrases that occur in this file's texts."},
    )
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(
        default="label",
        metadata={
            "help": "Column of the labels. In the training file they may be lists of class "
            "probabilities (scripts/label_with_teacher.py writes such)."
        },
    )
    train_phrases: bool = field(
        default=False, metadata={"help": "Treebank files: also train on every labelled phrase."}
    )
    calibration_share: float = field(
        default=0.0,
        metadata={
            "help": "Keep this share of the training file out of training, for "
            "scripts/calibrate.py (which finds the same rows by the same seed)."
        },
    )
    calibration_file: str | None = field(
        default=None,
        metadata={
            "help": "Keep the share of this file's texts out instead, and every phrase inside "
            "them: what is trained on are phrases, say, and what will be read are sentences."
        },
    )
    max_seq_length: int = field(default=256, metadata={"help": "Longer texts are cut in training."})
    crop_size: int | None = field(
        default=None,
        metadata={"help": "Train some batches on random chunks of so many tokens of each text."},
    )
    crop_share: float = field(default=0.5, metadata={"help": "Share of batches that are cropped."})
    crop_from: int = field(
        default=4096, metadata={"help": "Tokens of a text that chunks are taken from."}
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Evaluate on so many."})

    def __post_init__(self) -> None:
        if self.train_on_held_out and self.validation_file:
            raise ValueError(
                f"--validation_file ({self.validation_file}) must be left out with "
                "--train_on_held_out: what is held out is then a tenth of the training file"
            )


def load_data(data: DataArguments, seed: int) -> tuple[Dataset, Dataset]:
    """Training and validation rows with the columns `text` and `label`."""
    columns = (data.text_column, data.label_column)
    train = read_labelled_texts(
        data.train_file, *columns, phrases=data.train_phrases, block_column=data.block_column
    )
    if data.leave_out_file:
        train = leave_out_phrases(train, read_labelled_texts(data.leave_out_file)["text"])
    if data.calibration_file:
        texts = read_labelled_texts(data.calibration_file, *columns)
        train = leave_out_phrases(train, hold_out(texts, data.calibration_share, seed)[1]["text"])
    elif data.calibration_share:
        train, _ = hold_out(train, data.calibration_share, seed)
    if data.validation_file:
        validation = read_labelled_texts(data.validation_file, *columns)
    elif isinstance(train.features["label"], List):
        raise ValueError(
            f"--train_file ({data.train_file}) has class probabilities as labels: give texts with "
            "class names as --validation_file"
        )
    else:
        train, validation = hold_out(train, VALIDATION_SHARE, seed)
    if data.train_on_held_out:
        train, validation = hold_out(validation, 0.5, seed)
    extra = [
        read_labelled_texts(path, *columns, phrases=True).select_columns(["text", "label"])
        for path in data.extra_train_files
    ]
    for path in data.unlabelled_files:
        texts = _read_lines(path)
        rows = Dataset.from_dict({"text": texts, "label": [None] * len(texts)})
        extra.append(rows.cast(train.select_columns(["text", "label"]).features))
    if isinstance(train.features["label"], List):  # class probabilities
        names = sorted(set(validation["label"]))
        extra = [_with_probabilities(rows, names) for rows in extra]
    if extra:
        train = concatenate_datasets([train.select_columns(["text", "label"]), *extra])
    if data.max_train_samples:
        train = train.shuffle(seed=seed).select(range(min(data.max_train_samples, len(train))))
    if data.max_eval_samples:
        validation = validation.select(range(min(data.max_eval_samples, len(validation))))
    return train, validation


def _with_probabilities(rows: Dataset, names: list) -> Dataset:
    """Rows whose label is a name, with 1 for it and 0 for the other names instead."""
    labels = [[float(label == name) for name in names] for label in rows["label"]]
    return Dataset.from_dict({"text": rows["text"], "label": labels})


def read_labelled_texts(
    path: str,
    text_column: str = "text",
    label_column: str = "label",
    *,
    phrases: bool = False,
    block_column: str | None = None,
    block_size: int = 100,
) -> Dataset:
    """Read a file of labelled texts into columns `text` and `label`, and perhaps `group`.

    Args:
        path: .parquet, .csv, .json(l), .tsv with a header, a text<TAB>label file without one, or
            .txt with the trees of the Stanford Sentiment Treebank, one a line (as SST-2: neutral
            trees are dropped, 0-1 is negative and 3-4 positive), .pos and .neg with a text of that
            label on each line or a folder of both, or .label as TREC has it, `COARSE:fine question`
            on each line.
        text_column, label_column: names in the file.
        phrases: trees only: also every labelled phrase inside them (column `whole` is false).
        block_column: a number column; rows of one label whose numbers fall into the same block of
            `block_size` form a `group` (numbers were often given film by film, say).
    """
    if Path(path).is_dir():
        halves = [str(file) for end in ("neg", "pos") for file in Path(path).glob(f"*.{end}")]
        if not halves:
            raise ValueError(f"{path}: a folder must hold files that end in .neg and .pos")
        return concatenate_datasets([read_labelled_texts(half) for half in sorted(halves)])
    suffix = Path(path).suffix
    if suffix in (".pos", ".neg"):
        texts = _read_lines(path)
        return Dataset.from_dict({"text": texts, "label": [int(suffix == ".pos")] * len(texts)})
    if suffix == ".label":
        pairs = [line.split(maxsplit=1) for line in _read_lines(path)]
        labels = [label.partition(":")[0] for label, _ in pairs]
        return Dataset.from_dict({"text": [text for _, text in pairs], "label": labels})
    if suffix == ".txt":
        return _read_trees(path, phrases)
    if suffix == ".tsv":
        return _read_tsv(path, text_column, label_column)
    kind = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}.get(suffix)
    if kind is None:
        raise ValueError(
            f"{path}: the suffix must be .parquet, .csv, .tsv, .json, .jsonl, .txt, "
            ".pos, .neg or .label"
        )
    rows = load_dataset(kind, data_files=path, split="train")
    if block_column is not None:
        groups = [
            f"{label} {number // block_size}"
            for label, number in zip(rows[label_column], rows[block_column], strict=True)
        ]
        rows = rows.select_columns([text_column, label_column]).add_column("group", groups)
    else:
        rows = rows.select_columns([text_column, label_column])
    if isinstance(rows[label_column][0] if len(rows) else None, int):
        rows = rows.cast_column(label_column, Value("int64"))  # files differ; tables must agree
    return rows.rename_columns(
        {old: new for old, new in ((text_column, "text"), (label_column, "label")) if old != new}
    )


def _read_lines(path: str) -> list[str]:
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _read_tsv(path: str, text_column: str, label_column: str) -> Dataset:
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    text, label = 0, 1
    if text_column in lines[0] and label_column in lines[0]:
        text, label = lines[0].index(text_column), lines[0].index(label_column)
        lines = lines[1:]
    elif lines[0][0] == label_column:
        text, label, lines = 1, 0, lines[1:]
    labels = [line[label] for line in lines]
    if all(value.isdigit() for value in labels):
        labels = [int(value) for value in labels]  # type: ignore[misc]  # ids instead of names
    return Dataset.from_dict({"text": [line[text] for line in lines], "label": labels})


def _read_trees(path: str, phrases: bool) -> Dataset:
    texts, labels, groups, wholes = [], [], [], []
    for group, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines()):
        nodes = _parse_tree(line)
        for node in nodes if phrases else nodes[-1:]:
            label, text = node
            if label != 2:
                texts.append(text)
                labels.append(int(label > 2))
                groups.append(group)
                wholes.append(node is nodes[-1])
    return Dataset.from_dict({"text": texts, "label": labels, "group": groups, "whole": wholes})


def _parse_tree(line: str) -> list[tuple[int, str]]:
    """`(3 (2 a) (3 good film))` -> every labelled node, the whole sentence last."""
    nodes: list[tuple[int, str]] = []
    stack: list[tuple[int, list[str]]] = []
    tokens = _TREE_TOKEN.findall(line)
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token == "(":
            stack.append((int(tokens[position + 1]), []))
            position += 1
        elif token == ")":
            label, words = stack.pop()
            nodes.append((label, " ".join(words)))
            if stack:
                stack[-1][1].extend(words)
        else:
            stack[-1][1].append({"-LRB-": "(", "-RRB-": ")"}.get(token, token))
        position += 1
    return nodes


def leave_out_phrases(rows: Dataset, texts: Iterable[str]) -> Dataset:
    """Drop the rows whose text occurs, word for word, inside one of the texts.

    Phrases of a treebank come from its sentences: those of the sentences that a reader is tested
    or calibrated on must not be trained on.
    """
    seen: set[str] = set()
    for text in texts:
        words = _plain(text).split()
        seen.update(
            " ".join(words[start:end])
            for start in range(len(words))
            for end in range(start + 1, len(words) + 1)
        )
    return rows.filter(lambda row: _plain(row["text"]) not in seen)


def _plain(text: str) -> str:
    """The words of a text as the files of one treebank agree on them."""
    return " ".join(text.lower().replace("\\/", "/").split())


def hold_out(rows: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split rows into the rest and a held-out share, whole groups together.

    Rows of one `group` (the phrases of one sentence) and rows of the same text fall on one side,
    so that what is held out was not seen.
    """
    if not 0 < share < 1:
        raise ValueError(f"share ({share}) must be between 0 and 1")
    key = "group" if "group" in rows.column_names else "text"
    keys = sorted(set(rows[key]))
    chosen = Dataset.from_dict({"key": keys}).shuffle(seed=seed)["key"][: int(share * len(keys))]
    held = set(chosen)
    flags = [value in held for value in rows[key]]
    return (
        rows.select([k for k, flag in enumerate(flags) if not flag]),
        rows.select([k for k, flag in enumerate(flags) if flag]),
    )


def held_out_rows(
    rows: Dataset, seed: int, *, calibration_share: float | None, validation_share: float | None
) -> Dataset:
    """The rows that `load_data` kept out of a training, found again; without a share all rows.

    A training takes its calibration rows out first and its validation rows of the rest, so with
    both shares these are the validation rows. Of a `calibration_file` nothing is found.
    """
    if not validation_share:
        return hold_out(rows, calibration_share, seed)[1] if calibration_share else rows
    if calibration_share:
        rows = hold_out(rows, calibration_share, seed)[0]
    return hold_out(rows, validation_share, seed)[1]


__all__ = [
    "DataArguments",
    "held_out_rows",
    "hold_out",
    "leave_out_phrases",
    "load_data",
    "read_labelled_texts",
]
