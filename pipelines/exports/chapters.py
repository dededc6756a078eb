"""Events as chapters: FFmpeg's metadata files, and Matroska's XML."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from .span import VideoSpans, title_of

_SPECIAL = re.compile(r"([=;#\\\n\r])")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def ffmetadata(video: VideoSpans) -> str:
    r"""Write the events of a video as FFmpeg's metadata.

    `ffmpeg -i a.mp4 -i a.ffmeta -map_metadata 1 -map_chapters 1 -c copy b.mp4` puts them in. In
    labels, `=`, `;`, `#`, `\` and line ends have a backslash before them.

    Args:
        video: what happens in it.
    """
    lines = [";FFMETADATA1", f"title={_escaped(title_of(video))}"]
    for span in video.spans:
        start = round(span.start_seconds * 1000)
        end = max(start + 1, round(span.end_seconds * 1000))
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={start}", f"END={end}"]
        lines.append(f"title={_escaped(span.label)}")
    return "\n".join(lines) + "\n"


def matroska_chapters(video: VideoSpans) -> str:
    """Write the events of a video as Matroska's chapters, for `mkvmerge --chapters`.

    Args:
        video: what happens in it.
    """
    lines: list[str] = []
    for span in video.spans:
        label = escape(_NOT_IN_XML.sub("�", span.label), {"\r": "&#13;"})
        lines += [
            "    <ChapterAtom>",
            f"      <ChapterTimeStart>{_clock(span.start_seconds)}</ChapterTimeStart>",
            f"      <ChapterTimeEnd>{_clock(span.end_seconds)}</ChapterTimeEnd>",
            "      <ChapterDisplay>",
            f"        <ChapterString>{label}</ChapterString>",
            "        <ChapterLanguage>und</ChapterLanguage>",
            "      </ChapterDisplay>",
            "    </ChapterAtom>",
        ]
    if lines:  # an edition without a chapter is refused
        lines = ["  <EditionEntry>", *lines, "  </EditionEntry>"]
    head = ['<?xml version="1.0" encoding="UTF-8"?>', "<Chapters>"]
    return "\n".join([*head, *lines, "</Chapters>"]) + "\n"


def _escaped(text: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", text.replace("\0", "�"))
    # FFmpeg takes any backslash before a line end as one that escapes it.
    return escaped + " " if escaped.endswith("\\") else escaped


def _clock(seconds: float) -> str:
    nanoseconds = round(seconds * 1e9)
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{rest:09}"
