"""Calibrate a reader of events: from a table of events to a bound on the share that is missed.

temporal calibrate --task video-event-detection --model out/trains --data_file events.csv ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from temporal.models.operating_points import apply_point, point_for_drop
from temporal.models.rows_seen import Shown
from temporal.training.events.missed import FalseAlarms, certified_points, missed_grid
from temporal.training.model_card import promise

from ...data.labelled.events import EventTable, LabelledVideo, read_event_table
from ..held_out.faulty import check_read, check_share, tell
from ..held_out.unseen import Rows, digest_input, keep_unseen
from ..loading.dtypes import dtype_of
from ..training.events.features import recordings_of
from .calibrate import Calibration, CannotCalibrate, save_calibration
from .offered import Offered


@dataclass
class EventCalibrationArguments:
    """Choose from which score on something is an event, and say how many events are missed."""

    model: str = field(metadata={"help": "Folder of a saved reader of events."})
    data_file: str = field(
        metadata={
            "help": "A table of video, start_seconds, end_seconds, label, with a row for each "
            "event; or a folder with events.csv."
        }
    )
    max_drop: float = field(
        metadata={"help": "Largest share of events that may be missed, 0 to 1, certified."}
    )
    split: str = field(default="", metadata={"help": "Use the videos of this split; all: ''."})
    confidence: float = field(default=0.95, metadata={"help": "Of the bound, 0 to 1."})
    num_points: int = field(
        default=40, metadata={"help": "Thresholds that are tested, at least 2."}
    )
    leave_out_seen: bool = field(
        default=False,
        metadata={"help": "Leave out videos that the reader has seen, instead of refusing them."},
    )
    task: str = field(default="video-event-detection", metadata={"help": "video-event-detection."})

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 1:
            raise ValueError(f"--max_drop ({self.max_drop}) must be 0 to 1: a share of events")
        if self.num_points < 2:
            raise ValueError(f"--num_points ({self.num_points}) must be at least 2")


def calibrate_events(
    pipe: Any,
    videos: Sequence[LabelledVideo],
    *,
    max_missed: float,
    confidence: float = 0.95,
    num_points: int = 40,
) -> tuple[Calibration, list[FalseAlarms]]:
    """Find the threshold of the fewest false alarms that is certified to miss few events.

    Every place of every video is scored once, and all thresholds are tried on the scores. Of events
    that are copies of one recording the first counts.

    Args:
        pipe: of `video-event-detection`. Its reader is set to the threshold.
        videos: with their events, which the reader has not seen.
        max_missed: share of events that may be missed, named in advance, 0 to 1.
        confidence: of the bounds.
        num_points: thresholds that are tested.

    Returns:
        The points, and the false alarms of each.

    Raises:
        CannotCalibrate: no threshold is certified for that, or no event is left.
        ValueError: too many videos cannot be read, or labels are not the reader's.
    """
    unknown = {e.label for video in videos for e in video.events} - set(pipe.reader.labels)
    if unknown:
        raise ValueError(
            f"label ({min(unknown)!r}) must be one of the reader's: {', '.join(pipe.reader.labels)}"
        )
    offered = Offered(pipe, [video.path for video in videos])
    scored = pipe.reader.scored(offered)
    kept = [offered.positions[k] for k in scored.rows]
    unread = check_read(len(kept), len(videos))
    policies = pipe.reader.policy_space().policies(num_points=num_points)
    try:
        grid, alarms = missed_grid(scored, [videos[k].events for k in kept], policies)
    except ValueError as error:
        raise CannotCalibrate(str(error)) from error
    recordings = [digest for k in kept for digest in recordings_of(videos[k])]
    first = [recordings.index(one) for one in dict.fromkeys(recordings)]
    if len(first) < len(recordings):
        print(
            f"{len(recordings) - len(first)} of {len(recordings)} events are copies of others "
            "(the same packets and picture): each recording counts once, as copies would make a "
            "bound look certain.",
            file=sys.stderr,
        )
        grid = grid.take(rows=torch.tensor(first))
    points, alarms = certified_points(grid, alarms, confidence=confidence)
    stored = [point.to_dict() for point in points]
    chosen = points[stored.index(point_for_drop(stored, max_missed))]
    chosen = replace(chosen, max_drop=max_missed)
    points = [chosen if point.policy == chosen.policy else point for point in points]
    apply_point(pipe.model.config, {"policy": chosen.policy})
    dtype = str(dtype_of(pipe.model)).removeprefix("torch.")
    found = Calibration(points=points, chosen=chosen, fields={}, unread=unread, dtype=dtype)
    return found, alarms


def calibrate_events_command(words: Sequence[str] | None, prog: str | None) -> dict[str, Any]:
    """`temporal calibrate --task video-event-detection`: calibrate, save, and report."""
    from ..command.options import parsed
    from ..pipeline import pipeline

    args = parsed(EventCalibrationArguments, words, prog)
    table: EventTable = read_event_table(args.data_file)
    faults = list(table.left_out.items())
    check_share(faults, table.num_rows, str(args.data_file))
    tell(faults, table.num_rows)
    if args.split:
        splits = table.splits
        table = table.of_split(args.split)
        if not table.videos:
            raise ValueError(f"--split ({args.split}) must be one of {splits}")
    digests = [digest_input(video.path, "video") for video in table.videos]
    rows = Rows(source=str(args.data_file), rows=digests)
    new = keep_unseen(args.model, rows, leave_out=args.leave_out_seen, once=True)
    pipe = pipeline(args.task, args.model)
    found, alarms = calibrate_events(
        pipe,
        [table.videos[k] for k in new.kept],
        max_missed=args.max_drop,
        confidence=args.confidence,
        num_points=args.num_points,
    )
    shown = Shown(rows=frozenset(digests[k] for k in new.kept))
    save_calibration(args.model, found, shown)
    at = found.points.index(found.chosen)
    return {
        **found.report(new.report),
        "promise": promise(found.chosen.to_dict(), "events"),
        "false_alarms_per_hour": alarms[at].per_hour,
        "left_out": table.left_out,
    }
