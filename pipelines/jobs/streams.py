"""Output whose reader may go away: a closed pipe or terminal ends the messages, not the work."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

_GONE = {errno.EPIPE, errno.EIO, errno.ESHUTDOWN, errno.ECONNRESET}


class Forgiving:
    """A text stream that falls silent when nobody reads it any more.

    Its descriptor then leads nowhere, so that what others write to it (FFmpeg, Python at its end)
    no longer fails either. All else is the stream's own.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or pretend to."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._fall_silent(error)
            return len(text)

    def writelines(self, lines: Any) -> None:
        """Write lines, or pretend to."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, or pretend to."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fall_silent(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fall_silent(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        with suppress(OSError, ValueError):  # a stream without a descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def forgive_closed_streams() -> None:
    """Make the process's own stdout and stderr forgiving."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:  # it was closed when the process began (`2>&-`)
            stream = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process lives
        setattr(sys, name, Forgiving(stream))
