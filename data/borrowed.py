"""`Borrowed`: a source that the caller has opened, read under a name of its own and left open."""

from __future__ import annotations

from typing import Any


class Borrowed:
    """A view of a source: it does all that the source does, but for its id and its end.

    The same source may be borrowed several times, and be another input each time.

    Args:
        source: a `Video`, `Frames`, or what is read like one.
        id: its name in results.
    """

    def __init__(self, source: Any, id: str) -> None:
        self.source = source
        self.id = id

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        if name == "source":  # not made yet: while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.source, name)

    def close(self) -> None:
        """Do nothing: whoever opened it closes it."""


def is_open_source(value: Any) -> bool:
    """Whether a value can be read as it is: it has an index of its frames."""
    return hasattr(type(value), "index") and hasattr(value, "cost") and hasattr(value, "read")
