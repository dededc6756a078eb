"""Events of many videos as a table (CSV) and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from .span import VideoSpans

_COLUMNS = ("id", "start_seconds", "end_seconds", "label", "score")


def csv_table(videos: Sequence[VideoSpans]) -> str:
    """Write a line for each event: id, start_seconds, end_seconds, label, score.

    Commas, quotes and line ends in labels are quoted (RFC 4180). Videos without events have none.

    Args:
        videos: in the order of the lines.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for video in videos:
        for span in video.spans:
            score = "" if span.score is None else span.score
            writer.writerow((video.id, span.start_seconds, span.end_seconds, span.label, score))
    return text.getvalue()


def json_list(videos: Sequence[VideoSpans]) -> str:
    """Write a list of videos, each with its `status`, its `error` and its `events`.

    Args:
        videos: in the order of the list.
    """
    found = [
        {
            "id": video.id,
            **video.extra,
            "status": video.status,
            "error": video.error,
            "events": [asdict(span) for span in video.spans],
        }
        for video in videos
    ]
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"
