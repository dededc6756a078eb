"""Measure the adaptive frame reader against uniform sampling, end to end, on the same folds.

    python scripts/finetune_video.py --data_dir CLIPS --output_dir out/tank
    python scripts/benchmark_video.py --data_dir CLIPS --model_dir out/tank --output_dir out/bench

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import decord
import torch
import transformers
from finetune_video import Protocol, VideoArguments, answers, training_defaults
from torch import Tensor
from transformers import HfArgumentParser, TrainingArguments
from transformers.utils import logging
from video_data import balanced_accuracy, interval, read_clips

from temporal.models import FrameExit
from temporal.pipelines import pipeline
from temporal.policies.read import uniform


@dataclass
class BenchmarkArguments:
    """What to measure."""

    model_dir: str = field(metadata={"help": "Output of finetune_video.py: folds and readers."})
    uniform: list[int] = field(
        default_factory=lambda: [1, 2, 4, 8, 16], metadata={"help": "Numbers of uniform frames."}
    )
    rounds: int = field(default=3, metadata={"help": "Timed rounds over all clips."})
    max_timed: int = field(default=80, metadata={"help": "Clips that are timed (all are scored)."})


class UniformReader:
    """K uniform frames by decord, the backbone in one batch, one answer."""

    def __init__(self, reader: FrameExit) -> None:
        self.reader = reader
        self.num_frames = reader.config.num_frames
        self.decode_seconds = self.model_seconds = 0.0

    @torch.inference_mode()
    def __call__(self, path: str) -> int:
        start = time.perf_counter()
        size = self.reader.config.image_size
        video = decord.VideoReader(path, width=size, height=size)
        frames = uniform(len(video), self.num_frames)
        pixels = torch.from_numpy(video.get_batch(frames).asnumpy()).permute(0, 3, 1, 2)
        decoded = time.perf_counter()
        features = self.reader._features(pixels)[None]
        times = torch.tensor([frames]) / len(video)
        state = self.reader.pool(features, times)
        answer = int(self.reader._answer(len(frames) - 1, state).argmax())
        self.decode_seconds += decoded - start
        self.model_seconds += time.perf_counter() - decoded
        return answer


class AdaptiveReader:
    """The pipeline on one file, and what its traces counted."""

    def __init__(self, folder: Path) -> None:
        self.pipe = pipeline("video-classification", model=str(folder), batch_size=1)
        self.decode_seconds = self.model_seconds = 0.0
        self.frames_read = self.frames_decoded = self.calls = 0

    def __call__(self, path: str) -> int:
        (reading,) = self.pipe.read(path, on_error="raise")
        assert reading.trace is not None
        self.calls += 1
        self.frames_read += reading.trace.units_read
        self.frames_decoded += reading.trace.cost.frames_decoded
        self.decode_seconds += reading.trace.cost.decode_seconds
        self.model_seconds += reading.trace.cost.model_seconds
        return self.pipe.model.config.label2id[reading.predictions[0]["label"]]


def uniform_decodes(path: str, count: int) -> int:
    """Frames that exact reads of uniform frames have to decode."""
    from temporal.data import Video

    with Video(path) as video:
        return video.cost(uniform(len(video), count)).frames_decoded


def train_uniform(
    counts: Sequence[int],
    args: VideoArguments,
    training: Any,
    clips: Sequence[Any],
    names: Sequence[str],
    folds: Sequence[Sequence[int]],
) -> dict[int, list[FrameExit]]:
    """For each K, a reader per fold with one exit, after K uniform frames."""
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
        for held, reader in zip(folds, readers[count], strict=True):
            logits: Tensor = answers(reader, protocol.features, held)[:, -1]
            assert logits.isfinite().all()
    return readers


def main() -> None:
    """Score every clip once, time a part of them, print."""
    parser = HfArgumentParser((BenchmarkArguments, VideoArguments, TrainingArguments))
    parser.set_defaults(**training_defaults())
    args, video_args, training = parser.parse_args_into_dataclasses(sys.argv[1:])
    logging.set_verbosity_error()
    clips, names = read_clips(video_args.data_dir, video_args.manifest)
    rows = {clip.path: k for k, clip in enumerate(clips)}
    model_dir = Path(args.model_dir)
    folds = [
        [rows[path] for path in paths]
        for paths in json.loads((model_dir / "folds.json").read_text())
    ]
    trained = train_uniform(args.uniform, video_args, training, clips, names, folds)

    contestants: dict[str, list[Callable[[str], int]]] = {
        "adaptive": [AdaptiveReader(model_dir / f"fold{k}") for k in range(len(folds))]
    }
    for count, readers in trained.items():
        contestants[f"uniform_{count}"] = [UniformReader(reader) for reader in readers]

    work = [(k, row) for k, fold in enumerate(folds) for row in fold]
    given: dict[str, list[int]] = {}
    for name, readers_of_folds in contestants.items():
        given[name] = [readers_of_folds[k](clips[row].path) for k, row in work]
    # What the scoring pass counted; the timed rounds below start their clocks anew.
    counted: dict[str, dict[str, float]] = {}
    for name, readers_of_folds in contestants.items():
        if name == "adaptive":
            calls = sum(reader.calls for reader in readers_of_folds)  # type: ignore[attr-defined]
            counted[name] = {
                "frames_read": sum(r.frames_read for r in readers_of_folds) / calls,  # type: ignore[attr-defined]
                "frames_decoded": sum(r.frames_decoded for r in readers_of_folds) / calls,  # type: ignore[attr-defined]
            }
        else:
            count = int(name.split("_")[1])
            decodes = [uniform_decodes(clips[row].path, count) for _, row in work]
            counted[name] = {
                "frames_read": count,
                "frames_decoded": sum(decodes) / len(decodes),
            }
        for reader in readers_of_folds:
            reader.decode_seconds = reader.model_seconds = 0.0  # type: ignore[attr-defined]

    step = max(1, len(work) // args.max_timed)
    timed = work[::step]
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds):
        spent = dict.fromkeys(contestants, 0.0)
        for k, row in timed:
            for name, readers_of_folds in contestants.items():
                start = time.perf_counter()
                readers_of_folds[k](clips[row].path)
                spent[name] += time.perf_counter() - start
        for name in contestants:
            seconds[name].append(spent[name] / len(timed))
    labels = [clips[row].label for _, row in work]
    runs = len(timed) * args.rounds
    report: dict[str, dict[str, Any]] = {}
    for name, readers_of_folds in contestants.items():
        right = sum(a == b for a, b in zip(given[name], labels, strict=True))
        median = statistics.median(seconds[name])
        report[name] = {
            "accuracy": right / len(labels),
            "accuracy_interval": interval(right / len(labels), len(labels)),
            "balanced_accuracy": balanced_accuracy(given[name], labels),
            **counted[name],
            "seconds_per_clip": median,
            "decode_seconds": sum(r.decode_seconds for r in readers_of_folds) / runs,  # type: ignore[attr-defined]
            "model_seconds": sum(r.model_seconds for r in readers_of_folds) / runs,  # type: ignore[attr-defined]
            "adaptive_speedup": median / statistics.median(seconds["adaptive"]),
        }
    print(
        json.dumps(
            {
                "clips": len(labels),
                "timed_clips": len(timed),
                "rounds": args.rounds,
                "threads": torch.get_num_threads(),
                "machine": f"{platform.machine()}, Python {platform.python_version()}",
                "versions": {
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "decord": decord.__version__,
                },
                "results": report,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
