"""Zero-shot answers of videos that halt, beside transformers over all frames and over fewer.

    python scripts/benchmarks/benchmark_zero_shot.py clips/*/*.mp4 --output_dir out/zero_shot

A small CLIP of random weights is made from a seed, so what counts is not whether answers are right
but whether they are those of reading all frames, and what they cost. Two thirds of the clips
calibrate, without labels; on the others every way reads each file anew, decoding included. The ways
take turns, in an order that turns too; medians over rounds, the first of which is not counted.
`resampled` draws other splits, from what all exits said of all clips. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import decord
import torch
import transformers
from parts.random_clip import make_random_clip
from PIL import Image

from temporal.data import Video
from temporal.models.operating_points import point_for_drop
from temporal.pipelines import CalibrationOptions, calibrate, pipeline
from temporal.pipelines.calibration.offered import Offered
from temporal.policies.read import coarse_to_fine, uniform
from temporal.training.calibration import PolicyGrid, operating_points
from temporal.training.policy_grids import replayed_grid

TASK: Any = "zero-shot-video-classification"
LABELS = [
    "empty street",
    "people in a fight",
    "a train",
    "an open bridge",
    "a car at night",
    "two workers",
]
Answers = tuple[list[str], float]
"""The best label of each clip, and frames read of a clip on average."""


def ours(place: str, policy: dict[str, Any] | None) -> Callable[[Sequence[str]], Answers]:
    """Our pipeline, reading all ten frames or under a policy."""
    pipe = pipeline(TASK, model=place, candidate_labels=LABELS, device="cpu")
    for name, value in (policy or {}).items():
        setattr(pipe.model.config, name, value)

    def read(clips: Sequence[str]) -> Answers:
        readings = list(pipe.read(list(clips), on_error="raise"))
        frames = [len(reading.trace.read) for reading in readings if reading.trace]
        return [r.predictions[0]["label"] for r in readings], statistics.fmean(frames)

    return read


def theirs(
    place: str, count: int, order: Callable[[int, int], list[int]]
) -> Callable[[Sequence[str]], Answers]:
    """Transformers' pipeline of images over frames that decord reads, its scores averaged."""
    pipe: Any = transformers.pipeline("zero-shot-image-classification", model=place, device="cpu")

    def read(clips: Sequence[str]) -> Answers:
        best = []
        for clip in clips:
            reader = decord.VideoReader(clip)
            frames = reader.get_batch(order(len(reader), count)).asnumpy()
            images = [Image.fromarray(frame) for frame in frames]
            totals = dict.fromkeys(LABELS, 0.0)
            for told in pipe(images, candidate_labels=LABELS, batch_size=len(images)):
                for one in told:
                    totals[one["label"]] += one["score"]
            best.append(max(totals, key=totals.__getitem__))
        return best, float(count)

    return read


def resampled(grid: PolicyGrid, share: float, max_drop: float, rounds: int) -> dict[str, float]:
    """Splits drawn anew: how often the certified share of other answers holds on unseen clips."""
    count = grid.losses_PN.shape[1]
    dice = torch.Generator().manual_seed(0)
    policies = [json.dumps(policy) for policy in grid.policies]
    drops, costs = [], []
    for _ in range(rounds):
        rows = torch.randperm(count, generator=dice)
        rest, test = rows[: int(share * count)], rows[int(share * count) :]
        points = operating_points(
            grid, rest[:0], rest, count=20, risk="disagreement", confidence=0.95
        )
        chosen = point_for_drop([point.to_dict() for point in points], max_drop)
        losses = grid.losses_PN[policies.index(json.dumps(chosen["policy"])), test]
        drops.append(float(losses.double().mean()))
        costs.append(chosen["cost_share"])
    return {
        "splits": rounds,
        "within_bound": statistics.fmean(drop <= max_drop for drop in drops),
        "mean_disagreement": statistics.fmean(drops),
        "mean_share_read": statistics.fmean(costs),
    }


def main() -> None:
    """Make the model, calibrate, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--max_drop", type=float, default=0.01)
    parser.add_argument("--calibration_share", type=float, default=0.67)
    parser.add_argument("--criteria", nargs="+", default=["lead", "margin", "patience"])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    clips = sorted(args.clips)
    random.Random(args.seed).shuffle(clips)
    images = []
    for clip in clips[:60]:
        with Video(clip) as video:
            images.append(video.read([len(video) // 2])[0].permute(1, 2, 0).numpy())
    words = ["This", "is", "a", "photo", "of", ".", *" ".join(LABELS).split()]
    place = make_random_clip(args.output_dir, words, images, seed=args.seed, logit_scale=5.0)
    count = int(args.calibration_share * len(clips))
    held, test = clips[:count], clips[count:]
    pipe: Any = pipeline(TASK, model=place, candidate_labels=LABELS, device="cpu")
    answers = pipe.reader.answers(Offered(pipe, clips))
    result: dict[str, Any] = {"clips": len(clips), "calibration": len(held), "halting": {}}
    for criterion in args.criteria:
        options = CalibrationOptions(max_drop=args.max_drop, criterion=criterion, cost_samples=8)
        found = calibrate(pipe, held, None, options, seed=args.seed).chosen
        grid = replayed_grid(answers, pipe.reader.policy_space().policies(), None, "macs")
        again = resampled(grid, args.calibration_share, args.max_drop, args.splits)
        result["halting"][criterion] = {"policy": found.policy, "resampled": again}
    ways = {"ours, all frames": ours(place, None)}
    for criterion, told in result["halting"].items():
        ways[f"ours, {criterion}"] = ours(place, told["policy"])
    ways["transformers, the same 10 frames"] = theirs(place, 10, coarse_to_fine)
    for count in (1, 3, 5):
        ways[f"transformers, {count} uniform"] = theirs(place, count, uniform)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    said: dict[str, Answers] = {}
    names = list(ways)
    for number in range(args.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            said[name] = ways[name](test)
            seconds[name].append(time.perf_counter() - start)
    full = said["ours, all frames"][0]
    result["ways"] = {
        name: {
            "same_best": statistics.fmean(a == b for a, b in zip(best, full, strict=True)),
            "frames": round(frames, 2),
            "ms_a_clip": round(1000 * statistics.median(seconds[name][1:]) / len(test), 2),
        }
        for name, (best, frames) in said.items()
    }
    result["machine"] = {"python": platform.python_version(), "threads": torch.get_num_threads()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
