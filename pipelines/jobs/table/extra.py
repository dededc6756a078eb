"""What came along with an input, as its row keeps it: one column, whatever the tables' columns are.

A column of a table may be called as one of ours, be there in one table of several, or hold another
type in each row of JSON lines; so a row has all of them as one JSON object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from .row import storable


def extra_text(extra: Mapping[str, Any], used: Collection[str] = ()) -> str | None:
    """The cells that came along, as a JSON object; None where there are none.

    Args:
        extra: `Item.extra`.
        used: Names of those that say what is read, and the label, which have their own columns.
    """
    kept = {storable(str(name)): _plain(cell) for name, cell in extra.items() if name not in used}
    return json.dumps(kept, ensure_ascii=False) if kept else None


def extra_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What came along with the input of a row."""
    text = row.get("extra")
    return {} if text is None else json.loads(text)


def _plain(value: Any) -> Any:
    """A value as JSON holds it: what is no finite number is null, of bytes their number is told."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {storable(str(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if hasattr(value, "tolist") and (plain := value.tolist()) is not value:  # of NumPy
        return _plain(plain)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return storable(str(value))
