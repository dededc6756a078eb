"""From a model and rows to a calibrated reader in a folder, and to a verdict on one.

Which rows, and what is known of them, is for the caller to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from temporal.models.rows_seen import Shown

from ..loading.configurations import is_reader, open_configuration
from ..loading.load import load_model
from ..pipeline import pipeline
from .calibrate import CannotCalibrate, calibrate, check_answers, save_calibration
from .check import check, point_to_check
from .options import CalibrationOptions, CheckOptions


class HeldOutRows(Protocol):
    """Inputs that a reader has not seen."""

    @property
    def inputs(self) -> Sequence[Any]:
        """As for `Pipeline.read`."""

    @property
    def labels(self) -> Tensor | None:
        """Class numbers of the reader, int64; None: there are none."""

    @property
    def report(self) -> dict[str, Any]:
        """What is known of them, in plain values."""

    @property
    def shown(self) -> Shown:
        """Their digests."""


def open_reader(
    task: str,
    model: Any,
    *,
    batch_size: int | None = None,
    chunk_size: int | None = None,
    token_reduction: str | None = None,
    sampling: str | None = None,
    dtype: str | None = None,
    **zero_shot: Any,
) -> Any:
    """A pipeline around a reader, or around one made of an ordinary classifier of transformers.

    The classifier is read in pieces: chunks of a text, clips or frames of a video.

    Args:
        task: a pipeline's.
        model: as for `pipeline()`.
        batch_size, chunk_size, token_reduction, sampling, dtype: as for `pipeline()`.
        **zero_shot: `candidate_labels` and `hypothesis_template`, of tasks that have them.
    """
    how: dict[str, Any] = {"token_reduction": token_reduction, "sampling": sampling}
    how |= {name: value for name, value in zero_shot.items() if value is not None}
    how |= {} if dtype is None else {"dtype": dtype}
    loaded = load_model(task, model, needs_pieces=True, chunk_size=chunk_size, **how)
    more = {} if loaded.tokenizer is None else {"tokenizer": loaded.tokenizer}
    return pipeline(task, loaded.reader, batch_size=batch_size, **more)


def run_calibration(
    task: str,
    model: str | Path,
    options: CalibrationOptions,
    read_rows: Callable[[Any], HeldOutRows],
    *,
    seed: int,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Calibrate a saved model and save what was found.

    Args:
        task: a pipeline's.
        model: a folder with a reader, which is calibrated there; or what `options.output_dir` is
            given for.
        options: what it is calibrated to.
        read_rows: gives the held-out rows for a pipeline.
        seed: see `calibrate`.
        batch_size: as for `pipeline()`.

    Returns:
        See `Calibration.report`.

    Raises:
        ValueError: what was asked for cannot be had; `CannotCalibrate` where that is the
            reader's nature.
    """
    if options.output_dir is None and not _is_saved_reader(model):
        raise ValueError(
            f"--model ({model}) is no folder with a saved reader, which could be calibrated in its "
            "place: name a folder for the reader that is made of it by --output_dir"
        )
    pipe = open_reader(
        task,
        model,
        batch_size=batch_size,
        chunk_size=options.chunk_size,
        token_reduction=options.token_reduction,
        sampling=options.sampling,
        candidate_labels=options.candidate_labels,
        hypothesis_template=options.hypothesis_template,
        dtype=options.dtype,
    )
    pipe.check_options()
    check_answers(pipe.model.config)
    if not hasattr(pipe.model, "save_pretrained"):
        raise CannotCalibrate(
            f"task {task}: its reader ({type(pipe.model).__name__}) cannot be saved, and what is "
            "calibrated is saved with it: make it a model of transformers (docs/add_a_reader.md)"
        )
    rows = read_rows(pipe)
    found = calibrate(pipe, rows.inputs, rows.labels, options, seed=seed)
    if options.output_dir is not None:
        pipe.model.save_pretrained(options.output_dir)
        if pipe.tokenizer is not None:
            pipe.tokenizer.save_pretrained(options.output_dir)
    save_calibration(options.output_dir or model, found, rows.shown)
    return found.report(rows.report)


def run_check(
    task: str,
    model: str | Path,
    options: CheckOptions,
    read_rows: Callable[[Any], HeldOutRows],
    *,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Compare what was certified of a calibrated reader with what it does on new rows.

    Args:
        task: a pipeline's.
        model: a folder with a calibrated reader.
        options: which operating point.
        read_rows: gives the new rows for a pipeline.
        batch_size: as for `pipeline()`.

    Returns:
        See `check`, with what is known of the rows.

    Raises:
        ValueError: there is no such operating point.
    """
    more: dict[str, Any] = {} if options.dtype is None else {"dtype": options.dtype}
    pipe = pipeline(task, model, batch_size=batch_size, **more)
    point = point_to_check(pipe.model.config, options)
    rows = read_rows(pipe)
    return {**check(pipe, rows.inputs, rows.labels, point), "rows": rows.report}


def _is_saved_reader(model: str | Path) -> bool:
    folder = Path(model)
    if not (folder / "config.json").is_file():
        return False
    return is_reader(open_configuration(folder))
