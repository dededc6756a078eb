"""The training of FrameExit's exits on clips: features once, cross-validation over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...backbones.efficientnet_lite import load_imagenet_weights
from ...data import Video
from ...data.labelled.clips import Clip
from ...engine import Engine
from ...models import EfficientNetLite0, FrameExit, FrameExitConfig
from ...models.rows_seen import RowsSeen, Shown
from ...training.accuracy import balanced_accuracy, interval
from ...training.calibration import frontier, measure
from ...training.exit_policies import (
    ExitAnswers,
    certainties,
    exits_taken,
    shared_thresholds,
)
from ...training.exits import PooledClips, fit_exits
from ..held_out.unseen import rows_of


@dataclass
class VideoArguments:
    """Clips, reader and protocol."""

    data_dir: str = field(metadata={"help": "Folder with the clips and the manifest."})
    manifest: str = field(default="groups.csv", metadata={"help": "Manifest in the folder."})
    num_frames: int = field(default=3, metadata={"help": "Frames that are read if none halts."})
    order: str = field(default="end_first", metadata={"help": "Order of reading."})
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
    threshold: float = field(
        default=0.8,
        metadata={"help": "Confidence to halt at; temporal calibrate can choose another."},
    )
    calibration_share: float = field(
        default=0.0,
        metadata={
            "help": "Keep the clips of this share of the groups out of all trainings, for "
            "temporal calibrate --task video, which finds the same clips by the same share."
        },
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
        plan = reader.reading_order(count, video.index.keyframes)
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
    videos: Iterator[Any] = (Video(clip.path) for clip in clips)
    for outcome in engine.run(read, videos):
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
    """A reader with untrained exits on the backbone."""
    min_frames = min(args.min_frames, args.num_frames)
    never = 1e9  # no confidence reaches it
    return FrameExit.from_backbone(
        backbone,
        num_frames=args.num_frames,
        order=args.order,
        snap_share=args.snap_share,
        min_frames=min_frames,
        thresholds=[never] * (min_frames - 1) + [args.threshold] * (args.num_frames - min_frames),
        pooling="change",
        exit_decay=args.exit_decay,
        feature_power=args.feature_power,
        id2label=dict(enumerate(names)),
        label2id={name: k for k, name in enumerate(names)},
    ).eval()


class Protocol:
    """Cross-validation over one set of features."""

    def __init__(
        self, args: VideoArguments, training: Any, clips: Sequence[Clip], names: Sequence[str]
    ) -> None:
        self.args, self.training, self.names, self.clips = args, training, names, clips
        self.labels = torch.tensor([clip.label for clip in clips])
        self.backbone = load_imagenet_weights(EfficientNetLite0()).eval()
        shifts = [args.view_shift * k for k in (0, 1, -1, 2, -2)[: args.views]]
        reader = new_reader(args, names, self.backbone)
        features = extract(reader, clips, shifts)
        pairs = zip(features.views, features.times, strict=True)
        self.views = [reader.pooled_states(view, times) for view, times in pairs]
        """Pooled states `[N, S, P]` of each view; the first is what the reader itself reads."""

    def train(self, rows: Sequence[int]) -> FrameExit:
        """A reader whose exits saw these rows, all views of them."""
        picked = torch.tensor(list(rows))
        clips = PooledClips(
            torch.cat([view[picked] for view in self.views]),
            self.labels[picked].repeat(len(self.views)),
        )
        args = replace(self.training, per_device_train_batch_size=len(clips))
        reader = new_reader(self.args, self.names, self.backbone)
        reader.rows_seen = self.shown(rows)
        return fit_exits(reader, clips, args)

    def shown(self, rows: Sequence[int]) -> RowsSeen:
        """What a training on these rows shows a reader, to be saved with it."""
        shown = rows_of([self.clips[row] for row in rows], self.args.data_dir)
        split: dict[str, Any] = {"file": self.args.manifest, "seed": self.training.seed}
        if self.args.calibration_share:
            split["calibration_share"] = self.args.calibration_share
        groups = frozenset(group for group in shown.groups or () if group is not None)
        learned = Shown(rows=frozenset(shown.rows), groups=groups, splits=(split,))
        return RowsSeen(shown={"training": learned})

    @torch.inference_mode()
    def answers(self, reader: FrameExit, rows: Sequence[int]) -> Tensor:
        """All exits' logits `[len(rows), S, K]`."""
        return reader(states=self.views[0][torch.tensor(list(rows))]).exit_logits

    def cross_validate(self, folds: Sequence[Sequence[int]]) -> tuple[list[FrameExit], Tensor]:
        """For each fold a reader that saw nothing of it.

        Returns:
            The readers, and their exits' logits `[N, S, K]` on the clips of their folds.
        """
        readers = []
        logits = torch.zeros(len(self.labels), self.args.num_frames, len(self.names))
        for held in folds:
            reader = self.train([row for fold in folds if fold is not held for row in fold])
            logits[held] = self.answers(reader, held)
            readers.append(reader)
        return readers, logits

    def store_points(self, reader: FrameExit, logits: Tensor) -> None:
        """Store operating points for `budget=`, from answers to clips that were held out.

        Balanced accuracy, without bounds: these clips were answered by the readers of the folds.
        """
        args = self.args
        if args.num_frames == args.min_frames:
            return
        answers = ExitAnswers(
            certainties=certainties(reader.config, logits),
            losses_NE=logits.argmax(-1) != self.labels[:, None],
            costs_NE=torch.arange(1.0, args.num_frames + 1).expand(len(logits), -1),
            cost_unit="frames",
        )
        thresholds = shared_thresholds(
            reader.config.criterion, *logits.shape[1:], min_exit=args.min_frames - 1
        )
        grid = answers.grid(reader.config.criterion, thresholds)
        counts = torch.bincount(self.labels).double()
        shares = 1 / (counts[self.labels] * (counts > 0).sum())
        points = measure(grid.take(frontier(grid, 12)), shares)
        reader.config.operating_points = [point.to_dict() for point in points]

    def judge(self, config: FrameExitConfig, logits: Tensor) -> dict[str, Any]:
        """Accuracy and frames read, of every clip by the reader of its fold."""
        taken = exits_taken(certainties(config, logits), config.thresholds or [])
        chosen = logits[torch.arange(len(logits)), taken].argmax(-1)
        accuracy = (chosen == self.labels).double().mean().item()
        return {
            "clips": len(chosen),
            "accuracy": accuracy,
            "accuracy_interval": interval(accuracy, len(chosen)),
            "balanced_accuracy": balanced_accuracy(chosen.tolist(), self.labels.tolist()),
            "mean_frames_read": (taken + 1).double().mean().item(),
        }


def training_defaults() -> dict[str, Any]:
    """One batch of everything and a few steps of L-BFGS: the fit is convex."""
    return {
        "learning_rate": 1.0,
        "max_steps": 4,
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "weight_decay": 0.0,
        "dataloader_pin_memory": False,
        "max_grad_norm": 0.0,
    }
