"""Logits to class scores, by the rules of transformers' classification pipelines."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

FunctionToApply = Literal["softmax", "sigmoid", "none"]


def class_scores(
    config: Any, logits_K: Tensor, function_to_apply: FunctionToApply | None = None
) -> dict[str, float]:
    """Score of each class by name.

    Args:
        config: a model's, with `id2label`, `num_labels` and perhaps `problem_type`.
        logits_K: `[K]`.
        function_to_apply: default: nothing for regression, a sigmoid for one label or several
            independent ones, else a softmax.

    Raises:
        ValueError: the function is unknown.
    """
    if function_to_apply is None:
        problem = getattr(config, "problem_type", None)
        if problem == "regression":
            function_to_apply = "none"
        elif problem == "multi_label_classification" or config.num_labels == 1:
            function_to_apply = "sigmoid"
        else:
            function_to_apply = "softmax"
    logits_K = logits_K.float().cpu()
    functions = {
        "softmax": lambda x: x.softmax(-1),
        "sigmoid": lambda x: x.sigmoid(),
        "none": lambda x: x,
    }
    name = str(function_to_apply).lower()
    if name not in functions:
        raise ValueError(
            f"function_to_apply ({function_to_apply!r}) must be one of {sorted(functions)}"
        )
    scores = functions[name](logits_K).tolist()
    names = config.id2label  # once: a configuration's attributes are slow
    return {names[k]: score for k, score in enumerate(scores)}
