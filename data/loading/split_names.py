"""Names of splits: `val`, `dev` and `validation` are one."""

from __future__ import annotations

ALL = "all"
"""Asks for the rows of all splits, as in `datasets`."""

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names that people give to splits, and what they are here."""


def split_name(text: str) -> str:
    """A split by one of the names that people give it; others stay as they are."""
    return SPLITS.get(text.strip().lower(), text.strip())


def is_wanted(own: str | None, wanted: str | None) -> bool:
    """Whether a row of a split is among those that were asked for."""
    if own is None or wanted in (None, ALL):
        return True
    return split_name(own) == split_name(wanted)
