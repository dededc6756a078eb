"""What a run that is gone on with finds: the inputs that have their row."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

from ....data.names.known_names import KnownNames
from .committed import aside_name, read_ids, set_aside
from .parts import Part


def done_before(
    output: str | os.PathLike[str], *, rank: int = 0, world_size: int = 1
) -> KnownNames:
    """Ids of the inputs that have their row; damaged parts of this rank are set aside.

    What is known of an id is 16 bytes on disk, so that it does not matter how many there are.
    """

    def damaged(part: Part) -> None:
        if part.rank % world_size != rank:
            return
        set_aside(part)
        warnings.warn(
            f"{part.path} is damaged: it is set aside ({aside_name(part.path)}) and its rows are "
            "made again",
            stacklevel=4,
        )

    return _known(output, damaged)


def done_by_now(output: str | os.PathLike[str]) -> KnownNames:
    """Ids of the inputs that have their row, while others may write; nothing is set aside."""
    return _known(output, lambda part: None)


def _known(output: str | os.PathLike[str], damaged: Callable[[Part], None]) -> KnownNames:
    names = KnownNames(keeps_order=True)
    for ids in read_ids(output, damaged=damaged):
        names.update(ids)
    names.settle()
    return names
