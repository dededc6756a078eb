"""`temporal benchmark`: a reader against its baselines on the user's own labelled data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ..benchmark.compare import compare, without_seen
from ..display.benchmark import benchmark_table, save_benchmark_plot
from ..display.report import print_all
from ..held_out.labelled import classes_among, holds_clips, labelled_inputs
from ..held_out.unseen import NotNew
from ..jobs.table.targets import label_names
from ..tasks.registry import labelled_task
from .faults import BAD_INPUTS, UsageFault

_OF_THE_DATA = frozenset({"copy", "seen"})
"""Reasons for leaving out an input that is not at fault itself."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkRequest:
    """The arguments of `temporal benchmark`; see its help."""

    task: str
    data: str
    model: str | None
    static: str | None
    budget: float | None
    max_drop: float | None
    policy: str | None
    batch_size: int | None
    device: str | None
    dtype: str | None = None
    column: str | None
    label_column: str
    limit: int | None
    rounds: int
    curve: bool
    token_reduction: str | None = None
    sampling: str | None = None
    leave_out_seen: bool
    json: bool
    plot: Path | None


def benchmark_command(request: BenchmarkRequest) -> int:
    """Measure, print, and return the exit code: 3 where inputs were left out for their faults.

    Raises:
        UsageFault: an argument cannot be used, or no input has a label and can be read.
    """
    if request.plot is not None and request.plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageFault(f"--plot ({request.plot}) must end in .png, .pdf or .svg")
    if request.plot is not None and not request.plot.parent.is_dir():
        raise UsageFault(f"--plot ({request.plot}) must lie in a folder that is there")
    if not (Path(request.data).exists() or holds_clips(request.data)):
        raise UsageFault(f"data ({request.data}) must be a file or a folder that is there")
    try:
        record = labelled_task(request.task)
    except ValueError as error:
        raise UsageFault(str(error)) from error
    if record.kind != "video" and (request.token_reduction or request.sampling):
        raise UsageFault("--token-reduction and --sampling are for videos")
    pipe = _pipeline(request, request.model, budget=request.budget, more=True)
    static = None if request.static is None else _pipeline(request, request.static)
    names = label_names(pipe)
    if len(names) < 2:
        raise UsageFault(f"model ({request.model}) must answer with classes, and has {len(names)}")
    static_classes = None if static is None else classes_among(names, label_names(static))
    if static is not None and static_classes is None:
        raise UsageFault(
            f"--static ({request.static}) must have the classes of the model: "
            f"{list(names.values())[:5]}, and has {list(label_names(static).values())[:5]}"
        )
    data = labelled_inputs(
        request.data,
        kind=record.kind,
        names=names,
        column=request.column,
        label_column=request.label_column,
        column_called="--column",
        limit=request.limit,
        notify=_tell,
    )
    if data.items:
        try:
            data = without_seen(
                data,
                request.model,
                request.data,
                kind=record.kind,
                leave_out=request.leave_out_seen,
            )
        except NotNew as error:
            message = str(error).replace("--leave_out_seen", "--leave-out-seen")
            raise UsageFault(message) from error
    if not data.items:
        first = data.left_out[0] if data.left_out else None
        why = f"; the first, {first.id}: {first.message}" if first else ""
        raise UsageFault(f"data ({request.data}) holds no input with a label to judge by{why}")
    try:
        report = compare(
            pipe,
            data,
            static=static,
            static_classes=static_classes,
            rounds=request.rounds,
            curve=request.curve,
            tell=_tell,
        )
    except ValueError as error:
        raise UsageFault(f"data ({request.data}): {error}") from error
    report = {"task": request.task, "model": pipe.model_name, "data": request.data, **report}
    if request.plot is not None:
        try:
            save_benchmark_plot(report, request.plot)
        except (ValueError, OSError) as error:
            raise UsageFault(f"--plot ({request.plot}): {error}") from error
    if request.json:
        typer.echo(json.dumps(report, indent=2))
    else:
        print_all(benchmark_table(report))
    at_fault = [one for one in report["left_out"] if one["reason"] not in _OF_THE_DATA]
    return BAD_INPUTS if at_fault else 0


def _pipeline(
    request: BenchmarkRequest, model: str | None, *, budget: float | None = None, more: bool = False
) -> Any:
    from ..pipeline import pipeline

    options: dict[str, Any] = {"batch_size": request.batch_size, "device": request.device}
    options["dtype"] = request.dtype
    if more:
        options |= {"max_drop": request.max_drop, "policy": request.policy}
        options |= {"token_reduction": request.token_reduction, "sampling": request.sampling}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return pipeline(request.task, model=model, budget=budget, **given)
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UsageFault(str(error)) from error


def _tell(sentence: str) -> None:
    typer.echo(sentence, err=True)
