"""From a table of videos and events to a saved `EventReader`.

from temporal.pipelines import pipeline
from temporal.pipelines.training.events import train_events

train_events("events.csv", "out/trains", split="train")
pipe = pipeline("video-event-detection", "out/trains")
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ....data.labelled.events import EventTable, LabelledVideo, read_event_table
from ....models.events.event_reader import EventReader
from ....models.rows_seen import RowsSeen, Shown
from ....training.events.heads import (
    Found,
    PlaceRows,
    cross_fitted_logits,
    find_thresholds,
    fit_heads,
    row_folds,
)
from ...held_out.faulty import check_share, tell
from ...held_out.unseen import digest_input
from ..video.backbones import LITE0, load_backbone
from .features import joined_rows, rows_of_video


@dataclass(kw_only=True)
class HeadOptions:
    """How the heads of a reader of events are trained, by a call and by a command line."""

    backbone: str = field(
        default=LITE0,
        metadata={"help": f"{LITE0}, or a folder or hub id of an image model of transformers."},
    )
    place_seconds: float | None = field(
        default=None,
        metadata={"help": "About how long a place is. Default: the median event, 1 to 60 seconds."},
    )
    decay: float = field(
        default=0.003, metadata={"help": "Weight of the squared weights in the fit."}
    )
    keep_share: float = field(
        default=0.98,
        metadata={"help": "Share of events that each cheaper level leaves open, cross-fitted."},
    )
    num_folds: int = field(default=5, metadata={"help": "Folds that thresholds are found by."})
    by_group: bool = field(
        default=True,
        metadata={"help": "Folds keep groups (or cameras) whole, where there are any."},
    )
    seed: int = field(default=0, metadata={"help": "Of the folds."})


@dataclass(kw_only=True)
class EventOptions(HeadOptions):
    """How a reader of events is trained."""

    split: str = field(default="", metadata={"help": "Train on the videos of this split; all: ''."})
    reader_options: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "Fields of EventReaderConfig."}
    )


def train_events(
    table: Any, output_dir: str | Path, options: EventOptions | None = None, **fields: Any
) -> dict[str, Any]:
    """Train a reader, find its thresholds by cross-fitting, and save it.

    Args:
        table: see `read_event_table`; or an `EventTable`.
        output_dir: where the reader is saved.
        options: how; or
        **fields: those of `EventOptions`, which replace the options'.

    Returns:
        What was found, in plain values: thresholds, recall and specificity of places that the heads
        did not learn from, the share that each level leaves open, and videos that were left out.

    Raises:
        ValueError: there is nothing to learn from.
        TooManyFaulty: so many rows or videos are left out that the others say little of the data.
    """
    options = EventOptions(**{**(asdict(options) if options else {}), **fields})
    listed = table if isinstance(table, EventTable) else read_event_table(table)
    source = str(table) if isinstance(table, str | Path) else "the table"
    check_share(list(listed.left_out.items()), listed.num_rows, source)
    if options.split:
        splits = listed.splits
        listed = listed.of_split(options.split)
        if not listed.videos:
            raise ValueError(f"split ({options.split!r}) must be one of {splits}")
    unread: dict[str, str] = {}
    reader = new_reader(listed, options)
    parts: list[PlaceRows] = []
    videos: list[LabelledVideo] = []
    for video in tqdm(listed.videos, unit="video", disable=None):
        try:
            parts.append(rows_of_video(reader, video, len(videos)))
            videos.append(video)
        except Exception as fault:  # other videos may be enough
            unread[str(video.path)] = str(fault)
    left_out = {**listed.left_out, **unread}
    tell(list(left_out.items()), len(listed.left_out) + len(listed.videos))
    if not parts:
        raise ValueError(f"no video can be read: {next(iter(left_out.values()), 'there is none')}")
    check_share(list(unread.items()), len(listed.videos), source)
    rows = joined_rows(parts)
    groups = [video.group if options.by_group else "" for video in videos]
    folds = row_folds(rows, groups, options.num_folds, options.seed)
    logits = cross_fitted_logits(reader, rows, folds, decay=options.decay)
    found = settle(reader, rows, logits, options)
    config: Any = reader.config
    output = Path(output_dir)
    digests = [digest_input(video.path, "video") for video in videos]
    shown = Shown(rows=frozenset(digests))
    reader.rows_seen = RowsSeen(shown={"training": shown, "selection": shown})
    reader.save_pretrained(output)
    result = {
        "videos": len(videos),
        "events": sum(len(video.events) for video in videos),
        "places": int(rows.is_place.sum()),
        "place_seconds": config.place_seconds,
        "cross_fitted": asdict(found),
        "left_out": left_out,
    }
    (output / "training.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def settle(
    reader: EventReader,
    rows: PlaceRows,
    logits: dict[str, Tensor],
    options: HeadOptions,
    *,
    threshold: float | None = None,
) -> Found:
    """Fit the heads to all rows, and set the thresholds that cross-fitting found.

    Args:
        reader: trained in place.
        rows: of all videos.
        logits: of `cross_fitted_logits` on these.
        options: how.
        threshold: of events, as log-odds, where it is known; None: it is found, too.
    """
    found = find_thresholds(logits, rows, keep_share=options.keep_share, threshold=threshold)
    fit_heads(reader, rows, decay=options.decay)
    config: Any = reader.config
    config.event_threshold = found.event_threshold
    for level, margin in found.margins.items():
        setattr(config, f"{level}_margin", margin)
    return found


def new_reader(table: EventTable, options: EventOptions) -> EventReader:
    """An untrained reader of a table's labels on the backbone."""
    backbone, sizes = load_backbone(options.backbone)
    seconds = options.place_seconds
    if seconds is None:
        lengths = [
            event.end_seconds - event.start_seconds
            for video in table.videos
            for event in video.events
        ]
        seconds = min(60.0, max(1.0, statistics.median(lengths))) if lengths else 10.0
    reader: EventReader = EventReader.from_backbone(
        backbone,
        id2label=dict(enumerate(table.names)),
        label2id={name: k for k, name in enumerate(table.names)},
        **{**sizes, "place_seconds": float(seconds), **options.reader_options},
    )
    reader.requires_grad_(False)
    return reader.eval()
