"""Measure the adaptive frame reader against uniform sampling, end to end, on the same folds.

    python scripts/finetune_video.py --data_dir CLIPS --output_dir out/tank
    python scripts/benchmarks/benchmark_video.py --data_dir CLIPS --model_dir out/tank \
        --output_dir out/bench

Every clip is read from its file by the reader of the fold that did not see its group. Baselines:
K uniform frames through `decord.VideoReader.get_batch`, then the same backbone and the same kind of
head, trained on the same folds. Clips are timed one after another, contestants interleaved, files
in the page cache for all; medians over rounds. Prints JSON.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import decord
import torch
import transformers
from transformers import HfArgumentParser, TrainingArguments
from transformers.utils import logging

from temporal.data import Video
from temporal.data.labelled.clips import Clip, hold_out_clips
from temporal.data.labelled.listed_clips import list_clips
from temporal.models import FrameExit
from temporal.pipelines import pipeline
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.unseen import NotNew, keep_unseen, rows_of
from temporal.pipelines.training.flags import (
    IGNORED_FOR_CLIPS,
    check_flags,
    check_processes,
    given_options,
)
from temporal.pipelines.training.frames import Protocol, VideoArguments
from temporal.pipelines.training.video_run import training_defaults
from temporal.policies.read import uniform
from temporal.training.accuracy import balanced_accuracy, interval


@dataclass
class BenchmarkArguments:
    """What to measure."""

    model_dir: str = field(metadata={"help": "Output of finetune_video.py: folds and readers."})
    uniform: list[int] = field(
        default_factory=lambda: [1, 2, 4, 8, 16], metadata={"help": "Numbers of uniform frames."}
    )
    rounds: int = field(default=3, metadata={"help": "Timed rounds over all clips."})
    max_timed: int = field(default=80, metadata={"help": "Clips that are timed (all are scored)."})


@dataclass
class Tally:
    """Sums over the calls of a reader."""

    frames_read: float = 0.0
    frames_decoded: float = 0.0
    decode_seconds: float = 0.0
    model_seconds: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        sums = {name: value + getattr(other, name) for name, value in asdict(self).items()}
        return Tally(**sums)


class UniformReader:
    """K uniform frames by decord, the backbone in one batch, one answer."""

    def __init__(self, reader: FrameExit) -> None:
        self.reader = reader
        self.tally = Tally()

    @torch.inference_mode()
    def __call__(self, path: str) -> int:
        start = time.perf_counter()
        size = self.reader.config.image_size
        video = decord.VideoReader(path, width=size, height=size)
        frames = uniform(len(video), self.reader.config.num_frames)
        pixels = torch.from_numpy(video.get_batch(frames).asnumpy()).permute(0, 3, 1, 2)
        decoded = time.perf_counter()
        features = self.reader._features(pixels)[None]
        state = self.reader.pool(features, torch.tensor([frames]) / len(video))
        answer = int(self.reader._answer(len(frames) - 1, state).argmax())
        spent = Tally(len(frames), 0, decoded - start, time.perf_counter() - decoded)
        self.tally += spent
        return answer

    def count_decodes(self, path: str) -> None:
        """Add the frames that exact reads of these frames have to decode; decord tells nothing."""
        with Video(path) as video:
            frames = uniform(len(video), self.reader.config.num_frames)
            self.tally.frames_decoded += video.cost(frames).frames_decoded


class AdaptiveReader:
    """The pipeline on one file, and what its traces counted."""

    def __init__(self, folder: Path) -> None:
        self.pipe = pipeline("video-classification", model=str(folder), batch_size=1)
        self.tally = Tally()

    def __call__(self, path: str) -> int:
        (reading,) = self.pipe.read(path, on_error="raise")
        assert reading.trace is not None
        cost = reading.trace.cost
        self.tally += Tally(
            reading.trace.units_read, cost.frames_decoded, cost.decode_seconds, cost.model_seconds
        )
        return reading.classes[0]

    def count_decodes(self, path: str) -> None:
        """The trace did."""


Contestants: TypeAlias = dict[str, list[UniformReader] | list[AdaptiveReader]]
"""For each name, the reader of each fold."""
Work: TypeAlias = list[tuple[int, Clip]]
"""Clips, each with the number of the fold that it is in."""


def train_uniform(
    counts: Sequence[int],
    args: VideoArguments,
    training: Any,
    clips: Sequence[Clip],
    names: Sequence[str],
    folds: Sequence[Sequence[int]],
) -> dict[int, list[FrameExit]]:
    """For each K, a reader per fold that answers after K uniform frames."""
    readers: dict[int, list[FrameExit]] = {}
    for count in counts:
        # 8 and 16 uniform frames lie so close that shifted views would repeat their neighbours.
        views = args.views if count <= 4 else 1
        fields = replace(
            args, num_frames=count, order="uniform", snap_share=0.0, min_frames=count, views=views
        )
        protocol = Protocol(fields, training, clips, names)
        kept = [[row for fold in folds if fold is not held for row in fold] for held in folds]
        readers[count] = [protocol.train(rows) for rows in kept]
    return readers


def score(contestants: Contestants, work: Work) -> dict[str, dict[str, Any]]:
    """Every contestant on every clip: accuracy, and frames per clip."""
    labels = [clip.label for _, clip in work]
    scores: dict[str, dict[str, Any]] = {}
    for name, readers in contestants.items():
        given = []
        for fold, clip in work:
            given.append(readers[fold](clip.path))
            readers[fold].count_decodes(clip.path)
        total = sum((reader.tally for reader in readers), Tally())
        right = sum(a == b for a, b in zip(given, labels, strict=True))
        scores[name] = {
            "accuracy": right / len(labels),
            "accuracy_interval": interval(right / len(labels), len(labels)),
            "balanced_accuracy": balanced_accuracy(given, labels),
            "frames_read": total.frames_read / len(work),
            "frames_decoded": total.frames_decoded / len(work),
        }
    return scores


def clock(contestants: Contestants, work: Work, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds per clip, contestants interleaved clip by clip; the median over rounds."""
    for readers in contestants.values():
        for reader in readers:
            reader.tally = Tally()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        spent = dict.fromkeys(contestants, 0.0)
        for fold, clip in work:
            for name, readers in contestants.items():
                start = time.perf_counter()
                readers[fold](clip.path)
                spent[name] += time.perf_counter() - start
        for name, total in spent.items():
            seconds[name].append(total / len(work))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    runs = len(work) * rounds
    return {
        name: {
            "seconds_per_clip": medians[name],
            "decode_seconds": sum(reader.tally.decode_seconds for reader in readers) / runs,
            "model_seconds": sum(reader.tally.model_seconds for reader in readers) / runs,
            "adaptive_speedup": medians[name] / medians["adaptive"],
        }
        for name, readers in contestants.items()
    }


@ended_by(NotNew)
def main() -> None:
    """Score every clip once, time a part of them, print."""
    kinds = (BenchmarkArguments, VideoArguments, TrainingArguments)
    parser = HfArgumentParser(kinds)
    parser.set_defaults(**training_defaults())
    args, video_args, training = parser.parse_args_into_dataclasses(sys.argv[1:])
    check_flags(training, given_options(kinds, sys.argv[1:]), IGNORED_FOR_CLIPS)
    check_processes(training, alone=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    listed = list_clips(video_args.data_dir, manifest=video_args.manifest)
    clips, names = listed.clips, listed.names
    if video_args.calibration_share:
        clips, _ = hold_out_clips(clips, video_args.calibration_share, training.seed)
    rows = {clip.path: k for k, clip in enumerate(clips)}
    model_dir = Path(args.model_dir)
    folds = [
        [rows[path] for path in paths]
        for paths in json.loads((model_dir / "folds.json").read_text())
    ]
    for k, fold in enumerate(folds):
        held = rows_of([clips[row] for row in fold], video_args.data_dir)
        keep_unseen(str(model_dir / f"fold{k}"), held)
    trained = train_uniform(args.uniform, video_args, training, clips, names, folds)
    contestants: Contestants = {
        "adaptive": [AdaptiveReader(model_dir / f"fold{k}") for k in range(len(folds))]
    }
    for count, readers in trained.items():
        contestants[f"uniform_{count}"] = [UniformReader(reader) for reader in readers]
    work = [(k, clips[row]) for k, fold in enumerate(folds) for row in fold]
    timed = work[:: max(1, len(work) // args.max_timed)]
    scores = score(contestants, work)
    times = clock(contestants, timed, args.rounds)
    print(
        json.dumps(
            {
                "clips": len(work),
                "timed_clips": len(timed),
                "rounds": args.rounds,
                "threads": torch.get_num_threads(),
                "machine": f"{platform.machine()}, Python {platform.python_version()}",
                "versions": {
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "decord": decord.__version__,
                },
                "results": {name: {**scores[name], **times[name]} for name in contestants},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
