"""`select` for a video that is not open: what pipelines take, opened, looked at and closed."""

from __future__ import annotations

from typing import Any, cast

from temporal.data import Video, VideoError, VideoPart
from temporal.data.borrowed import is_open_source
from temporal.data.decode.errors import REASONS, Reason
from temporal.data.decode.files.container import MAX_PIXELS
from temporal.data.decode.remote.urls import AllowRemote
from temporal.models.selection.select import select as select_frames
from temporal.models.selection.selection import Selection

from .inputs import how_many, items_of
from .tasks.video_inputs import with_frames


def select(
    video: Any,
    num_frames: int = 16,
    *,
    allow_remote: AllowRemote = False,
    max_pixels: int = MAX_PIXELS,
    **options: Any,
) -> Selection:
    """Choose frames of a video, and read them: `temporal.select` for what is not open yet.

    Args:
        video: One video, as pipelines take it: a path, a URL, bytes, an open file, frames, a row of
            a table (with times, that part of it), a `VideoPart`, or an open `Video`, which stays
            open.
        num_frames: How many; a shorter video gives all it has.
        allow_remote, max_pixels: As for `Video`, of what is not open.
        **options: Of `temporal.select`: `by=`, `query=`, `model=`, `size=` ...

    Returns:
        The frames, with their times, scores and what they cost.

    Raises:
        TypeError: `video` is none, or several.
        ValueError: It is a row that cannot be read, or an option is wrong: see `temporal.select`.
        VideoError: The video cannot be opened, or none of the frames can be read.

    Example:
        >>> select("clip.mp4", 16, by="motion").timestamps_seconds
    """
    (given, *others) = with_frames([video])
    if others or how_many(given, "video") != "one":
        raise TypeError(
            f"video ({str(video)[:200]}) must be one: call this for each of several; "
            "temporal.data.collect lists them"
        )
    (item,) = items_of([given], "video")
    if (fault := item.error) is not None:
        if fault.reason in REASONS:
            raise VideoError(cast(Reason, fault.reason), fault.message)
        raise ValueError(f"video ({item.id}): {fault.message}")
    how: Any = {"id": item.id, "allow_remote": allow_remote, "max_pixels": max_pixels}
    if isinstance(item.value, VideoPart):
        source: Any = item.value.opened_by(Video, **how)
    elif is_open_source(item.value):
        return select_frames(item.value, num_frames, **options)
    else:
        source = Video(item.value, **how)
    with source:
        return select_frames(source, num_frames, **options)
