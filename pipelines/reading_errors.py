"""Say where an exception that ended a reading belongs, in one word and one sentence."""

from __future__ import annotations

from typing import Any

from temporal.checks import NonFiniteError, is_out_of_memory
from temporal.data import InputError, TextError, VideoError
from temporal.data.decode.errors import OPEN_REASONS

from .reading import ReadingError


class ItemError(Exception):
    """An item that `collect` could not turn into an input."""

    def __init__(self, error: InputError) -> None:
        super().__init__(error.message)
        self.reason = error.reason


def describe_error(error: Exception) -> ReadingError:
    """Say where an exception belongs, in one word and one sentence."""
    message = " ".join(str(error).split()).removeprefix(f"{getattr(error, 'reason', None)}: ")
    message = message[:500] or type(error).__name__
    if isinstance(error, ItemError):
        return ReadingError(stage="input", reason=error.reason, message=message)
    if isinstance(error, VideoError):
        stage: Any = "open" if error.reason in OPEN_REASONS else "decode"
        return ReadingError(stage=stage, reason=error.reason, message=message)
    if isinstance(error, TextError):
        return ReadingError(stage="tokenize", reason=error.reason, message=message)
    if isinstance(error, NonFiniteError):
        return ReadingError(stage="model", reason="nonfinite", message=message)
    if is_out_of_memory(error):
        return ReadingError(stage="model", reason="oom", message=message)
    return ReadingError(
        stage="model", reason="model_error", message=f"{type(error).__name__}: {message}"[:500]
    )
