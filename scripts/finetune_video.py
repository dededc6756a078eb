"""Fine-tune FrameExit's exits on clips, with a frozen backbone, cross-validated by group.

    python scripts/finetune_video.py --data_dir CLIPS --output_dir out/tank

The folder holds a manifest `groups.csv` with the columns path, label, group and perhaps camera.
Every clip is answered by a reader that saw no clip of its group; halting thresholds come from the
training folds alone. Prints one JSON line with accuracy, balanced accuracy and frames read, with
95 % intervals, and the same with whole cameras held out. Saves the reader of each fold (for
scripts/benchmark_video.py) and one trained on all clips. All options of
transformers.TrainingArguments work.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import HfArgumentParser, TrainingArguments, set_seed
from transformers.utils import logging
from video_data import Clip, balanced_accuracy, grouped_folds, interval, read_clips

from temporal.data import Video
from temporal.engine import Engine
from temporal.models import EfficientNetLite0, FrameExit
from temporal.models.efficientnet_lite import load_imagenet_weights
from temporal.training.calibration import exit_frontier, exits_taken, within_drop
from temporal.training.exits import FeatureClips, fit_exits


@dataclass
class VideoArguments:
    """Clips, reader and protocol."""

    data_dir: str = field(metadata={"help": "Folder with the clips and the manifest."})
    manifest: str = field(default="groups.csv", metadata={"help": "Manifest in the folder."})
    num_frames: int = field(default=3, metadata={"help": "Frames that are read if none halts."})
    order: str = field(default="endpoints_first", metadata={"help": "Order of reading."})
    snap_share: float = field(
        default=0.05, metadata={"help": "Snap to keyframes within this share of the video."}
    )
    min_frames: int = field(default=2, metadata={"help": "Frames before the first exit answers."})
    exit_decay: float = field(default=0.18, metadata={"help": "Weight of the squared weights."})
    feature_power: float = field(default=0.5, metadata={"help": "Power of the features."})
    views: int = field(
        default=3, metadata={"help": "Times that each training clip is read, a little shifted."}
    )
    view_shift: float = field(default=0.03, metadata={"help": "Shift, as a share of the clip."})
    num_folds: int = field(default=5, metadata={"help": "Folds; groups stay whole."})
    max_drop: float = field(
        default=0.0,
        metadata={"help": "Largest drop in balanced accuracy by halting, on the training folds."},
    )
    max_clips: int | None = field(default=None, metadata={"help": "Use so many, for a quick try."})


@dataclass(frozen=True)
class Features:
    """What the backbone saw of every clip: one view for answers, several for training."""

    views: list[Tensor]
    """`[N, S, D]` each; the first is what the reader itself reads."""
    times: list[Tensor]
    """`[N, S]` each."""


def extract(reader: FrameExit, clips: Sequence[Clip], shifts: Sequence[float]) -> Features:
    """Read every clip's planned frames, shifted by shares of its length, through the backbone."""
    config = reader.config
    size = (config.image_size, config.image_size)

    async def read(video: Any) -> tuple[Tensor, Tensor]:
        count = await video.open()
        plan = reader.plan(count, video.index.keyframes)
        frames = [
            [min(max(frame + round(shift * count), 0), count - 1) for frame in plan]
            for shift in shifts
        ]
        pixels = await video.read([frame for view in frames for frame in view], size=size)
        features = await reader.features(pixels)
        shape = (len(shifts), len(plan))
        return features.unflatten(0, shape), torch.tensor(frames) / count

    engine = Engine(8, max_batch_size=32, deterministic=True, count_macs=False)
    views, times = [], []
    for outcome in engine.run(read, (Video(clip.path) for clip in clips)):
        if outcome.error is not None:
            raise outcome.error
        views.append(outcome.value[0])
        times.append(outcome.value[1])
    return Features(
        views=list(torch.stack(views, 1).clone().unbind(0)),
        times=list(torch.stack(times, 1).unbind(0)),
    )


def new_reader(
    args: VideoArguments, names: Sequence[str], backbone: EfficientNetLite0
) -> FrameExit:
    return FrameExit.from_backbone(
        backbone,
        num_frames=args.num_frames,
        order=args.order,
        snap_share=args.snap_share,
        min_frames=min(args.min_frames, args.num_frames),
        pooling="change",
        exit_decay=args.exit_decay,
        feature_power=args.feature_power,
        id2label=dict(enumerate(names)),
        label2id={name: k for k, name in enumerate(names)},
    ).eval()


def fit(
    reader: FrameExit, features: Features, labels: Tensor, rows: Sequence[int], args: Any
) -> FrameExit:
    """Train the exits on some rows, all views of them."""
    picked = torch.tensor(list(rows))
    clips = FeatureClips(
        torch.cat([view[picked] for view in features.views]),
        torch.cat([times[picked] for times in features.times]),
        labels[picked].repeat(len(features.views)),
    )
    return fit_exits(reader, clips, replace(args, per_device_train_batch_size=len(clips)))


@torch.inference_mode()
def answers(reader: FrameExit, features: Features, rows: Sequence[int]) -> Tensor:
    """All exits' logits `[len(rows), S, K]`, from the view that the reader itself reads."""
    picked = torch.tensor(list(rows))
    return reader(features=features.views[0][picked], times=features.times[0][picked]).exit_logits


class Protocol:
    """Cross-validation over one set of features."""

    def __init__(
        self, args: VideoArguments, training: Any, clips: Sequence[Clip], names: Sequence[str]
    ) -> None:
        self.args, self.training, self.clips, self.names = args, training, clips, names
        self.labels = torch.tensor([clip.label for clip in clips])
        self.backbone = load_imagenet_weights(EfficientNetLite0()).eval()
        shifts = [args.view_shift * k for k in (0, 1, -1, 2, -2)[: args.views]]
        self.features = extract(new_reader(args, names, self.backbone), clips, shifts)

    def train(self, rows: Sequence[int]) -> FrameExit:
        reader = new_reader(self.args, self.names, self.backbone)
        return fit(reader, self.features, self.labels, rows, self.training)

    def out_of_fold(self, rows: Sequence[int], folds: Sequence[Sequence[int]]) -> Tensor:
        """Exits' logits of each row, by a reader that did not see its fold."""
        place = {row: k for k, row in enumerate(rows)}
        logits = torch.zeros(len(rows), self.args.num_frames, len(self.names))
        for held in folds:
            reader = self.train([row for row in rows if row not in set(held)])
            logits[[place[row] for row in held]] = answers(reader, self.features, held)
        return logits

    def inner_folds(self, rows: Sequence[int], seed: int) -> list[list[int]]:
        labels = [self.clips[row].label for row in rows]
        groups = [self.clips[row].group for row in rows]
        folds = grouped_folds(labels, groups, 3, seed)
        return [[rows[k] for k in fold] for fold in folds]

    def fit_and_calibrate(self, rows: Sequence[int], seed: int) -> FrameExit:
        """Train on rows; thresholds from an inner cross-validation over the same rows."""
        reader = self.train(rows)
        if self.args.num_frames > 1:
            inner = self.out_of_fold(rows, self.inner_folds(rows, seed))
            points = exit_frontier(
                inner,
                self.labels[torch.tensor(list(rows))],
                [(k + 1) / self.args.num_frames for k in range(self.args.num_frames)],
                "confidence",
                class_balanced=True,
                min_exit=reader.config.min_frames - 1,
            )
            chosen = within_drop(points, self.args.max_drop)
            reader.config.thresholds = chosen.policy["thresholds"]
            reader.config.operating_points = [
                point.to_dict() for point in {p.cost_share: p for p in points[::12]}.values()
            ]
        return reader

    def cross_validate(
        self, folds: Sequence[Sequence[int]], seed: int, output: Path | None
    ) -> dict[str, Any]:
        """Answer every clip of the folds by a reader that saw nothing of its fold."""
        right_rows, chosen, read = [], [], []
        for k, held in enumerate(folds):
            kept = sorted(row for fold in folds if fold is not held for row in fold)
            reader = self.fit_and_calibrate(kept, seed)
            logits = answers(reader, self.features, held)
            thresholds = reader.config.thresholds or [1e9] * (self.args.num_frames - 1)
            taken = exits_taken(logits, reader.config.criterion, thresholds)
            chosen += logits[torch.arange(len(held)), taken].argmax(-1).tolist()
            read += (taken + 1).tolist()
            right_rows += list(held)
            if output is not None:
                reader.save_pretrained(output / f"fold{k}")
        labels = self.labels[torch.tensor(right_rows)].tolist()
        right = sum(a == b for a, b in zip(chosen, labels, strict=True))
        accuracy = right / len(labels)
        return {
            "clips": len(labels),
            "accuracy": accuracy,
            "accuracy_interval": interval(accuracy, len(labels)),
            "balanced_accuracy": balanced_accuracy(chosen, labels),
            "mean_frames_read": sum(read) / len(read),
        }


def training_defaults() -> dict[str, Any]:
    """One batch of everything, 300 steps: the fit is convex and a fold takes seconds."""
    return {
        "learning_rate": 3e-2,
        "max_steps": 300,
        "lr_scheduler_type": "linear",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "weight_decay": 0.0,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "max_grad_norm": 0.0,
    }


def main() -> None:
    """Cross-validate, hold cameras out, train on everything, save and print."""
    parser = HfArgumentParser((VideoArguments, TrainingArguments))
    parser.set_defaults(**training_defaults())
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        args, training = parser.parse_json_file(sys.argv[1])
    else:
        args, training = parser.parse_args_into_dataclasses()
    logging.set_verbosity_error()
    set_seed(training.seed)
    clips, names = read_clips(args.data_dir, args.manifest)
    clips = clips[:: max(1, len(clips) // args.max_clips)] if args.max_clips else clips
    output = Path(training.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    protocol = Protocol(args, training, clips, names)

    labels, groups = [clip.label for clip in clips], [clip.group for clip in clips]
    folds = grouped_folds(labels, groups, args.num_folds, training.seed)
    result = {"by_group": protocol.cross_validate(folds, training.seed, output)}
    cameras = sorted({clip.camera for clip in clips})
    if len(cameras) > 1:
        held = [[k for k, clip in enumerate(clips) if clip.camera == name] for name in cameras]
        result["cameras_held_out"] = protocol.cross_validate(held, training.seed, None)
    protocol.fit_and_calibrate(range(len(clips)), training.seed).save_pretrained(output / "final")
    paths = [[clips[row].path for row in fold] for fold in folds]
    (output / "folds.json").write_text(json.dumps(paths, indent=1))
    (output / "all_results.json").write_text(json.dumps(result, indent=2))
    print(json.dumps({"output_dir": str(output), **result}))


if __name__ == "__main__":
    main()
