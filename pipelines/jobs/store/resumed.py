"""What a run that is gone on with finds: the inputs that have their row."""

from __future__ import annotations

import os
import warnings

from .ledger import aside_name, committed_ids, set_damaged_aside


def done_before(output: str | os.PathLike[str], *, rank: int = 0, world_size: int = 1) -> set[str]:
    """Ids of the inputs that have their row, once damaged parts of this rank are set aside."""
    for path in set_damaged_aside(output, rank=rank, world_size=world_size):
        warnings.warn(
            f"{path} is damaged: it is set aside ({aside_name(path)}) and its rows are made again",
            stacklevel=3,
        )
    return committed_ids(output, damaged_too=False)
