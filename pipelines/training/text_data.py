"""Which texts a reader is trained on, which are held out, and how they are found again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, List, concatenate_datasets

from ...data.labelled.digests import digest_text
from ...data.labelled.files import LONE, read_labelled_texts, read_texts, text_lines
from ...data.labelled.phrases import leave_out_phrases
from ...data.labelled.splits import VALIDATION_SHARE, hold_out, without_texts
from ...models.rows_seen import RowsSeen, Shown, load_rows_seen


@dataclass
class DataArguments:
    """Texts to train on, and what is held out of them."""

    train_file: str | None = field(
        default=None,
        metadata={"help": "See `temporal.data.labelled.files.read_labelled_texts` for formats."},
    )
    validation_file: str | None = field(
        default=None, metadata={"help": "Default: a tenth of the training file, held out."}
    )
    dataset_name: str | None = field(
        default=None,
        metadata={"help": "Instead, with --streaming: a dataset that load_dataset loads."},
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Its configuration, for load_dataset."}
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "Read training texts in order, of a dataset or a table of any size, and hold "
            "only a buffer of them."
        },
    )
    shuffle_buffer_size: int = field(
        default=10_000,
        metadata={"help": "With --streaming: texts that are held, and shuffled among each other."},
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
    group_column: str | None = field(
        default=None,
        metadata={"help": "Hold out the rows of a group together: the column with its name."},
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
            "temporal calibrate, which finds the same rows by the same share."
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
        if (self.train_file is None) == (self.dataset_name is None):
            raise ValueError("give one of --train_file and --dataset_name")
        if self.dataset_name is not None and not self.streaming:
            raise ValueError(
                f"--dataset_name ({self.dataset_name}) is read with --streaming; to hold all texts "
                "in memory give a file of them by --train_file"
            )
        if self.shuffle_buffer_size < 1:
            raise ValueError(f"--shuffle_buffer_size ({self.shuffle_buffer_size}) must be >= 1")
        if self.train_on_held_out and self.validation_file:
            raise ValueError(
                f"--validation_file ({self.validation_file}) must be left out with "
                "--train_on_held_out: what is held out is then a tenth of the training file"
            )


def load_data(data: DataArguments, seed: int) -> tuple[Dataset, Dataset]:
    """Training and validation rows with the columns `text` and `label`.

    What is held out of the training file is not trained on in any file, word for word.
    """
    assert data.train_file is not None
    columns = (data.text_column, data.label_column)
    train = read_labelled_texts(
        data.train_file,
        *columns,
        phrases=data.train_phrases,
        block_column=data.block_column,
        group_column=data.group_column,
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
    kept = ["text", "label", *(["group"] if data.group_column else [])]
    extra = _extra_rows(data, train.select_columns(kept), validation)
    if extra:
        train = concatenate_datasets([train.select_columns(kept), *extra])
    if not data.validation_file:
        held_out.update(validation["text"])
    train = without_texts(train, held_out)
    if data.max_train_samples:
        train = train.shuffle(seed=seed).select(range(min(data.max_train_samples, len(train))))
    if data.max_eval_samples:
        validation = validation.select(range(min(data.max_eval_samples, len(validation))))
    _check_labels(data, train, validation)
    return train, validation


def _extra_rows(data: DataArguments, train: Dataset, validation: Dataset) -> list[Dataset]:
    """The rows of the other files to train on, with the columns and the labels of `train`."""
    extra = [
        read_labelled_texts(
            path,
            data.text_column,
            data.label_column,
            phrases=True,
            group_column=data.group_column,
        ).select_columns(train.column_names)
        for path in data.extra_train_files
    ]
    for path in data.unlabelled_files:
        texts = text_lines(path)
        empty = {name: [None] * len(texts) for name in train.column_names[1:]}
        extra.append(Dataset.from_dict({"text": texts, **empty}).cast(train.features))
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
    return extra


def _check_labels(data: DataArguments, train: Dataset, validation: Dataset) -> None:
    """Raise ValueError where rows are validated by a label that nothing is trained on."""
    if not (data.regression or isinstance(train.features["label"], List)):
        strange = sorted({str(label) for label in set(validation["label"]) - set(train["label"])})
        if strange:
            raise ValueError(
                f"labels {strange[:5]} occur in what is validated on "
                f"({data.validation_file or 'held out'}) and must also occur in what is trained "
                f"on ({data.train_file}): spell them alike, or leave these rows out"
            )


def _with_probabilities(rows: Dataset, names: list) -> Dataset:
    """Rows whose label is a name, with 1 for it and 0 for the other names instead."""
    labels = [[float(label == name) for name in names] for label in rows["label"]]
    rest = {name: rows[name] for name in rows.column_names if name != "label"}
    return Dataset.from_dict({"text": rows["text"], "label": labels, **rest})


def rows_shown(
    data: DataArguments, seed: int, train: Any, validation: Dataset, *, selects: bool
) -> RowsSeen:
    """What a training of `load_data`'s rows shows a reader, to be saved with it.

    Args:
        data, seed: of the split.
        train, validation: what `load_data` or `load_streamed` gave.
        selects: the checkpoint that is kept is picked by the validation rows.
    """
    held = {
        "calibration_share": data.calibration_share or None,
        "calibration_file": data.calibration_file and Path(data.calibration_file).name,
        "validation_share": None if data.validation_file or data.streaming else VALIDATION_SHARE,
        "block_column": data.block_column,
        "group_column": data.group_column,
        "train_phrases": data.train_phrases or None,
        "train_on_held_out": data.train_on_held_out or None,
    }
    source = data.train_file or str(data.dataset_name)
    split: dict[str, Any] = {"file": Path(source).name, "seed": seed}
    split.update({name: value for name, value in held.items() if value is not None})
    groups = set(train["group"]) if data.group_column else set()
    groups = {name for name in groups if name is not None and not name.startswith(LONE)}
    learned = Shown(
        rows=frozenset(train.digests if data.streaming else map(digest_text, train["text"])),
        groups=frozenset(map(digest_text, groups)),
        splits=(split,),
    )
    seen = RowsSeen(shown={"training": learned})
    if selects:
        picked = frozenset(map(digest_text, validation["text"]))
        seen |= RowsSeen(shown={"selection": Shown(rows=picked, splits=(split,))})
    # What a teacher was shown before it labelled the file lies beside it (label_with_teacher.py).
    teacher = None if data.train_file is None else load_rows_seen(Path(data.train_file).parent)
    return seen if teacher is None else teacher.as_start(source) | seen
