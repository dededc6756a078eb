"""`file:` URLs: the path on this machine that one names, and no other machine's."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes, urlsplit

from ..errors import VideoError

_FILE_URL = re.compile(r"file:", re.IGNORECASE)
_HERE = ("", "localhost")


def path_of_url(text: str) -> str | None:
    """The path that a `file:` URL names; None for what is no such URL.

    Raises:
        VideoError: `path_not_allowed`: it names another machine, or no absolute path.
    """
    if _FILE_URL.match(text) is None:
        return None
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise VideoError("path_not_allowed", f"{text!r} is no URL: {error}") from error
    if parts.netloc.lower() not in _HERE:
        raise VideoError(
            "path_not_allowed",
            f"{text!r} names a file of the machine {parts.netloc!r}; only files of this one are "
            "read: file:///path",
        )
    if not parts.path.startswith("/") or parts.query or parts.fragment:
        raise VideoError(
            "path_not_allowed",
            f"{text!r} must be file:// and an absolute path, in which ? is %3F and # is %23",
        )
    return os.fsdecode(unquote_to_bytes(parts.path))
