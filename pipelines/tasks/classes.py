"""Predictions of classes: from a reader's logits to labels and scores."""

from __future__ import annotations

from typing import Any

from ..base import Pipeline
from ..scores import (
    FunctionToApply,
    best_classes,
    check_function,
    class_scores,
    name_of,
    usual_function,
)


class ClassPipeline(Pipeline):
    """Mixed into the pipelines of tasks whose predictions are classes.

    Args:
        loaded: as of `Pipeline`.
        function_to_apply: what makes scores of logits, see `class_scores`; default: by the model.
        **options: see `Pipeline`.
    """

    call_options = Pipeline.call_options | {"function_to_apply"}
    function_to_apply: FunctionToApply | None = None

    def __init__(
        self, loaded: Any, *, function_to_apply: FunctionToApply | None = None, **options: Any
    ) -> None:
        super().__init__(loaded, **options)
        self.function_to_apply = function_to_apply

    def check_options(self) -> None:
        """As of `Pipeline`."""
        super().check_options()
        if self.function_to_apply is not None:
            check_function(self.function_to_apply)


def class_predictions(
    pipe: Any, logits_K: Any, top_k: int | None
) -> tuple[tuple[dict[str, Any], ...], tuple[int, ...]]:
    """`{"label", "score"}` by falling score, as transformers gives them, and each one's class.

    Args:
        pipe: A pipeline, with its `model.config`, `reader` and perhaps `function_to_apply`.
        logits_K: `[K]`, what the reader returned.
        top_k: The most predictions; None: all.
    """
    config = pipe.model.config
    # Each look at a configuration of transformers takes as long as a softmax: one is enough.
    names, problem = config.id2label or {}, getattr(config, "problem_type", None)
    function = getattr(pipe, "function_to_apply", None)
    if function is None:
        if len(names) == 1 and problem is None:
            function = pipe.reader.one_label_function
        function = function or usual_function(problem, len(names))
    scores = class_scores(logits_K, function)
    classes = best_classes(scores, top_k)
    return tuple({"label": name_of(names, k), "score": scores[k]} for k in classes), classes
