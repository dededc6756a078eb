"""The source protocol: what readers know of a video or a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from .trace import Cost


@runtime_checkable
class Source(Protocol):
    """A sequence that can be read in part.

    `temporal.data.Video` and `temporal.data.Document` are sources; anything with these members is.
    """

    id: str
    """Names the source in results and errors."""

    unit: str
    """What it is made of: `"frame"`, `"token"` ..."""

    in_memory: bool
    """True: `read` is a look-up and runs at once. False: it may block (decoding, a disk) and runs
    in the engine's threads while other readers compute."""

    def __len__(self) -> int:
        """Units in the source."""
        ...

    def read(self, units: Sequence[int], **options: Any) -> Any:
        """Return the units asked for, in the order asked for. This is where the cost is paid."""
        ...

    @property
    def spent(self) -> Cost:
        """What the reads so far did cost, counted while they ran; it only grows."""
        ...

    def cost(self, units: Sequence[int]) -> Cost:
        """What reading these units would cost, known before reading."""
        ...
