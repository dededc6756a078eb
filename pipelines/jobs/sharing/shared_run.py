"""`run_shared`: a pipeline over a collection by several ranks, each of which calls this."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....data.names.known_names import KnownNames
from ...reading import OnError, ReadingFailed
from ...tasks.registry import record_of
from ..error_rate import ErrorRate, asked_to_stop
from ..groups import Bounds, joins_groups
from ..manifest import RunManifest
from ..run_output import RunOutput
from ..stop import Stop, stop_on_signal
from ..store.committed import read_ids
from ..store.ledger import Format
from ..store.lock import remove_locks
from ..store.resumed import done_before, done_by_now
from ..streams import Forgiving
from ..table.rows import Readable
from ..table.summary import Summary
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
    errors = ErrorRate(max_error_rate, board)
    record = record_of(manifest.task)
    out = RunOutput(pipe, record, output, format, keep_text, board.rank, board.world_size)
    with stop_on_signal() as signalled, closing(_Bar(total if progress else -1)) as bar:
        is_stopped = asked_to_stop(errors, signalled, stop)
        try:
            if board.rank != 0 and not wait_until_ready(board, is_stopped):
                return None
            with out.opened(
                manifest,
                resume=resume,
                anyway=resume_anyway,
                rows_per_part=None,
                shares_names=True,
                is_stopped=is_stopped,
            ) as writer:
                if writer is None:
                    return None
                done = _done_names(output, board, resume=resume)
                out.go_on_auditing(inputs_before=board.get("rows_before") or 0, tell=bar.tell)
                bounds = Bounds.of(pipe, record.kind, rows_per_part)
                with Session(
                    board,
                    output,
                    items,
                    bounds,
                    done=done,
                    is_told_to_stop=is_stopped,
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
                        out,
                        writer,
                        share,
                        on_error=on_error,
                        is_told_to_stop=watch.is_stopped,
                        tell=session.tell,
                        judge=errors.add,
                        most_units_held=sys.maxsize,  # a block is no more than a part
                    )
                    work.do()
                    end = _end_of(session, work, errors)
                if end is not None:
                    bar.show(end.done)
                if end is not None and not end.stopped:
                    writer.join(of_all=True)
                    remove_locks(output)
            session.leave()
        except BaseException as error:
            with suppress(BoardLost):
                _tell(board, error)
            raise
    if end is None:
        return None
    return out.summary(
        skipped=end.done.skipped,
        stopped=end.stopped,
        too_many_errors=end.too_many_errors,
        unread=_unread(output, end.left_open),
    )


def _done_names(
    output: str | os.PathLike[str], board: Board, *, resume: bool
) -> Callable[[], KnownNames]:
    """Gives the rank that lists the collection the ids of the inputs that have their row.

    The first rank looks before any is at work: it sets damaged parts aside, and tells the others
    how many rows there are.
    """
    found: list[KnownNames] = []
    if board.rank == 0:
        found.append(done_before(output) if resume else KnownNames())
        board.put("rows_before", len(found[0]))
    return lambda: found.pop() if found else done_by_now(output)  # who has asked has it alone


@dataclass(frozen=True, kw_only=True)
class _End:
    """What the rank that speaks knows at the end of the work of all."""

    stopped: bool
    done: Progress
    too_many_errors: str | None
    left_open: dict[int, list[str]]


def _end_of(session: Session, work: Work, errors: ErrorRate) -> _End | None:
    """End this rank's work together with the others; None: another rank speaks.

    Raises:
        Exception: what went wrong with listing the collection, in whichever rank.
    """
    session.tell(work.progress, at_once=True)
    if (fault := session.fault()) is not None:
        raise fault
    stopped = work.stopped
    if not stopped:
        session.end()
    if not session.speaks:
        return None
    return _End(
        stopped=stopped,
        done=session.all_done(),
        too_many_errors=errors.told_of_all() if stopped else None,
        left_open={} if stopped else session.left_open(),
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
