"""Fit the exits of a frame reader on features of a frozen backbone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..models.checks import num_classes
from ..models.frame_exit import FrameExit


class FeatureClips(Dataset):
    """Clips as the features of the frames that a reader would read.

    Args:
        features: float `[N, S, D]`, in reading order.
        times: float `[N, S]`, shares of each video's length.
        labels: int64 `[N]`.
    """

    def __init__(self, features: Tensor, times: Tensor, labels: Tensor) -> None:
        if not len(features) == len(times) == len(labels):
            raise ValueError(
                f"features ({len(features)}), times ({len(times)}) and labels ({len(labels)}) "
                "must be as many"
            )
        self.features, self.times, self.labels = features, times, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        return {"features": self.features[k], "times": self.times[k], "labels": self.labels[k]}


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Class weights that give every class that occurs the same total: float `[num_classes]`."""
    counts = torch.bincount(labels, minlength=num_classes).float()
    return torch.where(counts > 0, len(labels) / (num_classes * counts.clamp(min=1)), 0.0)


class ExitTrainer(Trainer):
    """A Trainer of the exits alone: the backbone is frozen and rare classes count as much."""

    def __init__(self, *args: Any, class_weights: Tensor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.class_weights = class_weights

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The model's own loss, with the class weights."""
        inputs = {**inputs, "class_weights": self.class_weights.to(inputs["labels"].device)}
        return super().compute_loss(model, inputs, *args, **kwargs)


def fit_exits(reader: FrameExit, clips: FeatureClips, args: TrainingArguments) -> FrameExit:
    """Train the exits (and gates) of a reader whose backbone stays as it is.

    The exits see standardised features: their statistics are those of `clips`, set once, so that
    the fit is a convex problem and one batch of everything converges to its optimum.
    """
    reader.backbone.requires_grad_(False)
    reader.set_feature_statistics(clips.features, clips.times)
    trainer = ExitTrainer(
        model=reader,
        args=args,
        train_dataset=clips,
        class_weights=balanced_weights(clips.labels, num_classes(reader.config)),
    )
    trainer.remove_callback(PrinterCallback)  # many small fits: their logs would be all there is
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    return reader.eval()
