"""Going on with the audit of a run that was stopped: by its rows, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..jobs.store.ledger import read_rows
from .audit import Audit
from .columns import AUDIT_COLUMNS
from .others import Others
from .watched import stored_of


def go_on(
    audit: Audit,
    pipe: Any,
    directory: str | os.PathLike[str],
    *,
    inputs_before: int,
    rank: int,
    world_size: int,
    tell: Callable[[str], None],
) -> None:
    """Have an audit begin with what the rows of a run tell, and know of the run's other processes.

    Args:
        audit: of the run.
        pipe: the pipeline that it is of.
        directory: the run's, damaged parts having been set aside.
        inputs_before: that have their row.
        rank: this process's.
        world_size: processes of the run.
        tell: what is called with a sentence when an alarm is raised.
    """
    audit.tell = tell
    audit.others = Others(directory, rank=rank, world_size=world_size)
    counts = {True: 0, False: 0, None: 0}
    alarm = False
    if audit.share and inputs_before:
        own = read_rows(directory, columns=AUDIT_COLUMNS, owns=lambda of: of % world_size == rank)
        for row in own:
            alarm |= bool(row["read_in_full"])
            if row["audit"] is not None:
                counts[row["audit"]["agreed"]] += 1
    audit.restore(
        audited=counts[True] + counts[False],
        disagreed=counts[False],
        failed=counts[None],
        alarm=alarm,
    )
    # Each process, and each beginning, has its part of the error of a false alarm.
    audit.compare_with(stored_of(pipe), level=0.05 / world_size, inputs_before=inputs_before)
