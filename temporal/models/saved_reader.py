"""A reader that is saved and loaded with the record of its rows and the digests of its weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from .reader import Reader
from .rows_seen import FILE, RowsSeen, load_rows_seen, rows_seen_by
from .weights import check_checkpoint, check_digests, digest_of_weights, write_digests

_SAVE_ARGUMENTS = ("save_directory", "is_main_process", "state_dict", "push_to_hub")
_UPLOAD_ARGUMENTS = ("repo_id", "commit_message", "private", "create_pr", "revision", "tags")


class SavedReader(Reader):
    """Mixed into a `PreTrainedModel` that reads: its record goes with every copy and checkpoint."""

    rows_seen: RowsSeen | None = None
    """What it was shown; None: not known. Set it before a training that saves checkpoints."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As of `PreTrainedModel`, with the record beside the weights.

        Raises:
            ValueError: the weights in a folder are not those that were saved, are no safetensors,
                or cannot be those of the configuration.
        """
        path = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        folder = None if path is None else Path(path, kwargs.get("subfolder") or "")
        if folder is not None and folder.is_dir():
            check_checkpoint(folder, kwargs.get("variant"))
        kwargs.setdefault("use_safetensors", True)
        loaded = super().from_pretrained(*args, **kwargs)  # type: ignore[misc]  # mixed in
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        lacks_weights = isinstance(loaded, tuple) and loaded[1]["missing_keys"]
        if folder is not None and folder.is_dir() and not lacks_weights:  # the caller is told of it
            model.checked_weights = check_digests(folder, kwargs.get("variant"))
            note_foreign_points(model, folder, kwargs.get("variant"))
        if folder is not None:
            model.rows_seen = load_rows_seen(folder)
        return loaded

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As of `PreTrainedModel`, with the record and the digests beside the weights."""
        given = dict(zip(_SAVE_ARGUMENTS, args, strict=False)) | kwargs
        pushes = given.pop("push_to_hub", False)
        upload = {name: given.pop(name) for name in _UPLOAD_ARGUMENTS if name in given}
        super().save_pretrained(**given)  # type: ignore[misc]  # mixed in
        if not given.get("is_main_process", True):
            return
        folder = Path(given["save_directory"])
        write_digests(folder, given.get("variant"))
        record = rows_seen_by(self)
        if record is not None:
            record.save(folder)
        else:  # a record of weights that these have taken the place of
            (folder / FILE).unlink(missing_ok=True)
        if pushes:  # now that all is there; this saves once more, to a folder of its own
            upload.setdefault("repo_id", folder.name)
            shards = {name: given[name] for name in ("max_shard_size", "token") if name in given}
            self.push_to_hub(**upload, **shards)  # type: ignore[attr-defined]  # mixed in


def note_foreign_points(
    model: Any, folder: Path, variant: str | None = None, *, file: str = "config.json"
) -> None:
    """Find out whether points were measured on other weights than those beside them; warn of it.

    Args:
        model: with its configuration.
        folder: with the weights.
        variant: of the weights.
        file: where the points are stored.
    """
    points = getattr(model.config, "operating_points", None)
    points = points if isinstance(points, list | tuple) else ()
    told = {str(p["weights"]) for p in points if isinstance(p, dict) and "weights" in p}
    model.has_foreign_points = bool(told) and told != {digest_of_weights(folder, variant)}
    if model.has_foreign_points:
        warnings.warn(
            f"{folder}: the operating points in {file} were measured on other weights than those "
            "beside them: they promise nothing; run temporal calibrate",
            stacklevel=3,
        )
