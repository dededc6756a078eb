"""The rows of a stage: those of its callers joined, those that it returns checked and split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .packed import Packed


class WrongRowsError(RuntimeError):
    """A stage returned another number of rows than it was given: nobody's rows can be told."""


def check_rows(output: Any, num_rows: int, name: str) -> None:
    """Raise unless every tensor in a stage's output has a row for each row of its input.

    Args:
        output: a tensor, a `Packed`, None, or a tuple, list, dict or `ModelOutput` of these,
            nested as deep as need be.
        num_rows: rows that the stage was given.
        name: of the stage.

    Raises:
        WrongRowsError: a tensor has another number of rows.
        TypeError: something in the output has no rows.
    """
    _check(output, num_rows, name, "")


def _check(output: Any, num_rows: int, name: str, where: str) -> None:
    if isinstance(output, Tensor | Packed):
        if isinstance(output, Tensor) and output.dim() == 0:
            found = "a scalar"
        elif len(output) != num_rows:
            found = f"{len(output)} rows"
        else:
            return
        place = f" in its result{where}" if where else ""
        raise WrongRowsError(
            f"stage {name!r} was given {num_rows} rows and returned {found}{place}: it must "
            "return one row for each, in the same order"
        )
    if output is None:
        return
    if isinstance(output, Mapping):
        for key, part in output.items():
            _check(part, num_rows, name, f"{where}[{key!r}]")
    elif isinstance(output, tuple | list):
        for k, part in enumerate(output):
            _check(part, num_rows, name, f"{where}[{k}]")
    else:
        raise TypeError(
            f"stage {name!r} returned a {type(output).__name__}{where and f' in {where}'}, which "
            "has no rows: it must return tensors, or tuples, lists or dicts of tensors"
        )


def split_by_caller(
    output: Any, sizes: Sequence[int], cut: Callable[[Sequence[Any]], list[Any]]
) -> list[Any]:
    """Split what `check_rows` accepts into one output of the same form for each caller.

    Args:
        output: of `sum(sizes)` rows.
        sizes: rows of each caller.
        cut: is given the parts of each tensor, one for each caller, and returns them.
    """
    if isinstance(output, Tensor | Packed):
        return cut(output.split(list(sizes)))
    if output is None:
        return [None] * len(sizes)
    if isinstance(output, Mapping):
        columns = [split_by_caller(part, sizes, cut) for part in output.values()]
        by_caller = [dict(zip(output, parts, strict=True)) for parts in _rows_of(columns, sizes)]
        if dataclasses.is_dataclass(output):  # a ModelOutput
            return [type(output)(**parts) for parts in by_caller]
        return list(by_caller)
    columns = [split_by_caller(part, sizes, cut) for part in output]
    if hasattr(output, "_fields"):  # a named tuple
        return [type(output)(*parts) for parts in _rows_of(columns, sizes)]
    return [type(output)(parts) for parts in _rows_of(columns, sizes)]


def join_outputs(parts: Sequence[Any]) -> Any:
    """Undo `split_by_caller`: one output with the rows of all parts, which have one form."""
    first = parts[0]
    if isinstance(first, Packed):
        return Packed.join(parts)
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if first is None:
        return None
    if isinstance(first, Mapping):
        joined = {key: join_outputs([part[key] for part in parts]) for key in first}
        return type(first)(**joined) if dataclasses.is_dataclass(first) else joined
    columns = [join_outputs(column) for column in zip(*parts, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)


def _rows_of(columns: list[list[Any]], sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True)) if columns else [()] * len(sizes)


def join_rows(column: Sequence[Any], *, pad: bool) -> Any:
    """Put one argument of several callers together, tensors or `Packed`.

    Args:
        column: the argument of each caller.
        pad: of tensors, make their second dimension equal with zeros at the end.
    """
    if isinstance(column[0], Packed):
        return Packed.join(column)
    return torch.cat(_pad_to_longest(column) if pad else list(column))


def _pad_to_longest(tensors: Sequence[Tensor]) -> list[Tensor]:
    if tensors[0].dim() < 2:
        return list(tensors)
    longest = max(tensor.shape[1] for tensor in tensors)
    return [
        F.pad(tensor, [0, 0] * (tensor.dim() - 2) + [0, longest - tensor.shape[1]])
        for tensor in tensors
    ]


def one_row(arg: Tensor | Packed, length: int) -> Tensor | Packed:
    """An argument of a single row, whose sequence has so many units if it is `Packed`."""
    if isinstance(arg, Packed):
        return Packed(arg.values[:1].expand(length, *arg.values.shape[1:]), (length,))
    return arg[:1]


def device_of(arg: Tensor | Packed) -> torch.device:
    """Where an argument's rows are."""
    return arg.values.device if isinstance(arg, Packed) else arg.device
