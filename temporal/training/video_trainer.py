"""The Trainer of readers of frames by gradients, and what it says of them.

B videos, E exits, K classes.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer

from .accuracy import balanced_accuracy
from .block_shuffle import own_order


class VideoTrainer(Trainer):
    """Gives `forward` the class weights, and leaves what is frozen as it is.

    Args:
        class_weights: `[K]`; None: all classes count alike.
        *args, **kwargs: of `Trainer`; the model is a reader of frames.
    """

    def __init__(self, *args: Any, class_weights: Tensor | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reader: Any = self.model
        takes = inspect.signature(reader.forward).parameters
        self._class_weights = class_weights if "class_weights" in takes else None
        self._frozen = frozen_modules(reader)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        order = own_order(self, train_dataset)
        return super()._get_train_sampler(train_dataset) if order is None else order

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The reader's own loss."""
        if model.training:
            for module in self._frozen:  # their statistics and dropout are not to change
                module.eval()
        if self._class_weights is not None:
            inputs = {**inputs, "class_weights": self._class_weights.to(self.args.device)}
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._take_weights(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        self._take_weights(self.state.best_model_checkpoint)

    def _take_weights(self, folder: str) -> None:
        """Load a checkpoint as the reader itself is loaded.

        transformers saves some families under names of old (ViT), which `from_pretrained` turns
        back and a `Trainer` passes over, with their weights.
        """
        reader: Any = self.model
        saved = type(reader).from_pretrained(folder)
        reader.load_state_dict(saved.state_dict())

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, *args: Any, **kw: Any
    ) -> tuple[Any, Any, Any]:
        """The loss; what is answered, all exits' answers and the frames used; the labels."""
        inputs = self._prepare_inputs(inputs)
        with torch.inference_mode(), self.compute_loss_context_manager():
            loss, output = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss.detach(), None, None
        reader: Any = self.model  # not what wraps it
        logits, frames = reader.settled(output)
        exits = logits[:, None] if output.exit_logits is None else output.exit_logits
        return loss.detach(), (logits.float(), exits.float(), frames), inputs["labels"]


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """Modules that have weights of which none is trained, the outermost of each such part."""
    found: list[nn.Module] = []

    def look(module: nn.Module) -> None:
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            found.append(module)
            return
        for child in module.children():
            look(child)

    look(model)
    return found


def answer_metrics(prediction: Any) -> dict[str, float]:
    """Scores of a reader's answers, for `Trainer`'s `compute_metrics`.

    The accuracy, plain and balanced; of several labels at a time the mean average precision. And
    the frames that were used.
    """
    (logits, exits, frames), labels = prediction.predictions, prediction.label_ids
    scores = answer_scores(logits, labels)
    if exits.shape[1] > 1 and labels.ndim == 1:
        right_NE = exits.argmax(-1) == labels[:, None]
        scores |= {f"accuracy_exit_{k}": float(v) for k, v in enumerate(right_NE.mean(0))}
    return {**scores, "frames_read": float(frames.mean())}


def answer_scores(logits_NK: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Scores of answers to labels int `[N]`, or 0 and 1 `[N, K]` of several."""
    if labels.ndim == 1:
        said = logits_NK.argmax(-1)
        return {
            "accuracy": float((said == labels).mean()),
            "balanced_accuracy": balanced_accuracy(said.tolist(), labels.tolist()),
        }
    return {
        "mean_average_precision": mean_average_precision(logits_NK, labels),
        "accuracy": float(((logits_NK > 0) == (labels > 0.5)).mean()),
    }


def mean_average_precision(scores_NK: np.ndarray, labels_NK: np.ndarray) -> float:
    """The mean over classes that occur of their average precision.

    Of a class: the mean, over its videos, of the share of right ones among all that score as high.
    """
    found = []
    for scores_N, is_right_N in zip(scores_NK.T, labels_NK.T > 0.5, strict=True):
        if not is_right_N.any():
            continue
        as_high_NN = scores_N[None, :] >= scores_N[is_right_N][:, None]
        found.append(float(((as_high_NN & is_right_N).sum(1) / as_high_NN.sum(1)).mean()))
    return float(np.mean(found)) if found else float("nan")
