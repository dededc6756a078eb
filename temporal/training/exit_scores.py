"""Scores of every exit of a reader, for `Trainer`'s `compute_metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np


def exit_scores(prediction: Any) -> dict[str, float]:
    """Scores of the answer, and of every exit where the model has several."""
    outputs, labels = prediction.predictions, prediction.label_ids
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    scores = answer_scores(logits, labels)
    extra = outputs[1] if isinstance(outputs, tuple) else None
    if extra is not None and extra.ndim == 3:
        for k in range(extra.shape[1]):
            of_exit = answer_scores(extra[:, k], labels)
            scores.update({f"{name}_exit_{k}": score for name, score in of_exit.items()})
    elif extra is not None:
        scores["read_share"] = float(np.mean(extra))
    return scores


def answer_scores(logits: Any, labels: Any) -> dict[str, float]:
    """The accuracy; for one output, its mean squared error and correlation with the labels."""
    if logits.shape[-1] > 1:
        return {"accuracy": float((logits.argmax(-1) == labels).mean())}
    outputs = logits[:, 0]
    return {
        "mse": float(np.square(outputs - labels).mean()),
        "pearson": float(np.corrcoef(outputs, labels)[0, 1]),
    }
