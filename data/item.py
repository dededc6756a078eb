"""`Item` and `InputError`: one entry of a work list, good or bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["video", "text"]

InputReason = Literal[
    "not_found",
    "not_regular_file",
    "path_not_allowed",
    "bad_row",
    "bad_table",
    "bad_archive",
    "not_text",
    "not_media",
    "duplicate_id",
    "unsupported_input",
]

NOTHING_THERE: frozenset[InputReason] = frozenset(
    {
        "bad_archive",
        "bad_table",
        "not_found",
        "not_regular_file",
        "path_not_allowed",
        "unsupported_input",
    }
)
"""Reasons of what was named as a whole, rather than of one of its rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputError:
    """Why an entry of the input has no value."""

    reason: InputReason
    """One word of a closed list."""

    message: str
    """A sentence for a person."""

    line: int | None = None
    """Line of the file, from 1; None where lines mean nothing."""

    byte_offset: int | None = None
    """Where the line begins in the file (JSON lines only)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One input of a collection. Exactly one of `value` and `error` is set."""

    id: str
    """Unique in the collection: the id column, the path, or `kind-000042` by position."""

    value: Any = None
    """What `Video` or `Document` takes: a path, bytes, an open file or a member of an archive; a
    `VideoPart`; or the text, or a pair of texts as `{"text": ..., "text_pair": ...}`."""

    error: InputError | None = None
    """Why there is no value."""

    extra: Mapping[str, Any] = field(default_factory=dict)
    """Other columns that came along (`label`)."""


_set_id, _set_value, _set_error, _set_extra = (
    getattr(Item, name).__set__ for name in ("id", "value", "error", "extra")
)


def new_item(id: str, value: Any, error: InputError | None, extra: Mapping[str, Any]) -> Item:
    """`Item(...)` in half of the time: one that is frozen looks up how to set each field."""
    item = object.__new__(Item)
    _set_id(item, id)
    _set_value(item, value)
    _set_error(item, error)
    _set_extra(item, extra)
    return item


@dataclass(kw_only=True, slots=True)  # one that is frozen takes twice as long to make
class Entry:
    """An item before it has its unique id (internal)."""

    id: str | None = None
    repeats: bool = False  # the id may repeat: nobody said that it names the input
    value: Any = None
    error: InputError | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
