"""Rows that cannot be used: left out, told, counted; and refused where they are too many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

MOST = 0.25
"""The largest share of rows that may be left out: what the others say of the data is little then.
(`temporal benchmark` only measures, and says what it left out.)"""
FEW = 2
"""So many may be left out of any number, unless none is left."""
_TOLD = 20
"""Rows at most of which it is said why they are left out."""

Faults = Sequence[tuple[str, str]]
"""Where a row is, and what is wrong with it."""


class TooManyFaulty(ValueError):
    """Too many rows cannot be used."""


def are_too_many(faulty: int, total: int) -> bool:
    """Whether so many of the rows cannot be used that the others are not to be judged by."""
    return faulty > 0 and (faulty == total or faulty > max(FEW, MOST * total))


def check_share(faults: Faults, total: int, source: str) -> None:
    """Refuse rows of which too many cannot be used.

    Args:
        faults: of those.
        total: rows in all.
        source: where they are from.

    Raises:
        TooManyFaulty: `are_too_many`.
    """
    if are_too_many(len(faults), total):
        where, why = faults[0]
        raise TooManyFaulty(
            f"{len(faults)} of {total} rows of {source} cannot be used, and at most {MOST:.0%} may "
            f"be left out: mend them, or take them out. The first is {where[:300]}: {why}"
        )


def tell(faults: Faults, total: int) -> None:
    """Say on stderr which rows are left out, and how many."""
    for where, why in faults[:_TOLD]:
        print(f"left out {where[:300]}: {why}", file=sys.stderr)
    if len(faults) > _TOLD:
        print(f"left out {len(faults) - _TOLD} more", file=sys.stderr)
    if faults:
        print(f"Left out {len(faults)} of {total} rows that cannot be used.", file=sys.stderr)


def recorded(faults: Faults) -> dict[str, Any]:
    """`faulty` of a report, where there are such rows."""
    return {"faulty": [{"id": where, "message": why} for where, why in faults]} if faults else {}


def check_read(read: int, total: int) -> int:
    """The number of inputs that could not be read, which is told; refused where it is too large.

    Args:
        read: inputs that could be.
        total: inputs.

    Raises:
        TooManyFaulty: `are_too_many`.
    """
    unread = total - read
    if are_too_many(unread, total):
        raise TooManyFaulty(
            f"{unread} of {total} inputs cannot be read, and at most {MOST:.0%} may be left out: "
            "mend them, or take them out"
        )
    if unread:
        print(f"Left out {unread} of {total} inputs that cannot be read.", file=sys.stderr)
    return unread
