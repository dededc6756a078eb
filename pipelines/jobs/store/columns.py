"""All parts of a run have the same columns, so that they are one table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..manifest import OutputRefused
from .ledger import parts
from .parts import Format

if TYPE_CHECKING:
    import pyarrow as pa


def check_stored_columns(
    directory: str | os.PathLike[str], schema: pa.Schema, *, format: Format = "parquet"
) -> None:
    """Refuse a directory whose parts could not be one table with rows of `schema` in `format`.

    Parts that are damaged are passed over: their rows are made again.

    Raises:
        OutputRefused: a part has another format, other columns, or columns of another type.
    """
    for path in parts(directory):
        if path.suffix != f".{format}":
            raise OutputRefused(
                f"output ({directory}) must hold rows in the format {format} to be resumed, and "
                f"{path.name} is of another: resume with --format {path.suffix[1:]}, remove it "
                "(--overwrite), or choose another output directory"
            )
        try:
            differing = _differing(path, schema)
        except (ValueError, TypeError, AttributeError, OSError):  # or gone: set aside by a rank
            continue
        if differing:
            raise OutputRefused(
                f"output ({directory}) must hold rows of the same columns and types to be resumed, "
                f"and {path.name} differs in: {', '.join(differing)}. It is of another version or "
                "of other options: resume with those, remove it (--overwrite), or choose another "
                "output directory"
            )


def _differing(path: Path, schema: pa.Schema) -> list[str]:
    """Names of columns that a part has in another way, or alone, or not."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            there = {field.name: field.type for field in file.schema_arrow}
        here = {field.name: field.type for field in schema}
        return sorted(
            name for name in here.keys() | there.keys() if here.get(name) != there.get(name)
        )
    nested = {field.name for field in schema if field.type.num_fields}
    with path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            if wrong := row.keys() ^ set(schema.names):
                return sorted(wrong)
            if wrong := {name for name in nested if isinstance(row[name], str)}:
                return sorted(wrong)
            nested -= {name for name in nested if row[name] is not None}
            if not nested:
                break
    return []
