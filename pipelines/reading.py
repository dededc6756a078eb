"""`Reading`: what a pipeline returns for one input, good or bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from temporal.trace import Trace

OnError = Literal["raise", "record", "skip"]
"""What becomes of a bad input: an exception, a result that says why, or nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingError:
    """Why an input has no complete result."""

    stage: Literal["input", "open", "decode", "tokenize", "model", "write"]
    """Where it happened."""

    reason: str
    """One word of a closed list, e.g. `not_found`, `not_media`, `empty_input`, `nonfinite`."""

    message: str
    """A sentence for a person, at most 500 characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One input's terminal result: predictions, or an error, or both (`partial`).

    Example:
        >>> for reading in pipe.read(["Slow, then wonderful.", ""]):
        ...     print(reading.id, reading.status, reading.predictions, reading.error)
    """

    id: str
    """The input's name: its path, its id column, or `kind-000042` by position."""

    predictions: tuple[dict[str, Any], ...] = ()
    """What the task answers, the best first. Of classes, as transformers returns them:
    `{"label": str, "score": float}` by falling score."""

    classes: tuple[int, ...] = ()
    """Index of each prediction's class, which tells classes of one name apart; of a task that has
    no classes, none."""

    trace: Trace | None = None
    """What was read, skipped and halted, and its cost; None where nothing could be read."""

    error: ReadingError | None = None
    """Set for `partial` and `error`."""

    backend: str | None = None
    """The decoder that read the source (`"pyav"`, `"decord"`), None for text."""

    read_in_full: bool = False
    """It was read in full because the alarm of an audit had been raised, see `Audit`."""

    @property
    def status(self) -> Literal["ok", "partial", "error"]:
        """`ok`: no error. `partial`: an error, but predictions from what could be read. `error`."""
        if self.error is None:
            return "ok"
        return "partial" if self.predictions else "error"


class ReadingFailed(RuntimeError):
    """An input could not be read, and `on_error` is `"raise"`.

    Args:
        reading: The input's.
        next_step: What the caller may do, for the message.
    """

    reading: Reading
    """The reading, with its error."""

    def __init__(self, reading: Reading, next_step: str = "") -> None:
        assert reading.error is not None
        message = f"{reading.id}: {reading.error.reason}: {reading.error.message}"
        super().__init__(f"{message}; {next_step}" if next_step else message)
        self.reading = reading
        self.next_step = next_step

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reading, self.next_step)


def handled(reading: Reading, on_error: OnError) -> Iterator[Reading]:
    """What a caller gets of a reading who wants bad ones recorded, skipped or raised."""
    # A text that was cut at the model's limit is answered as transformers answers it; a file that
    # ends too early is broken.
    was_cut = reading.trace is not None and reading.trace.truncated
    bad = reading.error is not None and not (was_cut and reading.error.reason == "truncated")
    if bad and on_error == "raise":
        raise ReadingFailed(reading)
    if reading.status != "error" or on_error == "record":
        yield reading
