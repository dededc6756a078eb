"""A reader that is saved and loaded with the record of the rows that it was shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .reader import Reader
from .rows_seen import FILE, RowsSeen, load_rows_seen, rows_seen_by


class SavedReader(Reader):
    """Mixed into a `PreTrainedModel` that reads: its record goes with every copy and checkpoint."""

    rows_seen: RowsSeen | None = None
    """What it was shown; None: not known. Set it before a training that saves checkpoints."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As of `PreTrainedModel`, with the record beside the weights."""
        loaded = super().from_pretrained(*args, **kwargs)  # type: ignore[misc]  # mixed in
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        path = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        if path is not None:
            model.rows_seen = load_rows_seen(Path(path, kwargs.get("subfolder") or ""))
        return loaded

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As of `PreTrainedModel`, with the record beside the weights."""
        super().save_pretrained(*args, **kwargs)  # type: ignore[misc]  # mixed in
        given = dict(zip(("save_directory", "is_main_process"), args, strict=False)) | kwargs
        if not given.get("is_main_process", True):
            return
        record = rows_seen_by(self)
        if record is not None:
            record.save(given["save_directory"])
        else:  # a record of weights that these have taken the place of
            Path(given["save_directory"], FILE).unlink(missing_ok=True)
