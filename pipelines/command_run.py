"""`temporal run`: from arguments to rows, a table and an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.text import Text

import temporal

from ..data import collect
from ..data.ledger import CommitError, read_rows
from ..data.manifest import RunManifest, check_output
from .faults import StoppedFault, UsageFault
from .job import OnError, run
from .ranks import Ranks
from .report import print_all, summary_table
from .stop import stop_on_signal
from .summary import Summary, summarize

# A bar with an end is worth this much counting before the work begins, and no more.
_LONGEST_COUNT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The arguments of `temporal run`; see its help."""

    task: Literal["video-classification", "text-classification"]
    inputs: tuple[str, ...]
    output: Path
    model: str | None
    budget: float | None
    policy: str | None
    batch_size: int | None
    device: str | None
    on_error: OnError
    top_k: int | None
    resume: bool
    format: Literal["parquet", "jsonl"]
    column: str | None
    id_column: str | None
    limit: int | None
    keep_text: bool
    deadline_seconds: float
    quiet: bool

    @property
    def kind(self) -> Literal["video", "text"]:
        """What the inputs are."""
        return "video" if self.task == "video-classification" else "text"

    def manifest(self, model_name: str) -> RunManifest:
        """What a resumed run must equal: batch size and device change no row, `limit` may grow."""
        options = {
            "inputs": list(self.inputs),
            "column": self.column,
            "id_column": self.id_column,
            "policy": self.policy,
            "top_k": self.top_k,
            "format": self.format,
            "keep_text": self.keep_text,
        }
        return RunManifest(
            task=self.task,
            model=model_name,
            budget=self.budget,
            options=options,
            version=temporal.__version__,
        )


def run_command(request: RunRequest) -> int:
    """Run, show the table, and return the exit code.

    Raises:
        UsageFault: the model, the budget or another argument cannot be used.
        OutputRefused: the output directory cannot be used.
        StoppedFault: the disk refused; what was committed is safe.
    """
    ranks = Ranks.from_environment()
    with stop_on_signal() as stop:
        if ranks.is_first:
            check_output(request.output, resume=request.resume)
        ranks.join()
        pipe = _pipeline(request, ranks)
        shows = ranks.is_first and not request.quiet
        try:
            summary = run(
                pipe,
                _items(request),
                request.output,
                manifest=request.manifest(pipe.model_name),
                format=request.format,
                resume=request.resume,
                on_error=request.on_error,
                progress=shows,
                total=_count(_items(request)) if shows else None,
                keep_text=request.keep_text,
                rank=ranks.rank,
                world_size=ranks.world_size,
                stop=stop,
            )
        except CommitError as error:
            raise StoppedFault(str(error)) from error
        if summary.stopped:
            # The other ranks were told to stop as well; nobody waits for anybody.
            _show(summary, request, shows)
            return summary.exit_code
        ranks.wait_for_all()
        if ranks.world_size > 1:
            summary = summarize(read_rows(request.output), skipped=summary.skipped)
        _show(summary, request, shows)
        ranks.wait_for_all()  # the table is out before any rank leaves with the code of errors
    return summary.exit_code


def _pipeline(request: RunRequest, ranks: Ranks) -> Any:
    from .pipeline import pipeline

    options: dict[str, Any] = {
        "policy": request.policy,
        "batch_size": request.batch_size,
        "device": ranks.device(request.device),
        "top_k": request.top_k,
    }
    if request.kind == "video" and request.deadline_seconds:
        options |= {"isolate": True, "deadline_seconds": request.deadline_seconds}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return pipeline(request.task, model=request.model, budget=request.budget, **given)
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UsageFault(str(error)) from error


def _items(request: RunRequest) -> Iterable[Any]:
    # Given alone, a directory's files are named relative to it.
    alone = len(request.inputs) == 1
    return collect(
        request.inputs[0] if alone else list(request.inputs),
        kind=request.kind,
        column=request.column,
        id_column=request.id_column,
        limit=request.limit,
    )


def _count(items: Iterable[Any]) -> int | None:
    """How many there are; None when counting takes too long."""
    deadline = time.monotonic() + _LONGEST_COUNT_SECONDS
    count = 0
    for count, _ in enumerate(items, start=1):  # noqa: B007  # used after the loop
        if time.monotonic() > deadline:
            return None
    return count


def _show(summary: Summary, request: RunRequest, shows: bool) -> None:
    if not shows:
        return
    sys.stderr.flush()
    end = "stopped; go on with --resume" if summary.stopped else "results"
    print_all(summary_table(summary), Text(f"{end}: {request.output}"))
