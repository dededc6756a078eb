"""Labelled clips as a training takes them: all that `load_clips` finds, known by their content.

A row is some hundred bytes, whatever its video is: of a stream, too, which is gone through once for
its labels and digests and again whenever videos are wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..decode.remote.urls import AllowRemote, is_url
from ..loading.clips import ClipList
from ..loading.loading import find_clips
from ..loading.reel import Reel
from ..loading.row import CALLED, ClipRow, Member, class_order
from ..loading.row_places import RowOf
from ..loading.split_names import ALL, split_name
from ..names.unique_names import UniqueNames
from .clips import Clip
from .digests import digest_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedClips:
    """Clips with their classes."""

    clips: list[Clip]
    names: list[str]
    """Of the classes, in the order of their numbers."""
    several: bool
    """Whether a clip may have several labels."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Rows that are no clip, and why."""


def list_clips(
    data: Any,
    *,
    manifest: str | None = None,
    video_column: str | None = None,
    label_column: str = "label",
    several: bool | None = None,
    allow_remote: AllowRemote = False,
    limit: int | None = None,
    called: Mapping[str, str] = CALLED,
) -> ListedClips:
    """List labelled clips, of all splits.

    Args:
        data: what `load_clips` takes; or a dict of datasets of `datasets`, by their splits.
        manifest: a table in the folder that `data` is; None: `groups.csv` where there is one.
        video_column, label_column: what a table or dataset calls them, see `load_clips`.
        several: whether clips have several labels, lists of them or `a|b`; None: where a label is
            a list.
        allow_remote: which URLs may be read, as for `Video`.
        limit: of a stream, go through so many rows.
        called: how messages call `video_column` and `label_column`, for who takes them by other
            names.

    Raises:
        ValueError: there are no clips, or clips have several labels and must not.
        FileNotFoundError: there is nothing of that name.
    """
    parts = data if isinstance(data, dict) else {"": data}
    options: dict[str, Any] = {
        "video_column": video_column,
        "label_column": label_column,
        "several_labels": bool(several),
        "allow_remote": allow_remote,
        "called": called,
    }
    remote = allow_remote if isinstance(allow_remote, bool) else tuple(allow_remote)
    found: list[tuple[Clip, tuple[str, ...]]] = []
    left_out: dict[str, str] = {}
    broken = UniqueNames()  # each row is counted, whatever it is called
    names: list[str] | None = None
    is_multilabel = False
    for split, part in parts.items():
        clips = find_clips(_source(part, manifest), split=ALL, **options)
        is_multilabel |= clips.is_multilabel
        # Those that occur are put in order at the end: another part may have more.
        names = names or (None if isinstance(clips, ClipList) else clips.class_names)
        for clip, labels in _clips(clips, split, left_out, broken, limit):
            found.append((replace(clip, allow_remote=remote), labels))
    if not found:
        why = next((f": {id}: {message}" for id, message in left_out.items()), "")
        raise ValueError(f"{_name(data)} holds no labelled video that can be read{why}")
    if several is False and is_multilabel:
        raise ValueError(f"{_name(data)} has lists of labels, and clips were to have one each")
    occurring = {label for _, labels in found for label in labels}
    if names is None or not occurring <= set(names):
        names = class_order(list(occurring))
    numbers = {name: number for number, name in enumerate(names)}
    return ListedClips(
        clips=[
            _numbered(clip, [numbers[label] for label in labels], is_multilabel)
            for clip, labels in found
        ],
        names=names,
        several=is_multilabel,
        left_out=left_out,
    )


def _source(data: Any, manifest: str | None) -> Any:
    return data if manifest is None else Path(data, manifest)


def _name(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else type(data).__name__


def _clips(
    clips: Any, split: str, left_out: dict[str, str], broken: UniqueNames, limit: int | None
) -> Iterator[tuple[Clip, tuple[str, ...]]]:
    """Each clip with the names of its classes."""
    is_stream = not hasattr(clips, "__len__")
    rows: Any = Reel(clips.rows) if is_stream else clips
    met: Counter[str] = Counter()
    for number, row in enumerate(rows if is_stream else map(clips.__getitem__, range(len(clips)))):
        if is_stream and limit is not None and number >= limit:
            return
        if row.error is not None:
            left_out[broken.take(row.id)] = row.error.message
            continue
        name, own = row.id, dict[str, Any]()
        if not isinstance(row.source, str):
            met[name] += 1  # names in a dataset need not differ, and bytes are told by them
            name = name if met[name] == 1 else f"{name}#{met[name]}"
        if isinstance(row.source, str):
            name = row.source if is_url(row.source) else str(Path(row.source).resolve())
        elif isinstance(row.source, Member):
            own = {"place": row.source}
        elif row.source is not None:
            own = {"place": RowOf(rows, number), "known_digest": digest_bytes(row.source)}
        yield _clip(row, name, row.split or split, own), _names(row)


def _names(row: ClipRow) -> tuple[str, ...]:
    assert row.label is not None
    return (row.label,) if isinstance(row.label, str) else row.label


def _clip(row: ClipRow, name: str, split: str, own: dict[str, Any]) -> Clip:
    return Clip(
        path=name,
        label=-1,
        group=row.group or "",
        camera=row.camera or "",
        split=split_name(split),
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
        **own,
    )


def _numbered(clip: Clip, labels: Sequence[int], several: bool) -> Clip:
    first = labels[0] if labels else -1
    return replace(clip, label=first, labels=tuple(labels) if several else ())
