"""A pipeline over a collection: one committed row per input, resumable at any point."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...data.names.known_names import KnownNames
from ..reading import OnError as OnError
from ..reading import ReadingFailed
from ..tasks.registry import record_of
from .error_rate import ErrorRate, asked_to_stop
from .groups import Bounds, joins_groups
from .manifest import RunManifest
from .own_share import OwnShare
from .run_output import RunOutput
from .stop import Stop, stop_on_signal
from .store.ledger import Format
from .streams import Forgiving
from .table.rows import Readable
from .table.summary import Summary
from .table.targets import known_targets as known_targets
from .work import Progress, Work

if TYPE_CHECKING:
    from tqdm import tqdm

    from ...data.collection import Item
    from ..auditing.audit import Audit

# A video's row stands for seconds of work, a text's for milliseconds.
_VIDEO_ROWS_PER_PART = 32
_TEXT_ROWS_PER_PART = 16_384
# A row lists its units: 8 bytes each, and 24 with the characters of each.
_MOST_UNITS_HELD = 4_000_000


InputFailed = ReadingFailed  # its name here before


def run(
    pipe: Readable,
    items: Iterable[Item],
    output: str | os.PathLike[str],
    *,
    manifest: RunManifest | None = None,
    format: Format = "parquet",
    resume: bool = False,
    on_error: OnError = "record",
    progress: bool = True,
    total: int | None = None,
    keep_text: bool = False,
    rows_per_part: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    stop: threading.Event | Stop | None = None,
    resume_anyway: bool = False,
    patience_seconds: float = 0.0,
    max_error_rate: float | None = None,
) -> Summary:
    """Read every item with `pipe` and commit one row for each to `output`.

    The first SIGINT, SIGTERM or SIGHUP stops taking new inputs, finishes and commits those in
    flight, and returns with `Summary.stopped`; a second one ends the process at once (exit code
    75). Either way, and after a kill -9, the same call with `resume=True` does the rest and nothing
    twice.

    Args:
        pipe: A pipeline, or anything with its `read` and `model_name`.
        items: As `temporal.data.collect` yields them, ids unique, in the same order every time.
        output: Directory of the parts and `.run.json`; empty or absent unless `resume`.
        manifest: The run's configuration, which a resumed run must equal; None: made from `pipe`.
        format: `"parquet"` or `"jsonl"`.
        resume: Go on with the run in `output`.
        on_error: `"record"`: a bad input gets a row with its error. `"skip"`: it gets no row, is
            counted, and is tried again on resume. `"raise"`: the run ends there.
        progress: Show a bar on stderr.
        total: Number of items over all ranks, for the bar; None: not known.
        keep_text: Store each text, and the characters of its units, so that it can be shown.
        rows_per_part: The most rows in a part; None: 32 for videos, 16,384 for texts.
        rank: This process's rank: it takes the items whose position modulo `world_size` is this.
        world_size: Number of ranks sharing `output`; it may change between runs.
        stop: Set it to stop the run as a signal would; None: only signals do.
        resume_anyway: Go on with the run in `output` although its configuration was another: the
            rows that are there stay as they are.
        patience_seconds: At the end, how long other ranks may take to begin before
            `Summary.unread` says that they did not.
        max_error_rate: Share of inputs, 0 to 1, above which errors stop the run as a signal would:
            `Summary.too_many_errors` says why. Of those that this call has read, once they are 100;
            each rank counts its own. None: errors never stop it.

    Returns:
        The summary of all rows in `output`, those of other ranks and earlier runs included.

    Raises:
        ValueError: `on_error` or `max_error_rate` is none.
        OutputRefused: `output` is not empty, or its run has another configuration.
        ReadingFailed: a bad input with `on_error="raise"`; what was finished is committed.
        CommitError: the disk refused; what was committed before is safe and resumable.
    """
    if on_error not in ("raise", "record", "skip"):
        raise ValueError(f"on_error ({on_error!r}) must be 'raise', 'record' or 'skip'")
    errors = ErrorRate(max_error_rate)
    manifest = manifest or RunManifest(task=getattr(pipe, "task", ""), model=pipe.model_name)
    resume = resume or resume_anyway
    record = record_of(manifest.task)
    most = _VIDEO_ROWS_PER_PART if record.kind == "video" else _TEXT_ROWS_PER_PART
    out = RunOutput(pipe, record, output, format, keep_text, rank, world_size)
    with stop_on_signal() as signalled:
        is_stopped = asked_to_stop(errors, signalled, stop)
        with out.opened(
            manifest,
            resume=resume,
            anyway=resume_anyway,
            rows_per_part=rows_per_part or most,
            is_stopped=is_stopped,
        ) as writer:
            if writer is None:
                return Summary(stopped=True)
            # Another rank cannot tell an output that rank 0 is about to refuse from a new one.
            done = out.done_before() if resume or rank else KnownNames()
            out.go_on_auditing(inputs_before=len(done), tell=_tell)
            share = OwnShare(
                items,
                Bounds.of(pipe, record.kind, rows_per_part),
                share=(rank, world_size),
                done=done,
                is_told_to_stop=is_stopped,
                joins_groups=joins_groups(pipe),
            )
            mine = None if total is None else len(range(rank, total, world_size))
            with _bar(progress, mine) as bar:
                work = Work(
                    out,
                    writer,
                    share,
                    on_error=on_error,
                    is_told_to_stop=is_stopped,
                    tell=partial(_show, bar, out.audit),
                    judge=errors.add,
                    most_units_held=_MOST_UNITS_HELD,
                )
                work.do()
            if not work.stopped:
                writer.join()
    unread: dict[int, int] = {}
    at_work: list[int] = []
    if not work.stopped:
        unread, at_work = share.others.unread(
            output,
            rows_for_all=on_error != "skip",
            patience_seconds=patience_seconds,
            is_stopped=is_stopped,
        )
    return out.summary(
        skipped=work.progress.skipped,
        stopped=work.stopped,
        too_many_errors=errors.told if work.stopped else None,
        unread=unread,
        at_work=at_work,
    )


def _tell(message: str) -> None:
    """Write a sentence to stderr, above the bar."""
    from tqdm import tqdm

    tqdm.write(message, file=Forgiving(sys.stderr))


def _bar(progress: bool, total: int | None) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, unit="input", file=Forgiving(sys.stderr), disable=not progress)


def _show(bar: tqdm[Any], audit: Audit | None, progress: Progress) -> None:
    if bar.disable:
        return
    told = (progress.told(), "" if audit is None else audit.told)
    bar.set_postfix_str(", ".join(filter(None, told)), refresh=False)
    bar.update(progress.inputs - bar.n)
