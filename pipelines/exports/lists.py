"""Events of many videos as a table (CSV) and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

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
            times = (_plain(span.start_seconds), _plain(span.end_seconds))
            score = "" if span.score is None else _plain(span.score)
            writer.writerow((video.id, *times, span.label, score))
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
            "events": [
                {name: _plain(value) for name, value in asdict(span).items()}
                for span in video.spans
            ],
        }
        for video in videos
    ]
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _plain(value: Any) -> Any:
    """Microseconds are enough: 101.60000000000001 is 101.6."""
    return round(value, 6) if isinstance(value, float) else value
