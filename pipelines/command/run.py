"""`temporal run`: from arguments to rows, a table and an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import typer
from rich.text import Text

from ...data import collect
from ..auditing.watched import compare_with_calibration
from ..display.report import print_all, summary_table
from ..jobs.error_rate import ErrorRate
from ..jobs.job import known_targets, run
from ..jobs.manifest import RunManifest, check_output
from ..jobs.ranks import Meeting, RankMissing, Ranks, WaitStopped
from ..jobs.run_contents import as_before
from ..jobs.shares import told
from ..jobs.sharing.board import BoardLost
from ..jobs.sharing.shared_run import run_shared
from ..jobs.stop import Stop, end_at_once, stop_on_signal
from ..jobs.store.ledger import CommitError, read_tables
from ..jobs.table.summary import Summary, summarize, summary_columns
from ..reading import ReadingFailed
from ..tasks.registry import record_of
from .checks import check_inputs, check_overwrite, remove_run
from .faults import BAD_INPUTS, STOPPED, StoppedFault, UsageFault
from .outputs.appearing import written_apart
from .run_request import RunRequest as RunRequest

# A bar with an end is worth this much counting before the work begins, and no more.
_LONGEST_COUNT_SECONDS = 1.0

# Ranks that are started together may come to their work this long after each other.
_START_SECONDS = 20.0


def run_command(request: RunRequest) -> int:
    """Run, show the table, and return the exit code.

    Raises:
        UsageFault: the model, the budget or another argument cannot be used.
        OutputRefused: the output directory cannot be used.
        StoppedFault: the disk refused; what was committed is safe.
    """
    try:
        ranks = Ranks.from_environment()
        ErrorRate(request.max_error_rate)  # refused before seconds go into loading a model
    except ValueError as error:
        raise UsageFault(str(error)) from error
    _check_device(request.device if ranks.are_connected else ranks.device(request.device))
    with stop_on_signal() as stop, written_apart(request, ranks) as request:
        request, pipe, meeting = _prepared(request, ranks, stop)
        shows = ranks.is_first and not request.quiet
        try:
            if request.appearing is not None and ranks.is_first:
                request.appearing.start()
            if meeting is not None:
                return _read_shared(request, pipe, meeting, stop)
            summary = _read(request, pipe, ranks, stop, shows)
        except ReadingFailed as error:
            typer.echo(f"error: {error}", err=True)
            return BAD_INPUTS
        except (CommitError, BoardLost) as error:
            raise StoppedFault(str(error)) from error
        if ranks.world_size > 1 and not summary.stopped:
            summary = _of_all_ranks(summary, request, pipe)
        _tell_what_is_left(summary)
        if request.appearing is not None and _is_whole(summary):
            request.appearing.appear()
        _show(summary, request, shows)
    return _exit_code(summary)


def _is_whole(summary: Summary) -> bool:
    return not summary.stopped and not summary.unread


def _tell_what_is_left(summary: Summary) -> None:
    for sentence in told(summary.unread, summary.at_work):
        typer.echo(sentence, err=True)
    if summary.too_many_errors is not None:
        typer.echo(f"error: {summary.too_many_errors}", err=True)


def _exit_code(summary: Summary) -> int:
    return BAD_INPUTS if summary.skipped and _is_whole(summary) else summary.exit_code


def _prepared(
    request: RunRequest, ranks: Ranks, stop: Stop
) -> tuple[RunRequest, Any, Meeting | None]:
    """What is read, and by what: the output may be written to, and the ranks know each other."""
    if request.overwrite:
        _check_overwrite(request, ranks)
    elif ranks.is_first:
        check_output(request.output, resume=request.resume or request.resume_anyway)
    if request.resume or request.resume_anyway:
        request = replace(request, inputs=as_before(request.inputs, request.output))
    if ranks.is_first or not ranks.are_connected:
        check_inputs(_items(request, notify=_keep_quiet))
    meeting = None
    if ranks.are_connected:
        with _waiting():
            meeting = ranks.join(stop.is_set, on_cpu=request.device == "cpu")
    device = ranks.device(request.device)
    if meeting is not None and request.device in (None, "auto", meeting.device.partition(":")[0]):
        device = meeting.device
    with _quiet_loading() if request.quiet or not ranks.is_first else nullcontext():
        pipe = _pipeline(request, device)
    if request.overwrite and ranks.is_first:  # nothing is lost for a model that cannot be loaded
        remove_run(request.output)
    return request, pipe, meeting


def _manifest(request: RunRequest, pipe: Any, *, reads_files: bool) -> RunManifest:
    return request.manifest(
        pipe.model_name,
        reads_files=reads_files,
        weights=getattr(pipe, "checked_weights", {}),
    )


def _read(request: RunRequest, pipe: Any, ranks: Ranks, stop: Stop, shows: bool) -> Summary:
    """Read this process's inputs, and commit their rows."""
    return run(
        pipe,
        _items(request, notify=_tell if shows else _keep_quiet),
        request.output,
        manifest=_manifest(request, pipe, reads_files=ranks.is_first),
        format=request.format,
        resume=request.resume,
        on_error=request.on_error,
        progress=shows,
        total=_count(_items(request, notify=_keep_quiet)) if shows else None,
        keep_text=request.keep_text,
        rank=ranks.rank,
        world_size=ranks.world_size,
        stop=stop,
        resume_anyway=request.resume_anyway,
        max_error_rate=request.max_error_rate,
        patience_seconds=_START_SECONDS,
    )


def _read_shared(request: RunRequest, pipe: Any, meeting: Meeting, stop: Stop) -> int:
    """Read with all ranks; the one that speaks shows the table and leaves with the exit code."""
    is_first = meeting.rank == 0
    shows = not request.quiet
    summary = run_shared(
        pipe,
        _items(request, notify=_tell if is_first and shows else _keep_quiet),
        request.output,
        meeting.board,
        manifest=_manifest(request, pipe, reads_files=is_first),
        format=request.format,
        resume=request.resume,
        on_error=request.on_error,
        progress=shows,
        total=_count(_items(request, notify=_keep_quiet)) if is_first and shows else None,
        keep_text=request.keep_text,
        stop=stop,
        resume_anyway=request.resume_anyway,
        may_exit=True,
        max_error_rate=request.max_error_rate,
    )
    if summary is None:  # another rank speaks
        return STOPPED if stop.is_set() else 0
    _tell_what_is_left(summary)
    if request.appearing is not None and _is_whole(summary):
        request.appearing.appear()
    _show(summary, request, shows)
    return _exit_code(summary)


def _of_all_ranks(own: Summary, request: RunRequest, pipe: Any) -> Summary:
    """The summary once the rows of other ranks are there, too, as far as they have written any."""
    audit = getattr(pipe, "audit", None)
    columns = summary_columns(record_of(request.task).columns, audit)
    return summarize(
        read_tables(request.output, columns=columns),
        skipped=own.skipped,
        unread=own.unread,
        at_work=own.at_work,
        labels=known_targets(pipe),
        audit=audit,
        tokenized_by=own.tokenized_by,
    )


@contextmanager
def _waiting() -> Iterator[None]:
    """Say what became of waiting for other ranks."""
    try:
        yield
    except ValueError as error:
        raise UsageFault(str(error)) from error
    except RankMissing as error:
        raise StoppedFault(str(error)) from error
    except WaitStopped as error:
        typer.echo(f"{error}; go on with --resume", err=True)
        end_at_once()  # torch would wait for the others on the way out


def _check_device(device: str | None) -> None:
    """Refuse a device that is not here, before seconds go into loading a model for it."""
    from ..device import devices_here, pick_device

    try:
        pick_device(device)
    except ValueError as error:
        here = ", ".join(devices_here())
        raise UsageFault(f"device ({device}) must be one of those that are here: {here}") from error


def _pipeline(request: RunRequest, device: str | None) -> Any:
    from ..pipeline import pipeline

    options: dict[str, Any] = {
        "max_drop": request.max_drop,
        "policy": request.policy,
        "batch_size": request.batch_size,
        "device": device,
        "dtype": request.dtype,
        "top_k": request.top_k,
        "audit": request.own_audit(),
    }
    if request.kind == "video" and request.deadline_seconds:
        options |= {"isolate": True, "deadline_seconds": request.deadline_seconds}
    if request.kind == "video":
        options |= {"max_pixels": request.max_pixels, "allow_remote": request.remote or None}
        options |= {"token_reduction": request.token_reduction, "sampling": request.sampling}
    elif request.max_pixels is not None or request.allow_remote:
        raise UsageFault("--max-pixels, --allow-remote and --allow-origin are for videos")
    elif request.token_reduction is not None or request.sampling is not None:
        raise UsageFault("--token-reduction and --sampling are for videos")
    given = {name: value for name, value in options.items() if value is not None}
    given |= request.zero_shot | request.asked
    try:
        made = pipeline(request.task, model=request.model, budget=request.budget, **given)
        made.check_options()
        compare_with_calibration(made)
        return made
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UsageFault(str(error)) from error
    except Exception as error:
        if request.model is None:  # it is ours, and so is the fault
            raise
        name = type(error).__name__
        raise UsageFault(f"model ({request.model}) cannot be used: {name}: {error}") from error


def _check_overwrite(request: RunRequest, ranks: Ranks) -> None:
    if request.resume or request.resume_anyway:
        raise UsageFault("--overwrite and --resume exclude each other: give one of them")
    if ranks.world_size > 1 and not ranks.are_connected:
        raise UsageFault(
            "--overwrite needs ranks that know of each other (torchrun): one would remove what "
            "another has written; remove the output yourself first"
        )
    if ranks.is_first:
        check_overwrite(request.output)


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """No bars of transformers and the hub while a model is loaded."""
    from huggingface_hub.utils import are_progress_bars_disabled as hub_is_quiet
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    shown, hub_shown = logging.is_progress_bar_enabled(), not hub_is_quiet()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
        if hub_shown:
            enable_progress_bars()


def _items(request: RunRequest, *, notify: Callable[[str], None]) -> Iterable[Any]:
    # Given alone, a directory's files are named relative to it.
    alone = len(request.inputs) == 1
    record = record_of(request.task)
    return collect(
        request.inputs[0] if alone else list(request.inputs),
        kind=request.kind,
        column=request.column,
        id_column=request.id_column,
        other_columns=None,  # rows keep them all
        paths_repeat=bool(record.item_columns),
        times_are_parts=not record.has_spans,
        column_called="--column",
        limit=request.limit,
        notify=notify,
    )


def _keep_quiet(message: str) -> None:
    """Say nothing."""


def _tell(message: str) -> None:
    """Write a sentence to stderr, above the bar."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


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
    end = "not all was read; go on with --resume" if summary.unread else "results"
    end = "stopped; go on with --resume" if summary.stopped else end
    print_all(summary_table(summary), Text(f"{end}: {request.place or request.output}"))
