"""`ClipRow`: one labelled video, or a part of one, before anything of it is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..item import InputError
from ..tables.times import TIMES, part_in

CELLS = ("label", "group", "camera", "split", *TIMES)
"""What a row may say of its video."""

_WHOLE = re.compile(r"-?[0-9]+")
_WHOLE_FLOAT = re.compile(r"-?[0-9]+\.0+")

CALLED: Mapping[str, str] = {"video_column": "video_column=", "label_column": "label_column="}
"""How messages call what says which columns are read; a script has options."""

Label = str | tuple[str, ...]
"""The name of a class, or of several."""


class Member(NamedTuple):
    """A file inside of a tar archive, which is read without what lies around it."""

    archive: str
    """Path or URL of the archive."""

    offset: int
    """Where the file's bytes begin."""

    num_bytes: int
    """How many they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRow:
    """One labelled video. Exactly one of `source` and `error` is set."""

    id: str
    """Its path as written, or its name in the archive."""

    source: str | bytes | Member | None = None
    """Path, URL or bytes of the video."""

    label: Label | None = None
    """Name of its class, or names."""

    split: str | None = None
    """The split that it says it belongs to."""

    group: str | None = None
    """Clips of one group resemble each other and stay on one side of a split."""

    camera: str | None = None
    """A coarser group, for holding whole cameras out."""

    start_seconds: float | None = None
    """Where the part begins, on the clock of `VideoIndex.timestamps_seconds`; None: at once."""

    end_seconds: float | None = None
    """Where it ends; what is shown from then on is not part of it. None: with the video."""

    error: InputError | None = None
    """Why nothing can be read."""


def make_row(
    id: str, source: str | bytes | Member, cells: Mapping[str, Any], *, several: bool = False
) -> ClipRow:
    """Make the row of a video from what a table says of it; one that is wrong becomes an error.

    Args:
        id: Its name.
        source: Where it is.
        cells: Those of `CELLS` that there are, as they were written: labels are names or numbers,
            or lists of such where a clip may have several.
        several: It may: a label of one string is `a|b`, or empty.
    """
    try:
        start, end = part_in(cells)
        return ClipRow(
            id=id,
            source=source,
            label=label_names(_parts(cells.get("label")) if several else cells.get("label")),
            split=_name(cells.get("split")),
            group=_name(cells.get("group")),
            camera=_name(cells.get("camera")),
            start_seconds=start,
            end_seconds=end,
        )
    except ValueError as error:
        return bad_row(id, str(error), split=_name(cells.get("split")))


def bad_row(id: str, message: str, *, split: str | None = None) -> ClipRow:
    """The row of what a table or archive holds and nobody can read."""
    return ClipRow(id=id, split=split, error=InputError(reason="bad_row", message=message))


def label_names(value: Any) -> Label:
    """The name of a class, or of several, as two tables agree on it: 3, 3.0 and "3" are one.

    Raises:
        ValueError: It is no label.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        names = tuple(dict.fromkeys(_label(one) for one in value))
        return names
    return _label(value)


def _parts(value: Any) -> Any:
    """The labels in one cell."""
    if isinstance(value, str):
        return [part for part in value.split("|") if part.strip()]
    if value is None:
        return []
    return value if isinstance(value, Sequence) else [value]


def _label(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():  # what a column with gaps makes of numbers
        value = int(value)
    name = value.strip() if isinstance(value, str) else str(value)
    if _WHOLE_FLOAT.fullmatch(name):  # the same, written to a text file
        name = name.partition(".")[0]
    if value is None or not name:
        raise ValueError("the row has no label")
    if not isinstance(value, str | int):
        raise ValueError(f"label ({value!r}) must be a class's name or number, or a list of such")
    return name


def _name(value: Any) -> str | None:
    name = "" if value is None else str(value).strip()
    return name or None


def class_order(names: Sequence[str]) -> list[str]:
    """Distinct names in the order of their numbers: numbers by value, names by the alphabet."""
    distinct = set(names)
    if all(_WHOLE.fullmatch(name) for name in distinct):
        return sorted(distinct, key=lambda name: (int(name), name))
    return sorted(distinct)
