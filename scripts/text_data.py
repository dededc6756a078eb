"""Which texts a reader is trained on, which are held out, and how they are found again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from datasets import Dataset, List, concatenate_datasets
from text_files import read_labelled_texts, read_lines, read_texts

VALIDATION_SHARE = 0.1
"""Of what is left after calibration, where no file to validate on is given."""


@dataclass
class DataArguments:
    """Texts to train on, and what is held out of them."""

    train_file: str = field(
        metadata={"help": "See `read_labelled_texts` in scripts/text_files.py for the formats."}
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
        metadata={
            "help": "Do not train on phrases that occur in this file's texts: in its --text_column "
            "if it has that, else in `text`."
        },
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
    """Training and validation rows with the columns `text` and `label`.

    What is held out of the training file is not trained on in any file, word for word.
    """
    columns = (data.text_column, data.label_column)
    train = read_labelled_texts(
        data.train_file, *columns, phrases=data.train_phrases, block_column=data.block_column
    )
    if data.leave_out_file:
        train = leave_out_phrases(train, read_texts(data.leave_out_file, data.text_column))
    held_out: set[str] = set()  # texts of the training file
    if data.calibration_file:
        texts = read_labelled_texts(data.calibration_file, *columns)
        train = leave_out_phrases(train, hold_out(texts, data.calibration_share, seed)[1]["text"])
    elif data.calibration_share:
        train, calibration = hold_out(train, data.calibration_share, seed)
        held_out.update(calibration["text"])
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
        texts = read_lines(path)
        rows = Dataset.from_dict({"text": texts, "label": [None] * len(texts)})
        extra.append(rows.cast(train.select_columns(["text", "label"]).features))
    if isinstance(train.features["label"], List):  # class probabilities
        names = sorted(set(validation["label"]))
        count = len(train[0]["label"])
        if len(names) != count:
            raise ValueError(
                f"--train_file ({data.train_file}) has {count} class probabilities a text, and "
                f"--validation_file ({data.validation_file}) the labels {names[:5]}: they must be "
                "as many; give the validation file that was written beside it"
            )
        extra = [_with_probabilities(rows, names) for rows in extra]
    if extra:
        train = concatenate_datasets([train.select_columns(["text", "label"]), *extra])
    if not data.validation_file:
        held_out.update(validation["text"])
    train = without_texts(train, held_out)
    if data.max_train_samples:
        train = train.shuffle(seed=seed).select(range(min(data.max_train_samples, len(train))))
    if data.max_eval_samples:
        validation = validation.select(range(min(data.max_eval_samples, len(validation))))
    if not (data.regression or isinstance(train.features["label"], List)):
        strange = sorted({str(label) for label in set(validation["label"]) - set(train["label"])})
        if strange:
            raise ValueError(
                f"labels {strange[:5]} occur in what is validated on "
                f"({data.validation_file or 'held out'}) and must also occur in what is trained "
                f"on ({data.train_file}): spell them alike, or leave these rows out"
            )
    return train, validation


def _with_probabilities(rows: Dataset, names: list) -> Dataset:
    """Rows whose label is a name, with 1 for it and 0 for the other names instead."""
    labels = [[float(label == name) for name in names] for label in rows["label"]]
    return Dataset.from_dict({"text": rows["text"], "label": labels})


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

    Rows of one `group` (the phrases of one sentence) fall on one side; without groups, rows of the
    same text do. With them, a text may be in a group on each side, as 11 of IMDb's reviews are in
    its blocks of ids: joining such groups would make one of nearly all of a treebank's, and would
    change the split that readers were trained by. `without_texts` drops those from the rest.
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


def without_texts(rows: Dataset, texts: Iterable[str]) -> Dataset:
    """Drop the rows whose text is one of the texts: what is held out must not be seen."""
    seen = set(texts)
    kept = [k for k, text in enumerate(rows["text"]) if text not in seen]
    return rows if len(kept) == len(rows) else rows.select(kept)


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
    "without_texts",
]
