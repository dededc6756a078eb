"""Where a row's video lies, for who comes back to it: a file, a part of an archive, a row.

What is remembered of a row is small; its bytes are read when they are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..decode.errors import VideoError
from ..decode.remote.urls import AllowRemote
from .row import Member
from .tar_shards import read_member


@dataclass(frozen=True, slots=True, eq=False)
class RowOf:
    """A row of a dataset."""

    rows: Any
    """Gives the row of a number: `DatasetClips`, or a `Reel`."""

    number: int


Place = str | Member | RowOf


def content_of(place: Place, allow_remote: AllowRemote = False) -> str | bytes:
    """What `Video` takes of a place: a path or URL, or the video's bytes.

    Raises:
        OSError, VideoError: It cannot be had.
    """
    if isinstance(place, RowOf):
        try:
            row = place.rows[place.number]
        except IndexError as error:
            raise VideoError("not_found", str(error)) from error
        if row.error is not None:
            raise VideoError("not_found", f"{row.id}: {row.error.message}")
        source = row.source
    else:
        source = place
    assert source is not None  # a row without an error has one
    return read_member(source, allow_remote) if isinstance(source, Member) else source
