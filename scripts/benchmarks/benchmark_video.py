"""Measure readers of frames against uniform frames, end to end, on the same folds.

    python scripts/finetune_video.py --data_dir CLIPS --inner_folds 4 --output_dir out/frame_exit
    python scripts/finetune_video.py --data_dir CLIPS --selection_share 0.2 \
        --model oc_sampler --output_dir out/oc_sampler
    python scripts/benchmarks/benchmark_video.py --data_dir CLIPS \
        --model_dirs out/frame_exit out/oc_sampler --output_dir out/bench

Every clip is read from its file by the reader of the fold that did not see its group. Beside the
readers: K uniform frames through `decord.VideoReader.get_batch` and through our own `Video.read`,
and K frames that are chosen without training, snapped to keyframes or by motion; all with the same
backbone, folded for all, and the same kind of head, trained on the same folds. Accuracy is of all
clips. A part of them is timed, contestants in turn after each clip, or after a few that a reader
takes together (`--in_turn`); medians over rounds. `--dtypes float32 bfloat16` has readers and
uniform frames in both.

What a contestant answered is kept in `answers` in the output folder, and is not asked for again
while the reader, the operating point and the clips are the same. Writes `results.json`,
`results.md` and `results.png`, and prints the JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import decord
import torch
from parts.uniform_heads import choosers, in_type, uniform_readers
from parts.video_table import beside_uniform, save_plot, table
from transformers import HfArgumentParser, TrainingArguments
from transformers.utils import logging

from temporal.backbones.image import describe
from temporal.data.labelled.clips import Clip, hold_out_clips
from temporal.pipelines.benchmark.folds import FoldContestant, FoldReaders, Folds, same_folds
from temporal.pipelines.benchmark.interleaved import clock_by_item, machine
from temporal.pipelines.benchmark.video_seen import VideoSeen, means_of
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.unseen import NotNew
from temporal.pipelines.training.flags import (
    IGNORED_FOR_CLIPS,
    check_flags,
    check_processes,
    given_options,
)
from temporal.pipelines.training.video.backbones import load_backbone
from temporal.pipelines.training.video.frames import VideoArguments
from temporal.pipelines.training.video.run import training_defaults
from temporal.trace import Cost
from temporal.training.accuracy import balanced_accuracy, interval


@dataclass
class BenchmarkArguments:
    """What to measure."""

    model_dirs: list[str] = field(
        metadata={"help": "Outputs of finetune_video.py on the same folds, with the same seed."}
    )
    points: list[str] = field(
        default_factory=lambda: ["own", "chosen"],
        metadata={"help": "Operating points of each: own, chosen, full, or budgets such as 0.5."},
    )
    uniform: list[int] = field(
        default_factory=lambda: [1, 2, 4, 8, 16, 32],
        metadata={"help": "Numbers of uniform frames."},
    )
    chosen_frames: list[int] = field(
        default_factory=lambda: [2, 4],
        metadata={"help": "Numbers of frames by keyframes and by motion."},
    )
    dtypes: list[str] = field(
        default_factory=lambda: ["float32"],
        metadata={"help": "What readers and uniform frames compute in: float32, bfloat16 or both."},
    )
    dense: int = field(
        default=16, metadata={"help": "Uniform frames that MACs and time are saved against."}
    )
    rounds: int = field(default=3, metadata={"help": "Timed rounds; 0: score only."})
    max_timed: int = field(default=80, metadata={"help": "Clips that are timed (all are scored)."})
    in_turn: int = field(
        default=1,
        metadata={"help": "Clips that a contestant reads, those of a fold at once, in its turn."},
    )


def score(
    name: str, one: FoldContestant, work: Sequence[tuple[int, Clip]], folder: Path
) -> list[VideoSeen]:
    """What a contestant did with every clip, perhaps kept from before."""
    key = [one.key, *(f"{clip.digest:016x}" for _, clip in work)]
    file = folder / f"{name.replace('/', '@')}.json"
    if file.is_file():
        kept = json.loads(file.read_text())
        if kept["key"] == key:
            return [VideoSeen(**{**row, "cost": Cost(**row["cost"])}) for row in kept["seen"]]
    seen = one.answer(work, counts=True)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"key": key, "seen": [asdict(row) for row in seen]}))
    return seen


def scored(seen: Sequence[VideoSeen], labels: Sequence[int]) -> dict[str, Any]:
    """Accuracy, and what a clip took of frames and MACs."""
    given = [one.answer for one in seen]
    accuracy = fmean(a == b for a, b in zip(given, labels, strict=True))
    return {
        "accuracy": accuracy,
        "accuracy_interval": interval(accuracy, len(labels)),
        "balanced_accuracy": balanced_accuracy(given, labels),
        "most_frequent": max(Counter(labels).values()) / len(labels),
        **means_of(seen),
    }


def timed(
    contestants: Mapping[str, FoldContestant],
    work: Sequence[tuple[int, Clip]],
    rounds: int,
    in_turn: int,
) -> dict[str, dict[str, float]]:
    """Milliseconds a clip: from the file to the answer, and of that decoding and the model."""
    runs = {name: partial(one.answer, counts=False) for name, one in contestants.items()}
    return {
        name: {
            "ms": 1000 * seconds,
            "decode_ms": 1000 * fmean(one.cost.decode_seconds for one in seen),
            "model_ms": 1000 * fmean(one.cost.model_seconds for one in seen),
        }
        for name, (seconds, seen) in clock_by_item(runs, work, rounds, in_turn=in_turn).items()
    }


def readers_of(
    folders: Sequence[Path],
    folds: Folds,
    points: Sequence[str],
    backbone: str,
    dtypes: Sequence[str],
    batch_size: int,
) -> dict[str, FoldContestant]:
    """The trainings' readers at their operating points, in each type, by names.

    Raises:
        ValueError: two folders have one name, or readers have another backbone than uniform frames.
    """
    found: dict[str, FoldContestant] = {}
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"--model_dirs ({names}) must have different names: they name the rows")
    known = json.dumps(describe(load_backbone(backbone)[0]), sort_keys=True)
    for folder, dtype in itertools.product(folders, dtypes):
        readers = FoldReaders(folder, len(folds.rows), dtype=dtype, batch_size=batch_size)
        if json.dumps(readers.pipes[0].reader.config.backbone, sort_keys=True) != known:
            raise ValueError(
                f"--backbone ({backbone}) must be that of {folder}, so that uniform frames are "
                "answered by the same one"
            )
        for point in points:
            one = readers.contestant(point)
            if one is None:
                print(f"{folder} has no point {point!r}: left out", file=sys.stderr)
            elif point != "full" or readers.halts_by_itself or "own" not in points:
                name = folder.name if point == "own" else f"{folder.name}/{point}"
                name, says = in_type(name, one.says, dtype)
                found[name] = replace(one, says=says)
    return found


@ended_by(NotNew)
def main() -> None:
    """Score every clip once, time a part of them, write and print."""
    kinds = (BenchmarkArguments, VideoArguments, TrainingArguments)
    parser = HfArgumentParser(kinds)
    parser.set_defaults(**training_defaults())
    args, video_args, training = parser.parse_args_into_dataclasses(sys.argv[1:])
    check_flags(training, given_options(kinds, sys.argv[1:]), IGNORED_FOR_CLIPS)
    check_processes(training, alone=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    listed = video_args.listed()
    clips = listed.clips
    if video_args.calibration_share:
        clips, _ = hold_out_clips(clips, video_args.calibration_share, training.seed)
    folders, output = [Path(folder) for folder in args.model_dirs], Path(training.output_dir)
    folds = same_folds(folders, clips, video_args.clip_source)
    named = (folders, folds, args.points, video_args.backbone)
    readers = readers_of(*named, dtypes=args.dtypes, batch_size=args.in_turn)
    trained = (video_args, training, folds, listed.names)
    uniform = uniform_readers([*args.uniform, args.dense], *trained, args.dtypes)
    contestants = {**readers, **choosers(args.chosen_frames, *trained, args.in_turn), **uniform}
    work, labels = folds.work, [clip.label for _, clip in folds.work]
    results: dict[str, dict[str, Any]] = {}
    for name, one in contestants.items():
        print(f"{name}: {one.says}", file=sys.stderr)
        found = scored(score(name, one, work, output / "answers"), labels)
        results[name] = {"says": one.says, **found}
    part = work[:: max(1, len(work) // args.max_timed)]
    if args.rounds:
        for name, times in timed(contestants, part, args.rounds, args.in_turn).items():
            results[name] |= times
        beside_uniform(results, list(uniform), f"decord_{args.dense}")
    found = machine()
    report = {
        "data": video_args.clip_source,
        "clips": len(work),
        "timed_clips": len(part),
        "rounds": args.rounds,
        "in_turn": args.in_turn,
        "threads": torch.get_num_threads(),
        "seed": folds.seed,
        **found,
        "versions": {**found["versions"], "decord": decord.__version__},
        "results": results,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(report, indent=2))
    if args.rounds:
        (output / "results.md").write_text(table(report))
        save_plot(report, output / "results.png")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
