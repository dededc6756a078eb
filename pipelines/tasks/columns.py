"""What a task's predictions hold: types of columns, and values that a row can store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin

if TYPE_CHECKING:
    import pyarrow as pa


class Float32(float):
    """A number of 32 bits, as `numpy.float32` is, which may stand for it: numpy is not imported."""


CLASSES: Mapping[str, Any] = {"label": str, "score": float}
"""What a prediction of a classification holds."""

VECTORS: Mapping[str, Any] = {
    "embedding": list[Float32],
    "embeddings": list[list[Float32]],
    "seconds": list[float],
}
"""What a prediction of a feature extraction holds: the mean, and few with their times."""

ANSWERS: Mapping[str, Any] = {
    "question": str,
    "generated_text": str,
    "certainty": float,
    "looks": int,
    "frames": list[int],
    "visual_tokens": int,
}
"""What an answer to a question holds: what the model wrote or chose, how certain it is of that, in
how many looks; the frames that it saw in the last, and their tokens."""

OF_EVERY_ROW = frozenset(
    {
        *(
            "id",
            "status",
            "predictions",
            "target",
            "extra",
            "units_total",
            "units_read",
            "units_skimmed",
        ),
        *("frames_decoded", "halted_at_seconds", "exit", "macs", "decode_seconds"),
        *("model_seconds", "backend", "error_stage", "error_reason", "error_message", "source"),
        *("trace", "text", "spans", "audit", "read_in_full"),
    }
)
"""Columns that rows have whatever their task is: no prediction has a field of such a name."""

_SCALARS: dict[Any, str] = {
    str: "string",
    int: "int64",
    float: "float64",
    bool: "bool",
    Float32: "float32",
}


def check_columns(columns: Mapping[str, Any]) -> None:
    """Raise ValueError unless rows can have these columns beside those of every row.

    Args:
        columns: `str`, `int`, `float`, `bool`, `numpy.float32`, or `list[...]` of these, by name.
    """
    if not columns:
        raise ValueError("columns must name at least one field of a prediction")
    for name, kind in columns.items():
        if name in OF_EVERY_ROW:
            raise ValueError(f"columns ({name!r}) must not be among those that every row has")
        if _scalar_of(kind) not in _SCALARS:
            raise ValueError(
                f"columns ({name}: {kind!r}) must be str, int, float, bool, numpy.float32, "
                "or list[...] of these"
            )


def arrow_type(kind: Any) -> pa.DataType:
    """The type of a column in a table."""
    import pyarrow as pa

    if get_origin(kind) is list:
        return pa.list_(arrow_type(get_args(kind)[0]))
    return pa.type_for_alias(_SCALARS[_scalar_of(kind)])


def stored_prediction(prediction: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction as a row holds it: what it lacks, and what is no finite number, is None.

    Raises:
        ValueError: it holds what has no column, or a value of another type.
    """
    if strange := prediction.keys() - columns.keys():
        raise ValueError(
            f"predictions hold {sorted(strange)}, for which their task has no column: name it in "
            "`columns` of its record (temporal.pipelines.tasks.registry)"
        )
    return {name: _stored(name, prediction.get(name), kind) for name, kind in columns.items()}


def storable(text: str) -> str:
    r"""Make a string that UTF-8 can hold: a lone surrogate (in a file's name) becomes `\udcff`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _stored(name: str, value: Any, kind: Any) -> Any:
    if value is None:
        return None
    try:
        if get_origin(kind) is list:
            values = value.tolist() if hasattr(value, "tolist") else value
            if isinstance(values, list | tuple):
                return [_stored(name, one, get_args(kind)[0]) for one in values]
        elif kind is str:
            return storable(str(value))
        elif _scalar_of(kind) in (float, Float32):
            number = float(value)
            return number if math.isfinite(number) else None
        elif kind(value) == value:
            return kind(value)
    except (TypeError, ValueError, RuntimeError):  # the last: tensors of several numbers
        pass
    raise ValueError(f"a prediction's {name} ({str(value)[:80]}) must be of type {_shown(kind)}")


def _shown(kind: Any) -> str:
    is_list = get_origin(kind) is list
    return f"list[{_shown(get_args(kind)[0])}]" if is_list else kind.__name__


def _scalar_of(kind: Any) -> Any:
    while get_origin(kind) is list:
        (kind,) = get_args(kind)
    return Float32 if getattr(kind, "__name__", "") == "float32" else kind
