"""A run's output, from where it is opened to where it is added up, however the work is shared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...data.names.known_names import KnownNames
from ..auditing.stored import go_on
from ..tasks.registry import TaskRecord
from .manifest import RunManifest, adopt_run, open_run
from .store.columns import check_stored_columns
from .store.ledger import Format, ResultWriter, read_tables
from .store.resumed import done_before
from .table.row import row_schema
from .table.rows import Readable
from .table.summary import Summary, summarize, summary_columns
from .table.targets import known_targets


@dataclass(frozen=True)
class RunOutput:
    """Where the rows of a run go, and what they are of."""

    pipe: Readable
    """Reads the inputs."""

    record: TaskRecord
    """Of its task."""

    directory: str | os.PathLike[str]
    """Of the parts."""

    format: Format
    """Of the parts."""

    keep_text: bool
    """Rows have their texts, and the characters of their units."""

    rank: int
    """This process's."""

    world_size: int
    """Processes that write."""

    @property
    def audit(self) -> Any:
        """The pipeline's; None: nothing is audited."""
        return getattr(self.pipe, "audit", None)

    @contextmanager
    def opened(
        self,
        manifest: RunManifest,
        *,
        resume: bool,
        anyway: bool,
        rows_per_part: int | None,
        shares_names: bool = False,
        is_stopped: Callable[[], bool],
    ) -> Iterator[ResultWriter | None]:
        """Make the output ready and yield the writer of its rows, which closes on the way out.

        None: the run was stopped before that. See `open_run` and `ResultWriter`.

        Raises:
            OutputRefused: the output cannot be used for this run.
        """
        is_ready = open_run(
            self.directory,
            manifest,
            resume=resume,
            anyway=anyway,
            rank=self.rank,
            is_stopped=is_stopped,
        )
        if not is_ready:
            yield None
            return
        is_audited = self.audit is not None and self.audit.share > 0
        schema = row_schema(self.record, keep_text=self.keep_text, audited=is_audited)
        check_stored_columns(self.directory, schema, format=self.format)
        with ResultWriter(
            self.directory,
            schema=schema,
            format=self.format,
            rows_per_part=rows_per_part,
            rank=self.rank,
            world_size=self.world_size,
            shares_names=shares_names,
        ) as writer:
            if self.rank == 0:
                adopt_run(self.directory, manifest)
            yield writer

    def done_before(self) -> KnownNames:
        """Ids of the inputs that have their row; see `resumed.done_before`."""
        return done_before(self.directory, rank=self.rank, world_size=self.world_size)

    def go_on_auditing(self, *, inputs_before: int, tell: Callable[[str], None]) -> None:
        """Have the audit, if there is one, begin with what the rows that are there tell."""
        if self.audit is not None:
            go_on(
                self.audit,
                self.pipe,
                self.directory,
                inputs_before=inputs_before,
                rank=self.rank,
                world_size=self.world_size,
                tell=tell,
            )

    def summary(
        self,
        *,
        skipped: int,
        stopped: bool,
        too_many_errors: str | None,
        unread: Mapping[int, int],
        at_work: Sequence[int] = (),
    ) -> Summary:
        """Add up all rows that are there; see `summarize`."""
        return summarize(
            read_tables(self.directory, columns=summary_columns(self.record.columns, self.audit)),
            skipped=skipped,
            stopped=stopped,
            too_many_errors=too_many_errors,
            unread=unread,
            at_work=at_work,
            labels=known_targets(self.pipe),
            audit=self.audit,
            tokenized_by=getattr(self.pipe, "tokenized_by", None),
        )
