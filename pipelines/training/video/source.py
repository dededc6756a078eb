"""Where finetune_video.py takes its clips from, as its options say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....data.labelled.listed_clips import ListedClips, list_clips
from ....data.loading.dataset_files import is_dataset, open_dataset

_CALLED = {"video_column": "--path_column", "label_column": "--label_column"}
"""What says which columns are read, and how it is called here."""


@dataclass
class ClipSource:
    """Labelled clips."""

    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder with a folder for each class (perhaps below train, validation and "
            "test), or with a manifest; a table (CSV, JSON, JSON lines, parquet) of paths; "
            "WebDataset archives (clips-{000..009}.tar); or what save_to_disk wrote."
        },
    )
    dataset_name: str | None = field(
        default=None,
        metadata={"help": "Instead: a dataset that load_dataset loads, with a column of videos."},
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Its configuration, for load_dataset."}
    )
    streaming: bool = field(
        default=False,
        metadata={"help": "Read a dataset in order; nothing of it is held or copied."},
    )
    manifest: str | None = field(
        default=None,
        metadata={"help": "Table in the folder. Default: groups.csv, or else the folders."},
    )
    path_column: str | None = field(
        default=None, metadata={"help": "Of videos or paths. Default: video, path or file."}
    )
    label_column: str = field(
        default="label", metadata={"help": "Of labels; lists, or a|b with --several_labels."}
    )
    several_labels: bool | None = field(
        default=None,
        metadata={"help": "Clips may have several labels. Default: where a label is a list."},
    )
    allow_remote: bool = field(
        default=False, metadata={"help": "Read https URLs, of public addresses."}
    )
    max_clips: int | None = field(
        default=None,
        metadata={"help": "Use so many, for a quick try: evenly, or of a stream the first."},
    )

    def __post_init__(self) -> None:
        if (self.data_dir is None) == (self.dataset_name is None):
            raise ValueError("give one of --data_dir and --dataset_name")
        if self.dataset_config_name is not None and self.dataset_name is None:
            raise ValueError(
                f"--dataset_config_name ({self.dataset_config_name}) is of a --dataset_name"
            )
        place = None if self.data_dir is None else Path(self.data_dir)
        if self.streaming and place is not None and not is_dataset(place, self.path_column):
            raise ValueError(
                f"--streaming is for datasets, and of --data_dir ({self.data_dir}) nothing is "
                "held but a list of its clips: leave it out"
            )

    @property
    def clip_source(self) -> str:
        """What the clips are from, in a word."""
        return self.data_dir or self.dataset_name or ""

    def listed(self) -> ListedClips:
        """All clips.

        Raises:
            ValueError, FileNotFoundError: there are none.
        """
        return list_clips(
            self._opened(),
            manifest=self.manifest,
            video_column=self.path_column,
            label_column=self.label_column,
            several=self.several_labels,
            allow_remote=self.allow_remote,
            limit=self.max_clips,
            called=_CALLED,
        )

    def _opened(self) -> Any:
        if self.data_dir is not None:
            place = Path(self.data_dir)
            if self.manifest is None and is_dataset(place, self.path_column):
                return open_dataset(place, streaming=self.streaming)
            return self.data_dir
        from datasets import load_dataset  # here: few need it

        return load_dataset(self.dataset_name, self.dataset_config_name, streaming=self.streaming)
