"""What a query found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a query found, and what finding it took."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """The best first: `video`, `seconds` (of its best frame), `score` (a cosine), and `error`
    where it could not be read once more."""
    videos_read: int = 0
    """Of which more frames were read."""
    frames_read: int = 0
    frames_decoded: int = 0
