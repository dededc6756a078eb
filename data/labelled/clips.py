"""Labelled clips: a manifest with groups, and a share of them held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .digests import digest_file
from .groups import joined
from .tables import table_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One row of a manifest."""

    path: str
    """Absolute path of the file."""
    label: int
    """Class number."""
    group: str
    """Clips of one group (a session, say) resemble each other and stay on one side of a split."""
    camera: str
    """A coarser group, for holding whole cameras out; empty without that column."""
    labels: tuple[int, ...] = ()
    """All its classes where it may have several; `label` is then the first, or -1."""
    split: str = ""
    """`"train"`, `"validation"` or `"test"`, where the data says so."""
    start_seconds: float | None = None
    """Where in the file it begins, from the first frame; None: there."""
    end_seconds: float | None = None
    """Where it ends (that frame is not in it); None: at the file's end."""

    @property
    def digest(self) -> int:
        """Of the file's bytes: copies are one clip."""
        return _digest(self.path)


_digest = lru_cache(maxsize=None)(digest_file)  # a file is read for it once


def read_clips(
    data_dir: str, manifest: str = "groups.csv", label_column: str = "label"
) -> tuple[list[Clip], list[str]]:
    """Read a manifest with the columns path, label, group and perhaps camera.

    Args:
        data_dir: what its paths are relative to.
        manifest: a CSV file in there.
        label_column: its column of labels.

    Returns:
        The clips, and the class names in the order of their numbers.

    Raises:
        ValueError: a column is missing, or a row is broken.
    """
    rows = table_rows(str(Path(data_dir, manifest)), "path", label_column, "group")
    names = sorted({row[label_column] for row in rows})
    clips = [
        Clip(
            path=str(Path(data_dir, row["path"]).resolve()),
            label=names.index(row[label_column]),
            group=row["group"],
            camera=row.get("camera", ""),
        )
        for row in rows
    ]
    return clips, names


def hold_out_clips(clips: Sequence[Clip], share: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Split clips into the rest and a held-out share, whole groups and copies together."""
    if not 0 < share < 1:
        raise ValueError(f"share ({share}) must be between 0 and 1")
    groups = joined([clip.group for clip in clips], [clip.digest for clip in clips])
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    held = set(names[: int(share * len(names))])
    pairs = list(zip(clips, groups, strict=True))
    return (
        [clip for clip, group in pairs if group not in held],
        [clip for clip, group in pairs if group in held],
    )
