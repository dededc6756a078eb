"""`run_shared`: a pipeline over a collection by several ranks, each of which calls this."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Container, Iterable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from ....data.names.known_names import KnownNames
from ...auditing.stored import go_on
from ...reading import OnError, ReadingFailed
from ...tasks.registry import record_of
from ..error_rate import ErrorRate
from ..groups import Bounds, joins_groups
from ..manifest import RunManifest, adopt_run, open_run
from ..table.row import row_schema
from ..table.rows import Readable
from ..stop import Stop, stop_on_signal
from ..store.columns import check_stored_columns
from ..store.committed import read_ids
from ..store.ledger import Format, ResultWriter, read_tables
from ..store.lock import remove_locks
from ..store.resumed import done_before, done_by_now
from ..streams import Forgiving
from ..table.summary import Summary, summarize, summary_columns
from ..table.targets import known_targets
from ..work import Progress, Work
from .board import Board, BoardLost
from .session import Session, wait_until_ready
from .shared_work import SharedWork

if TYPE_CHECKING:
    from ....data.collection import Item


def run_shared(
    pipe: Readable,
    items: Iterable[Item],
    output: str | os.PathLike[str],
    board: Board,
    *,
    manifest: RunManifest,
    format: Format = "parquet",
    resume: bool = False,
    on_error: OnError = "record",
    progress: bool = True,
    total: int | None = None,
    keep_text: bool = False,
    rows_per_part: int | None = None,
    stop: threading.Event | Stop | None = None,
    resume_anyway: bool = False,
    may_exit: bool = False,
    max_error_rate: float | None = None,
) -> Summary | None:
    """Read every item with the pipelines of all ranks, and commit one row for each to `output`.

    As `job.run`, with these differences: only one rank goes through the items, and each takes the
    next few when it has done its own; a rank that ends in the middle, hangs or is slow keeps nobody
    from the rest: the others read what it had taken as well.

    Args:
        pipe: See `job.run`; the same in every rank.
        items: See `job.run`; rank 0 alone goes through them, while it lives.
        output: On a file system that all ranks have.
        board: Where the ranks meet.
        manifest, format, resume, on_error, keep_text, stop, resume_anyway: See `job.run`.
        progress: Show one bar for all ranks.
        total: Number of items, for the bar.
        rows_per_part: The most inputs of a group; None: as the pipeline's batches are.
        may_exit: End this process, with code 0, where others have written what it still reads.
        max_error_rate: See `job.run`; of what all ranks have read.

    Returns:
        The summary of all rows in `output`, for the rank that speaks for all; None for the others.

    Raises:
        ValueError, OutputRefused, ReadingFailed, CommitError: See `job.run`.
        BoardLost: The ranks cannot reach each other any more; the run can be resumed.
    """
    resume = resume or resume_anyway
    is_first = board.rank == 0
    errors = ErrorRate(max_error_rate, board)
    record = record_of(manifest.task)
    audit = getattr(pipe, "audit", None)
    is_audited = audit is not None and audit.share > 0
    schema = row_schema(record, keep_text=keep_text, audited=is_audited)
    speaks = stopped = False
    too_many_errors: str | None = None
    left_open: dict[int, list[str]] = {}
    done = Progress()
    with stop_on_signal() as signalled, closing(_Bar(total if progress else -1)) as bar:

        def is_told_to_stop() -> bool:
            is_set = signalled.is_set() or (stop is not None and stop.is_set())
            return is_set or errors.told is not None

        found: list[Container[str]] = []

        def ids_of_rows() -> Container[str]:
            return found.pop() if found else done_by_now(output)

        try:
            if not is_first and not wait_until_ready(board, is_told_to_stop):
                return None
            # The first rank has gone on already with what is there.
            open_run(
                output,
                manifest,
                resume=resume,
                anyway=resume_anyway,
                rank=board.rank,
                is_stopped=is_told_to_stop,
            )
            check_stored_columns(output, schema, format=format)
            with ResultWriter(
                output,
                schema=schema,
                format=format,
                rows_per_part=None,
                rank=board.rank,
                world_size=board.world_size,
                shares_names=True,
            ) as writer:
                if is_first:
                    adopt_run(output, manifest)
                    done_then = done_before(output) if resume else KnownNames()
                    board.put("rows_before", len(done_then))
                    found.append(done_then)
                    del done_then  # the lister has it alone
                if audit is not None:
                    ranks = {"rank": board.rank, "world_size": board.world_size}
                    before = board.get("rows_before") or 0
                    go_on(audit, pipe, output, inputs_before=before, **ranks, tell=bar.tell)
                bounds = Bounds.of(pipe, record.kind, rows_per_part)
                with Session(
                    board,
                    output,
                    items,
                    bounds,
                    done=ids_of_rows,
                    is_told_to_stop=is_told_to_stop,
                    show=bar.show,
                    may_exit=may_exit,
                ) as session:
                    watch = session.watch
                    share = SharedWork(
                        board,
                        writer,
                        bounds,
                        joins_groups=joins_groups(pipe),
                        is_stopped=watch.is_stopped,
                        is_gone=watch.is_gone,
                    )
                    work = Work(
                        pipe,
                        writer,
                        record,
                        share,
                        on_error=on_error,
                        keep_text=keep_text,
                        is_told_to_stop=watch.is_stopped,
                        tell=session.tell,
                        judge=errors.add,
                        most_units_held=sys.maxsize,  # a block is no more than a part
                    )
                    work.do()
                    session.tell(work.progress, at_once=True)
                    if (fault := session.fault()) is not None:
                        raise fault
                    stopped = work.stopped
                    if not stopped:
                        session.end()
                    speaks = session.speaks
                    if speaks:
                        too_many_errors = errors.told_of_all() if stopped else None
                        done = session.all_done()
                        left_open = {} if stopped else session.left_open()
                if speaks:
                    bar.show(done)
                if speaks and not stopped:
                    writer.join(of_all=True)
                    remove_locks(output)
            session.leave()
        except BaseException as error:
            with suppress(BoardLost):
                _tell(board, error)
            raise
    if not speaks:
        return None
    return summarize(
        read_tables(output, columns=summary_columns(record.columns, audit)),
        skipped=done.skipped,
        stopped=stopped,
        too_many_errors=too_many_errors,
        unread=_unread(output, left_open),
        labels=known_targets(pipe),
        audit=audit,
        tokenized_by=getattr(pipe, "tokenized_by", None),
    )


def _unread(output: str | os.PathLike[str], left_open: dict[int, list[str]]) -> dict[int, int]:
    """How many of these inputs have no row, by rank."""
    if not left_open:
        return {}
    missing = {one for ids in left_open.values() for one in ids}
    for ids in read_ids(output, damaged=lambda part: None):
        missing.difference_update(ids)
    counts = {rank: sum(one in missing for one in ids) for rank, ids in left_open.items()}
    return {rank: count for rank, count in counts.items() if count}


def _tell(board: Board, error: BaseException) -> None:
    """Let the others know: what all would meet stops them, and a fault of one rank is its own."""
    if isinstance(error, BoardLost):
        return
    is_for_all = isinstance(error, ReadingFailed | OSError | ValueError) or not isinstance(
        error, Exception
    )
    if is_for_all or not board.has("ready"):
        board.put("stop", True)
    else:
        board.put(f"dead/{board.rank}", True)
        board.add("deaths")


class _Bar:
    """One bar for all ranks, of the rank that speaks; shown once there is something to show."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._bar: Any = None

    def show(self, progress: Progress) -> None:
        """Show what all ranks have done."""
        if self._total == -1:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit="input", file=Forgiving(sys.stderr))
        done = progress.inputs if self._total is None else min(progress.inputs, self._total)
        self._bar.set_postfix_str(progress.told(), refresh=False)
        self._bar.update(done - self._bar.n)

    def tell(self, message: str) -> None:
        """Write a sentence above it."""
        from tqdm import tqdm

        tqdm.write(message, file=Forgiving(sys.stderr))

    def close(self) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.close()
