"""Going on with the audit of a run that was stopped: by its rows, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..jobs.store.ledger import read_rows
from .audit import Audit
from .others import Others
from .watched import stored_of


def go_on(
    audit: Audit,
    pipe: Any,
    directory: str | os.PathLike[str],
    *,
    rank: int,
    world_size: int,
    tell: Callable[[str], None],
) -> None:
    """Have an audit begin with what the rows of a run tell, and know of the run's other processes.

    Args:
        audit: of the run.
        pipe: the pipeline that it is of.
        directory: the run's, damaged parts having been set aside.
        rank: this process's.
        world_size: processes of the run.
        tell: what is called with a sentence when an alarm is raised.
    """
    audit.tell = tell
    audit.others = Others(directory, rank=rank, world_size=world_size)
    counts = {True: 0, False: 0, None: 0}
    rows, alarm = 0, False
    columns = ["id", "audit", "read_in_full"] if audit.share else ["id"]
    for row in read_rows(directory, columns=columns, owns=lambda of: of % world_size == rank):
        rows += 1
        alarm |= bool(row.get("read_in_full"))
        if row.get("audit") is not None:
            counts[row["audit"]["agreed"]] += 1
    audit.restore(
        audited=counts[True] + counts[False],
        disagreed=counts[False],
        failed=counts[None],
        alarm=alarm,
    )
    # Each process, and each beginning, has its part of the error of a false alarm.
    audit.compare_with(stored_of(pipe), level=0.05 / world_size, inputs_before=rows)
