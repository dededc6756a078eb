"""Labelled clips: a manifest with groups, and a share of them held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..decode.errors import VideoError
from ..decode.remote.file import open_remote
from ..decode.remote.urls import check_permission, is_url
from ..loading.row_places import Place, content_of
from ..part import VideoPart
from ..tables.times import Part, is_whole, name_of_part
from ..video import Video
from .digests import digest_bytes, digest_file, digest_open, digest_part, digest_text
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
    def part(self) -> Part:
        """Where in the file it begins and ends."""
        return self.start_seconds, self.end_seconds

    @property
    def name(self) -> str:
        """How it is called: its path, and which part of it, as in a media fragment's URI."""
        return name_of_part(self.path, self.part)

    @property
    def digest(self) -> int:
        """Of the file's bytes, and of the part: copies are one clip, two parts of a file two."""
        return digest_part(self.file_digest, self.part)

    @property
    def file_digest(self) -> int:
        """Of the file's bytes."""
        if self.known_digest is not None:
            return self.known_digest
        return _digest(self.place or self.path, self.allow_remote)

    def input(self, **options: Any) -> Any:
        """What a pipeline takes of it: a path, bytes, or a `VideoPart` of these.

        Args:
            **options: of `Video`, for a part.

        Raises:
            OSError, VideoError: what holds its bytes cannot be read.
        """
        content = content_of(self.place or self.path, self.allow_remote)
        return content if is_whole(self.part) else VideoPart(content, *self.part, **options)

    def open(self, *, id: str | None = None, num_threads: int | None = None) -> Video | VideoPart:
        """Its video or its part of one, which is opened when it is first read.

        Raises:
            OSError, VideoError: what holds its bytes cannot be read.
        """
        options: Any = {"num_threads": num_threads, "allow_remote": self.allow_remote}
        options["id"] = id or self.name
        if is_whole(self.part):
            return Video(content_of(self.place or self.path, self.allow_remote), **options)
        made: VideoPart = self.input(**options)
        return made


def file_digest_of(clip: Clip) -> int:
    """By what clips are kept together: of one file are its copies and its parts.

    Of a clip that cannot be read, which its reading will say, there are none.
    """
    try:
        return clip.file_digest
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
    """Split clips into the rest and a held-out share.

    Whole groups, copies of a file and parts of one stay together.
    """
    if not 0 < share < 1:
        raise ValueError(f"share ({share}) must be between 0 and 1")
    groups = joined([clip.group for clip in clips], list(map(file_digest_of, clips)))
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    held = set(names[: int(share * len(names))])
    pairs = list(zip(clips, groups, strict=True))
    return (
        [clip for clip, group in pairs if group not in held],
        [clip for clip, group in pairs if group in held],
    )
