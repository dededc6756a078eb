"""Logits to class scores, by the rules of transformers' classification pipelines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor

FunctionToApply = Literal["softmax", "sigmoid", "none"]
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(-1),
    "sigmoid": lambda x: x.sigmoid(),
    "none": lambda x: x,
}


def usual_function(problem_type: str | None, num_labels: int) -> FunctionToApply:
    """What makes scores of logits where nobody says: of a model with this problem and these labels.

    Nothing for regression, a sigmoid for one label or several independent ones, else a softmax.
    """
    if problem_type == "regression":
        return "none"
    if problem_type == "multi_label_classification" or num_labels == 1:
        return "sigmoid"
    return "softmax"


def class_scores(logits_K: Tensor, function_to_apply: FunctionToApply) -> list[float]:
    """Score of each class, by its index: names need not differ.

    Args:
        logits_K: `[K]`.
        function_to_apply: what makes scores of them.

    Raises:
        ValueError: the function is unknown.
    """
    return _FUNCTIONS[check_function(function_to_apply)](logits_K.float().cpu()).tolist()


def check_function(function_to_apply: Any) -> str:
    """The name of a function; raise ValueError unless there is one of this name.

    Names may be in capitals, and members of transformers' enumeration.
    """
    name = str(getattr(function_to_apply, "value", function_to_apply)).lower()
    if name not in _FUNCTIONS:
        raise ValueError(
            f"function_to_apply ({function_to_apply!r}) must be one of {sorted(_FUNCTIONS)}"
        )
    return name


def best_classes(scores: list[float], top_k: int | None) -> tuple[int, ...]:
    """Indices of the best classes by falling score, of equal ones the first; None: all."""
    return tuple(sorted(range(len(scores)), key=lambda k: -scores[k])[:top_k])


def name_of(names: Mapping[int, str], index: int) -> str:
    """A class's name, as transformers names what has none."""
    return names.get(index, f"LABEL_{index}")


def class_numbers_by_name(config: Any) -> dict[str, int]:
    """Index of each class by its name; classes that share a name go by their number as text."""
    names = {int(index): str(name) for index, name in config.id2label.items()}
    times = Counter(names.values())
    return {name if times[name] == 1 else str(index): index for index, name in names.items()}
