"""Labelled clips: a manifest with groups, and a share of them held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ..decode.errors import VideoError
from ..decode.remote.file import open_remote
from ..decode.remote.urls import check_permission, is_url
from ..loading.row_places import Place, content_of
from ..video import Video
from .digests import digest_bytes, digest_file, digest_open, digest_text
from .groups import joined


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A labelled video, or a part of one."""

    path: str
    """Absolute path of the file, or URL; of what lies elsewhere, its name there."""
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
    """Where in the file it begins, on the clock of its index; None: there."""
    end_seconds: float | None = None
    """Where it ends (what is shown from then on is not in it); None: at the file's end."""
    place: Place | None = None
    """Where its bytes are; None: in a file at the path."""
    known_digest: int | None = None
    """The digest, where it was found with the clip, as in a stream."""
    allow_remote: bool | tuple[str, ...] = False
    """Which URLs may be read, as for `Video`."""

    @property
    def digest(self) -> int:
        """Of the file's bytes: copies are one clip."""
        if self.known_digest is not None:
            return self.known_digest
        return _digest(self.place or self.path, self.allow_remote)

    def open(self, *, id: str | None = None, num_threads: int | None = None) -> Video:
        """Its video, which is opened when it is first read.

        Raises:
            OSError, VideoError: what holds its bytes cannot be read.
        """
        content = content_of(self.place or self.path, self.allow_remote)
        name, remote = id or self.path, self.allow_remote
        return Video(content, id=name, num_threads=num_threads, allow_remote=remote)


def _digest_or_name(clip: Clip) -> int:
    """Of a clip that cannot be read, which its reading will say, there are no copies."""
    try:
        return clip.digest
    except (OSError, VideoError):
        return digest_text(clip.path)


@cache  # a file is read for it once
def _digest(place: Place, allow_remote: bool | tuple[str, ...]) -> int:
    content = content_of(place, allow_remote)
    if isinstance(content, bytes):
        return digest_bytes(content)
    if is_url(content):
        with open_remote(content, check_permission(allow_remote)) as file:
            return digest_open(file)
    return digest_file(content)


def hold_out_clips(clips: Sequence[Clip], share: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Split clips into the rest and a held-out share, whole groups and copies together."""
    if not 0 < share < 1:
        raise ValueError(f"share ({share}) must be between 0 and 1")
    groups = joined([clip.group for clip in clips], list(map(_digest_or_name, clips)))
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    held = set(names[: int(share * len(names))])
    pairs = list(zip(clips, groups, strict=True))
    return (
        [clip for clip, group in pairs if group not in held],
        [clip for clip, group in pairs if group in held],
    )
