"""Does a bound on missed events hold on other videos? Splits by recording, by camera, by event.

    python scripts/benchmarks/events/benchmark_missed.py out/long --model_dir out/reader

The videos of --split (which the reader was not trained on) are scored once. Then their events are
split --splits times: one part calibrates as `temporal calibrate` does, for each of --max_missed,
and the other tells how many are missed at the threshold that was chosen. What stays on one side:

- `recording`: all copies of one recorded event, wherever they were joined in. What joined videos
  have in common is there: it is the split that tells of events that were not seen.
- `recording_once`: the same, and one copy of each counts, as `temporal calibrate` has it.
- `camera`: all events of a camera.
- `event`: nothing; copies of one recording lie on both sides.

`over` is the share of splits in which the tested events are missed more often than was promised: of
few events that happens by chance, too. `by_chance` is how often it would if each were missed with
exactly the promised probability, independently. `refuted` is the share in which even the exact
lower bound (97.5 %) of what was measured lies above the promise. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from temporal.data import Video
from temporal.data.labelled.events import LabelledVideo, read_event_table
from temporal.pipelines import pipeline
from temporal.pipelines.training.events.features import recordings_of
from temporal.training.calibration import PolicyGrid
from temporal.training.events.missed import missed_grid
from temporal.training.risk import Change, share_p_value

DELTA = 0.05


def main() -> None:
    """Score, split, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_dir", type=Path, help="of make_long_videos.py")
    parser.add_argument("--model_dir", required=True, help="the trained reader of events")
    parser.add_argument("--split", default="test")
    parser.add_argument("--max_missed", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4])
    parser.add_argument("--calibration_share", type=float, default=0.67)
    parser.add_argument("--num_points", type=int, default=40)
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    table = read_event_table(args.data_dir).of_split(args.split)
    pipe: Any = pipeline("video-event-detection", args.model_dir)
    videos = table.videos
    scored = pipe.reader.scored(opened(videos))
    kept = [videos[k] for k in scored.rows]
    policies = pipe.reader.policy_space().policies(num_points=args.num_points)
    grid, alarms = missed_grid(scored, [video.events for video in kept], policies)
    recordings = [digest for video in kept for digest in recordings_of(video)]
    cameras = [video.group for video in kept for _ in video.events]
    once = [recordings.index(one) for one in dict.fromkeys(recordings)]
    units: dict[str, tuple[PolicyGrid, Sequence[Hashable]]] = {
        "recording": (grid, recordings),
        "recording_once": (grid.take(rows=torch.tensor(once)), once),
        "camera": (grid, cameras),
        "event": (grid, range(len(cameras))),
    }
    report = {
        "videos": len(kept),
        "events": len(cameras),
        "recordings": len(set(recordings)),
        "cameras": len(set(cameras)),
        "splits": args.splits,
        "thresholds": [
            {
                "event_threshold": policy["event_threshold"],
                "missed": float(losses.double().mean()),
                "false_alarms_per_hour": alarm.per_hour,
            }
            for policy, losses, alarm in zip(policies, grid.losses_PN, alarms, strict=True)
        ],
        "split_by": {name: split(*one, args) for name, one in units.items()},
    }
    print(json.dumps(report, indent=2))


def opened(videos: Sequence[LabelledVideo]) -> Iterator[Video]:
    """Each open until the next one is asked for."""
    for video in tqdm(videos, desc="scored"):
        with Video(video.path) as source:
            yield source


def split(
    grid: PolicyGrid, units: Sequence[Hashable], args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """What is missed of events that did not calibrate, for each promise."""
    dice = random.Random(args.seed)
    rows_of: dict[Hashable, list[int]] = defaultdict(list)
    for row, unit in enumerate(units):
        rows_of[unit].append(row)
    names = list(rows_of)
    few = min(max(round(args.calibration_share * len(names)), 1), len(names) - 1)
    found: dict[float, list[tuple[int, int, int]]] = {limit: [] for limit in args.max_missed}
    for _ in range(args.splits):
        dice.shuffle(names)
        sides = [
            [row for name in side for row in rows_of[name]] for side in (names[:few], names[few:])
        ]
        calibrates, tests = (grid.losses_PN[:, sorted(side)] for side in sides)
        for limit, own in found.items():
            chosen = certified(calibrates, limit)
            own.append((chosen, int(tests[chosen].sum()), tests.shape[1]))
    return {f"{limit:g}": told(own, limit) for limit, own in found.items()}


def certified(losses_PN: torch.Tensor, limit: float) -> int:
    """The last of the policies, from the safest on, that a test does not stop at."""
    count = losses_PN.shape[1]
    for k, missed in enumerate(losses_PN.sum(1).tolist()):
        change = Change(num_lost=missed, num_gained=0, num_sources=count)
        if k and share_p_value(change, limit) > DELTA:  # the first reads and tells everything
            return k - 1
    return len(losses_PN) - 1


def told(own: Sequence[tuple[int, int, int]], limit: float) -> dict[str, float]:
    """Over all splits; each is the chosen policy, and how many of how many events are missed."""
    return {
        "chose_to_tell_everything": statistics.fmean(chosen == 0 for chosen, _, _ in own),
        "missed": sum(missed for _, missed, _ in own) / sum(count for _, _, count in own),
        "over": statistics.fmean(missed / count > limit for _, missed, count in own),
        "by_chance": statistics.fmean(above(limit, count) for _, _, count in own),
        "refuted": statistics.fmean(
            at_least(missed, count, limit) <= DELTA / 2 for _, missed, count in own
        ),
        "events_tested": statistics.fmean(count for _, _, count in own),
    }


def above(limit: float, count: int) -> float:
    """How often more than `limit` of so many events are missed, if each is with `limit`."""
    most = int(limit * count + 1e-9)
    return 1.0 - at_most(most, count, limit)


def at_least(missed: int, count: int, limit: float) -> float:
    """How likely so many or more are missed, if each is with `limit`."""
    return 1.0 - at_most(missed - 1, count, limit)


def at_most(missed: int, count: int, limit: float) -> float:
    """How likely so many or fewer are missed, if each is with `limit`."""
    if missed < 0:
        return 0.0
    return share_p_value(Change(num_lost=missed, num_gained=0, num_sources=count), limit)


if __name__ == "__main__":
    main()
