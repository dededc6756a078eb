"""What an audited run stores of each input: whether it was audited, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..tasks.columns import arrow_type, storable, stored_prediction
from .audit import Audited

if TYPE_CHECKING:
    import pyarrow as pa

    from ..tasks.registry import TaskRecord

AUDIT_COLUMNS = ("audit", "read_in_full")
"""Columns that rows of an audited run have beside those of every row."""

_COUNTED = ("frames_decoded", "macs")
_MEASURED = ("decode_seconds", "model_seconds")


def audit_fields(record: TaskRecord) -> list[tuple[str, pa.DataType]]:
    """Names and types of `AUDIT_COLUMNS`.

    `audit` is null for inputs that were not audited. Else it tells whether the full reading
    `agreed` (null: it failed, see `error`), its answer with the fields of the task's predictions,
    and what it cost, which is no part of the row's own costs. `read_in_full` rows were read in full
    because the audit's alarm had been raised.
    """
    import pyarrow as pa

    answer = [(name, arrow_type(kind)) for name, kind in record.columns.items()]
    counted = [(name, pa.int64()) for name in ("units_read", *_COUNTED)]
    measured = [(name, pa.float64()) for name in _MEASURED]
    answer = [(f"full_{name}", kind) for name, kind in answer]
    audit = [("agreed", pa.bool_()), *answer, *counted, *measured, ("error", pa.string())]
    return [("audit", pa.struct(audit)), ("read_in_full", pa.bool_())]


def audit_value(audited: Audited, columns: Mapping[str, Any]) -> dict[str, Any]:
    """A value of the column `audit`.

    Args:
        audited: of the row's input.
        columns: of a prediction.
    """
    full = audited.full
    error = None if full.error is None else f"{full.error.reason}: {full.error.message}"
    answer = dict.fromkeys(columns)
    if full.predictions:
        answer = stored_prediction(full.predictions[0], columns)
    cost = None if full.trace is None else full.trace.cost
    return {
        "agreed": audited.agreed,
        **{f"full_{name}": value for name, value in answer.items()},
        "units_read": None if full.trace is None else full.trace.units_read,
        **{name: None if cost is None else getattr(cost, name) for name in (*_COUNTED, *_MEASURED)},
        "error": None if error is None else storable(error),
    }
