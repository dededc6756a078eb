"""`Kind`: one sort of file, how to make it, and what must come of reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .making import FRAMES


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A sort of file."""

    name: str
    """Also the name of the file, with its ending."""

    make: Callable[[Path], object]
    """Writes the file to the path it gets; may write others beside it."""

    frames: int | None = FRAMES
    """How many frames the index must name; None where damage decides."""

    first: int = 0
    """The number on the first frame; -1 where the oracle alone knows."""

    reason: str | None = None
    """Why it cannot be opened, or, where frames are named, why some cannot be read."""

    at_least: int = 0
    """How many frames must be had although `reason` holds for others."""

    opens: bool = True
    """Whether opening succeeds."""

    @property
    def is_exact(self) -> bool:
        """Whether every frame must be had."""
        return self.opens and self.reason is None


def refused(name: str, reason: str, make: Callable[[Path], object]) -> Kind:
    """A file that must not open."""
    return Kind(name=name, make=make, reason=reason, opens=False, frames=None)


def damaged(
    name: str, reason: str, at_least: int, make: Callable[[Path], object], *, first: int = 0
) -> Kind:
    """A file that opens, of which some frames can be had and the others are refused."""
    return Kind(name=name, make=make, reason=reason, at_least=at_least, frames=None, first=first)
