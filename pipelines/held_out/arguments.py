"""Which rows a reader is judged on: options of scripts and commands."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...data.labelled.files import column_names
from ...data.labelled.splits import DEFAULT_SEED, VALIDATION_SHARE
from ...models.rows_seen import load_rows_seen
from ..tasks.registry import TaskRecord, labelled_task
from .unseen import seed_of_split


@dataclass
class RowsArguments:
    """A saved reader, and the rows that it is judged on."""

    model: str = field(metadata={"help": "Folder of a saved reader."})
    data_file: str = field(
        metadata={
            "help": "Labelled texts (temporal.data.labelled.files); or videos: a folder (with "
            "--manifest, or a folder for each class in it), a table with their paths and labels, "
            "or what else temporal.data.load_clips takes, archives say."
        }
    )
    calibration_share: float | None = field(
        default=None,
        metadata={
            "help": "Use the rows that the training kept out by this share (with "
            "--validation_share: leave them out, as that training did)."
        },
    )
    validation_share: float | None = field(
        default=None,
        metadata={
            "help": f"Use the rows that finetune_text.py held out to validate: {VALIDATION_SHARE}. "
            "After a training with --calibration_share give that, too: they are of what it left."
        },
    )
    block_column: str | None = field(
        default=None, metadata={"help": "As in the training: blocks that were held out whole."}
    )
    group_column: str | None = field(
        default=None,
        metadata={
            "help": "The column that names groups, which were held out whole. Rows of a group that "
            "was trained on are refused like rows that were. Default: the training's, in files "
            "that have it."
        },
    )
    seed: int | None = field(
        default=None,
        metadata={
            "help": "Seed of the split. Default: the training's, which the reader's folder tells, "
            f"else {DEFAULT_SEED}, as of any training."
        },
    )
    leave_out_seen: bool = field(
        default=False,
        metadata={"help": "Leave out rows that the reader has seen, instead of refusing them."},
    )
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    max_samples: int | None = field(
        default=None, metadata={"help": "Use only so many rows, the first."}
    )

    def __post_init__(self) -> None:
        if self.max_samples is not None and self.max_samples < 1:
            raise ValueError(
                f"--max_samples ({self.max_samples}) must be at least 1; leave it out to use all"
            )

    def split_seed(self) -> int:
        """The seed of the split: the given one, the training's, or the default."""
        return seed_of_split(self.seed, load_rows_seen(self.model))

    def groups_by(self) -> str | None:
        """The column of groups: the given one, or the training's where the file has it."""
        if self.group_column is not None or self.block_column is not None:
            return self.group_column
        seen = load_rows_seen(self.model)
        splits = seen.of("training").splits if seen is not None else ()
        names = [split["group_column"] for split in splits[::-1] if "group_column" in split]
        there = column_names(self.data_file) if names else ()
        return next((name for name in names if name in there), None)


@dataclass
class HeldOutArguments(RowsArguments):
    """The same for any task whose answers are classes."""

    task: str = field(
        default="text",
        metadata={"help": "A task whose answers are labels; or what it reads: text or video."},
    )
    train_phrases: bool = field(
        default=False, metadata={"help": "Treebanks: the training used their phrases."}
    )
    manifest: str | None = field(
        default=None,
        metadata={"help": "Videos: a CSV file in the folder with path, label and group."},
    )
    batch_size: int | None = field(
        default=None, metadata={"help": "Rows computed at once; default: the pipeline's."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.record.kind != "video":
            if self.manifest is not None:
                raise ValueError(
                    f"--manifest ({self.manifest}) is for videos, and --task {self.task} reads "
                    f"{self.record.kind}s: leave it out, or give --task video"
                )
            return
        for name in ("validation_share", "block_column", "group_column", "train_phrases"):
            if getattr(self, name):
                raise ValueError(
                    f"--{name} ({getattr(self, name)}) is for texts; videos are grouped by the "
                    "column `group` of their --manifest"
                )

    @property
    def record(self) -> TaskRecord:
        """Of the task.

        Raises:
            ValueError: there is no such task, or its answers are no labels.
        """
        return labelled_task(self.task)
