"""Predictions of classes: from a reader's logits to labels and scores."""

from __future__ import annotations

from typing import Any

from ..scores import best_classes, class_scores, name_of


def class_predictions(
    pipe: Any, logits_K: Any, top_k: int | None
) -> tuple[tuple[dict[str, Any], ...], tuple[int, ...]]:
    """`{"label", "score"}` by falling score, as transformers gives them, and each one's class.

    Args:
        pipe: A pipeline, with its `model.config` and perhaps `function_to_apply`.
        logits_K: `[K]`, what the reader returned.
        top_k: The most predictions; None: all.
    """
    config = pipe.model.config
    scores = class_scores(config, logits_K, pipe.function_to_apply)
    classes = best_classes(scores, top_k)
    return tuple({"label": name_of(config, k), "score": scores[k]} for k in classes), classes
