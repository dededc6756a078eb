"""Fit the exits of a frame reader on features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..checks import num_classes
from ..models.video.frame_exit import FrameExit


class PooledClips(Dataset):
    """Clips as what the exits of a reader see of them.

    Args:
        states: float `[N, S, P]`, pooled after each frame (`FrameExit.pooled_states`).
        labels: int64 `[N]`.
    """

    def __init__(self, states: Tensor, labels: Tensor) -> None:
        if len(states) != len(labels):
            raise ValueError(f"states ({len(states)}) and labels ({len(labels)}) must be as many")
        self.states, self.labels = states, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        return {"states": self.states[k], "labels": self.labels[k]}

    def __getitems__(self, rows: list[int]) -> dict[str, Tensor]:
        """A whole batch at once, which leaves nothing to collate."""
        if len(rows) == len(self):  # all of them, and a mean loss asks for no order: no copy
            return {"states": self.states, "labels": self.labels}
        return {"states": self.states[rows], "labels": self.labels[rows]}


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Class weights that give every class that occurs the same total: float `[num_classes]`."""
    counts = torch.bincount(labels, minlength=num_classes).float()
    return torch.where(counts > 0, len(labels) / (num_classes * counts.clamp(min=1)), 0.0)


class _OwnClosureLBFGS(torch.optim.LBFGS):
    """L-BFGS for a loop that calls `step()` and knows of no closure."""

    own_closure: Callable[[], Any]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        return super().step(closure or self.own_closure)


class ExitTrainer(Trainer):
    """A Trainer of the exits alone: the backbone is frozen and rare classes count as much.

    It minimises by L-BFGS (Liu & Nocedal, 1989), of which one training step makes up to
    `ITERATIONS`: on states that are far from independent, 300 steps of Adam still lost a point.
    """

    ITERATIONS = 20

    def __init__(self, *args: Any, class_weights: Tensor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.class_weights = class_weights

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """L-BFGS over what is trained, with `learning_rate` as its step length."""
        assert self.model is not None
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = _OwnClosureLBFGS(
            trained,
            lr=self.args.learning_rate,
            max_iter=self.ITERATIONS,
            line_search_fn="strong_wolfe",
        )
        return self.optimizer

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss; its gradients are asked for by the optimizer, as often as it needs them."""

        def loss_and_gradients() -> Tensor:
            model.zero_grad()
            return super(ExitTrainer, self).training_step(model, dict(inputs), *args, **kwargs)

        optimizer: Any = self.optimizer
        getattr(optimizer, "optimizer", optimizer).own_closure = loss_and_gradients  # unwrapped
        return loss_and_gradients()

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The model's own loss, with the class weights."""
        inputs = {**inputs, "class_weights": self.class_weights.to(inputs["labels"].device)}
        return super().compute_loss(model, inputs, *args, **kwargs)


def fit_exits(reader: FrameExit, clips: PooledClips, args: TrainingArguments) -> FrameExit:
    """Train the exits (and gates) of a reader whose backbone stays as it is.

    The exits see standardised states: their statistics are those of `clips`, set once, so that
    the fit is a convex problem, whose optimum a few steps on one batch of everything reach.

    Args:
        reader: its `exit_decay` makes the optimum unique.
        clips: what the exits see.
        args: `per_device_train_batch_size=len(clips)` and `learning_rate=1` suit the optimizer.

    Returns:
        The reader, trained in place.
    """
    reader.backbone.requires_grad_(False)
    reader.set_statistics(clips.states)
    trainer = ExitTrainer(
        model=reader,
        args=replace(args, remove_unused_columns=False),  # batches come collated
        train_dataset=clips,
        data_collator=dict,
        class_weights=balanced_weights(clips.labels, num_classes(reader.config)),
    )
    trainer.remove_callback(PrinterCallback)  # many small fits: their logs would be all there is
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    return reader.eval()
