"""Labelled texts that are read in order and not held: of large tables, and of streamed datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..item import Entry
from ..tables.delimited import read_csv
from ..tables.json_lines import read_json_lines
from ..tables.parquet import read_parquet
from ..tables.row import Columns, entry_of_row

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextStream:
    """Where texts and their labels come from; `rows` begins anew each time."""

    data: Any
    """Path of a table, or an `IterableDataset` of `datasets`."""
    text_column: str = "text"
    label_column: str = "label"

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Yield each text and its label; a class of a `ClassLabel` by its name.

        Raises:
            ValueError: the file is no such table, or a row has no text or no label.
            FileNotFoundError: there is no such file.
        """
        name = str(self.data) if isinstance(self.data, str | Path) else type(self.data).__name__
        for number, entry in enumerate(self._entries(), 1):
            where = f"{name}, row {number} (the first below a header is 1)"
            if entry.error is not None:
                raise ValueError(f"{where}: {entry.error.message}")
            label = entry.extra.get("label")
            if not entry.value.strip() or label is None:
                lacks = self.label_column if label is None else self.text_column
                raise ValueError(
                    f"{where}: {lacks!r} must not be empty; fill it, or leave the row out"
                )
            yield entry.value, label

    def _entries(self) -> Iterator[Entry]:
        columns = Columns(kind="text", value=self.text_column, label=self.label_column)
        if not isinstance(self.data, str | Path):
            return self._of_dataset(columns)
        path = Path(self.data)
        suffix = path.suffix.lower()
        if suffix not in _TABLES:
            raise ValueError(f"{path}: the suffix must be one of {', '.join(_TABLES)}, to stream")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file")
        if suffix == ".parquet":
            return read_parquet(path, columns)
        if suffix in (".csv", ".tsv"):
            return read_csv(path, columns, delimiter="\t" if suffix == ".tsv" else ",")
        return read_json_lines(path, columns)

    def _of_dataset(self, columns: Columns) -> Iterator[Entry]:
        kind = (self.data.features or {}).get(self.label_column)
        names = getattr(kind, "names", None)
        for row in self.data:
            label = row.get(self.label_column)
            if names is not None and isinstance(label, int):
                row = {**row, self.label_column: names[label] if label >= 0 else None}
            yield entry_of_row(row, columns)
