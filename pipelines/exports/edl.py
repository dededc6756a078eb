"""An edit decision list (CMX3600): the events one after the other, as a cutting room cuts them."""

from __future__ import annotations

from fractions import Fraction

from .span import VideoSpans, one_line, title_of
from .timecode import drops_frames, exact_rate, frame_at, timecode

_MOST_EVENTS = 999  # their numbers have three digits
_HOUR = 3600  # a reel begins at 01:00:00:00


def edl(
    video: VideoSpans,
    *,
    frame_rate: float | str | Fraction | None = None,
    drop_frame: bool | None = None,
) -> str:
    """Write the events of a video as an EDL: from where to where in the source, and in a new reel.

    The end of an event is the first frame that is not in it. An event has at least one frame.
    Labels stand in comments, on one line.

    Args:
        video: what happens in it.
        frame_rate: of the source; None: as its reading says.
        drop_frame: write drop-frame timecodes; None: of 29.97 and 59.94 frames a second.

    Raises:
        ValueError: the rate is not known, or timecodes cannot count it; there are too many events.
    """
    if frame_rate is None and video.frames_per_second is None:
        raise ValueError(f"frame_rate must be given: nothing says it of {video.id}")
    rate = exact_rate(video.frames_per_second if frame_rate is None else frame_rate)  # type: ignore[arg-type]  # one is there
    drops = drops_frames(rate) if drop_frame is None else drop_frame
    if drops and not drops_frames(rate):
        raise ValueError(f"drop_frame is for 29.97 and 59.94 frames a second, not for {rate}")
    if len(video.spans) > _MOST_EVENTS:
        raise ValueError(
            f"{video.id} has {len(video.spans)} events, and an EDL holds {_MOST_EVENTS}: leave out "
            "those of low scores, or take another format"
        )
    title = title_of(video)
    lines = [f"TITLE: {title}", f"FCM: {'DROP FRAME' if drops else 'NON-DROP FRAME'}", ""]
    at = _first_of_reel(round(rate), drops)
    for number, span in enumerate(video.spans, start=1):
        first = frame_at(span.start_seconds, rate)
        count = max(1, frame_at(span.end_seconds, rate) - first)
        codes = [
            timecode(frame, rate, drop_frame=drops)
            for frame in (first, first + count, at, at + count)
        ]
        lines += [
            f"{number:03}  AX       V     C        {' '.join(codes)}",
            f"* FROM CLIP NAME: {title}",
            f"* COMMENT: {one_line(span.label)}",
        ]
        lines += [] if span.score is None else [f"* SCORE: {span.score:.4f}"]
        lines.append("")
        at += count
    return "\n".join(lines)


def _first_of_reel(base: int, drops: bool) -> int:
    """The frame whose timecode is one hour."""
    return _HOUR * base - (54 * (base // 15) if drops else 0)
