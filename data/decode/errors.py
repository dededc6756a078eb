"""`VideoError`: why a video, or a frame of it, cannot be had."""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "not_media",
    "not_video",
    "no_video_stream",
    "truncated_header",
    "truncated",
    "corrupt",
    "bad_timestamps",
    "too_large",
    "path_not_allowed",
    "not_regular_file",
    "not_found",
    "unsupported_codec",
    "timeout",
    "worker_crashed",
    "oom",
]

OPEN_REASONS: frozenset[Reason] = frozenset(
    {
        "not_media",
        "not_video",
        "no_video_stream",
        "truncated_header",
        "too_large",
        "path_not_allowed",
        "not_regular_file",
        "not_found",
        "unsupported_codec",
    }
)
"""Of a video that cannot be opened; the others come while it is decoded."""

REASONS: frozenset[str] = frozenset(get_args(Reason))


class VideoError(Exception):
    """A video or a frame cannot be had.

    Args:
        reason: One word of the closed list `Reason`; programs branch on it.
        message: A sentence for a person.
        frames_read: Wanted frames of this read that were decoded before the fault.
    """

    reason: Reason
    """Why, as one word of a closed list."""

    frames_read: int
    """Wanted frames that were decoded before the fault."""

    def __init__(self, reason: Reason, message: str, *, frames_read: int = 0) -> None:
        assert reason in REASONS, reason
        super().__init__(message)
        self.reason = reason
        self.frames_read = frames_read

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.reason, self.args[0], self.frames_read)

    def __str__(self) -> str:
        return f"{self.reason}: {self.args[0]}"


def _rebuild(kind: type[VideoError], reason: Reason, message: str, frames_read: int) -> VideoError:
    """Unpickle: exceptions with keyword-only arguments do not pickle by themselves."""
    return kind(reason, message, frames_read=frames_read)
