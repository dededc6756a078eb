"""WebVTT: events as captions, which players show while they happen."""

from __future__ import annotations

import re

from .span import VideoSpans

_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def webvtt(video: VideoSpans) -> str:
    """Write the events of a video as WebVTT, a cue for each, its label as the cue's text.

    Whatever a label holds, it is shown as it is: `&`, `<` and `>` (and with it `-->`) are escaped,
    a line end stays one, and empty lines, which would end the cue, are left out.

    Args:
        video: what happens in it.
    """
    parts = ["WEBVTT"]
    for number, span in enumerate(video.spans, start=1):
        start = round(span.start_seconds * 1000)
        end = max(start + 1, round(span.end_seconds * 1000))  # a cue ends after it starts
        parts.append(f"{number}\n{_clock(start)} --> {_clock(end)}\n{_payload(span.label)}")
    return "\n\n".join(parts) + "\n"


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


def _payload(label: str) -> str:
    text = label.replace("\0", "�").replace("&", "&amp;").replace("<", "&lt;")
    lines = _LINE_ENDS.split(text.replace(">", "&gt;"))
    return "\n".join(line for line in lines if line.strip()) or "&nbsp;"
