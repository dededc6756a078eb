"""finetune_video.py on a table of events: from its options to a saved reader and a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ....data.labelled.events import has_events, read_event_table
from ...command.options import parsed
from ...pipeline import pipeline
from .judge import judge_events
from .train import EventOptions, HeadOptions, train_events


@dataclass(kw_only=True)
class EventArguments(HeadOptions):
    """Train a reader of events from a table of video, start_seconds, end_seconds and label.

    Where the table names splits, `train` is learned from and every other one judged.
    """

    data_dir: str = field(metadata={"help": "The table, or a folder with events.csv."})
    output_dir: str = field(metadata={"help": "Where the reader is saved, in `final`."})
    videos: str | None = field(
        default=None,
        metadata={
            "help": "A table of all videos, those without events too, perhaps with split, group "
            "and camera. Default: videos.csv beside the events."
        },
    )
    reader_options: str = field(
        default="{}", metadata={"help": "JSON: fields of EventReaderConfig."}
    )


def run_on_events(words: Sequence[str]) -> dict[str, Any] | None:
    """Train as a command line says; None: it names no table of events, or a reader of clips.

    A table with times may also be one of clips that are parts of videos: `--model` says so.

    Args:
        words: of finetune_video.py.

    Raises:
        ValueError: an option is none, or there is nothing to learn from.
    """
    place = _value(words, "--data_dir")
    if place is None or _value(words, "--model") is not None or not has_events(place):
        return None
    why = (
        f"{place} has columns of times, so it is read as a table of events; for a table of clips "
        "that are parts of videos, name a reader of frames: --model frame_exit"
    )
    try:
        args: EventArguments = parsed(EventArguments, words, "finetune_video.py")
    except ValueError as error:
        raise ValueError(f"{error}. {why}") from error
    print(why, file=sys.stderr)
    options = json.loads(args.reader_options)
    if not isinstance(options, dict):
        raise ValueError(f"--reader_options ({args.reader_options}) must be a JSON object")
    table = read_event_table(args.data_dir, videos=args.videos)
    is_split = "train" in table.splits
    final = Path(args.output_dir, "final")
    result = train_events(
        table,
        final,
        EventOptions(
            split="train" if is_split else "",
            reader_options=options,
            **{one.name: getattr(args, one.name) for one in fields(HeadOptions)},
        ),
    )
    report: dict[str, Any] = {"output_dir": args.output_dir, "train": result}
    for split in table.splits if is_split else ():
        if split != "train":
            pipe = pipeline("video-event-detection", str(final))
            report[split] = judge_events(pipe, table.of_split(split).videos)
    Path(args.output_dir, "all_results.json").write_text(json.dumps(report, indent=2))
    print(f"saved {final}", file=sys.stderr)
    return report


def _value(words: Sequence[str], option: str) -> str | None:
    for word, following in zip(words, [*words[1:], None], strict=True):
        name, is_given, value = word.partition("=")
        if name.replace("-", "_").replace("__", "--", 1) == option:
            return value if is_given else following
    return None
