"""`ReadingActor`: a pipeline in a process of its own, which reads groups and gives their rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..jobs.groups import joins_groups
from ..jobs.table.rows import readings_and_rows
from ..jobs.table.targets import label_names
from ..reading import Reading
from ..tasks.registry import record_of
from .own_pipeline import OwnPipeline

if TYPE_CHECKING:
    from ...data.collection import Item

Made: TypeAlias = list[tuple[Reading, dict[str, Any]]]
"""Readings, each with its row."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a pipeline tells of itself."""

    task: str
    """Its name in the registry."""

    model_name: str
    """Name, path or hub id of the model."""

    id2label: Mapping[int, str]
    """Names of the classes; empty where it has none."""

    batch_size: int | None
    """Rows that a stage computes at once; None: it has no batches."""

    joins_groups: bool
    """Whether several groups are read in one call, since their bits are not kept anyway."""


class ReadingActor:
    """What Ray makes an actor of.

    What is wrong with its pipeline is told to whoever asks it for something first.

    Args:
        made_by: Arguments of `pipeline`.
        folder: What relative paths are relative to, if it is there on this machine.
    """

    def __init__(self, made_by: dict[str, Any], folder: str) -> None:
        self._own = OwnPipeline(made_by)
        with suppress(OSError):
            os.chdir(folder)

    def about(self) -> About:
        """What its pipeline is."""
        pipe = self._own.pipe
        return About(
            task=pipe.task,
            model_name=pipe.model_name,
            id2label=label_names(pipe),
            batch_size=getattr(pipe, "batch_size", None),
            joins_groups=joins_groups(pipe),
        )

    def read(self, groups: Sequence[Sequence[Item]], *, keep_text: bool) -> Made:
        """Read groups, each apart from the others unless the pipeline joins them."""
        pipe = self._own.pipe
        record = record_of(pipe.task)
        if joins_groups(pipe):
            groups = [[item for group in groups for item in group]]
        return [
            pair
            for group in groups
            for pair in readings_and_rows(
                pipe,
                group,
                record=record,
                order="completed",
                keep_text=keep_text,
                is_video=record.kind == "video",
            )
        ]
