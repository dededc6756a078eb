"""Open what never ends: a pipe, a file object, a FIFO, or a stream of the network."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import av
import av.error

from ..errors import VideoError
from ..files.container import MAX_PIXELS, Opened, open_container, take_stream
from ..files.sniff import Checked, check_source
from ..files.view import can_seek

_PROTOCOLS = {
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtp": "rtp,udp",
    "srt": "srt,udp",
    "tcp": "tcp",
    "udp": "udp",
}
"""Schemes of streams, and what the demuxer may open for each: never a file."""

_LOOK_SECONDS = 0.2  # so often a read that waits looks whether it is to stop
_MOST_IN_A_PIPE = 1 << 20  # bytes


def is_stream_url(source: object) -> bool:
    """Whether a source is the URL of a stream."""
    return isinstance(source, str) and source.partition("://")[0].lower() in _PROTOCOLS


def open_live(
    source: Any,
    *,
    is_stopped: threading.Event,
    allow_remote: Sequence[str] = (),
    max_pixels: int = MAX_PIXELS,
) -> Opened:
    """Open a source for reading its packets forward, once. May wait for its first bytes.

    Args:
        source: As `temporal.data.LiveVideo` takes it.
        is_stopped: When it is set, a source that can be waited for ends.
        allow_remote: Origins whose URLs may be read.
        max_pixels: Largest frame that is decoded.

    Raises:
        VideoError: It is no video, or may not be read.
        TypeError: It is of another type.
    """
    if isinstance(source, str) and is_stream_url(source):
        return _open_url(source, allow_remote, max_pixels)
    if is_ours := isinstance(source, str | os.PathLike) and _is_fifo(source):
        source = open(source, "rb", buffering=0)  # noqa: SIM115  # closed at its end
    if hasattr(source, "read") and not can_seek(source):
        source = _Forward(source, is_stopped, is_ours=is_ours)
    checked = check_source(source, forward_only=True)
    if checked.demuxer == "webp":
        raise VideoError("unsupported_codec", f"{checked.name} is an animated WebP, no stream")
    return open_container(checked, max_pixels=max_pixels)


def _open_url(url: str, allow_remote: Sequence[str], max_pixels: int) -> Opened:
    scheme, name = url.partition("://")[0].lower(), url.partition("?")[0]
    try:
        parts = urlsplit(url)
        origin = f"{scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    except ValueError as error:
        raise VideoError("not_found", f"{name} is no URL: {error}") from error
    shown = f"{origin}{parts.path}"  # without a password
    if origin not in [one.rstrip("/").lower() for one in allow_remote]:
        raise VideoError(
            "path_not_allowed",
            f"{shown} is not of an origin that is allowed: pass allow_remote=[{origin!r}] to read "
            "it, or pipe the stream in",
        )
    checked = Checked(demuxer=scheme, is_seekable=False, name=shown)
    options = {"protocol_whitelist": _PROTOCOLS[scheme], "max_pixels": str(max_pixels)}
    if scheme == "rtsp":
        options["rtsp_transport"] = "tcp"  # over UDP, pictures miss parts
    try:
        container = av.open(url, options=options, metadata_errors="replace", timeout=(30.0, None))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError("not_found", f"{shown} cannot be opened: {error}") from error
    return take_stream(checked, container, max_pixels=max_pixels)


def _is_fifo(path: str | os.PathLike[str]) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False


class _Forward:
    """A source that is read forward and can be told to end, though nothing comes.

    Args:
        source: Has `read`, and maybe `read1` and a descriptor that can be waited for.
        is_stopped: Ends it.
        is_ours: Close it at its end.
    """

    def __init__(self, source: Any, is_stopped: threading.Event, *, is_ours: bool) -> None:
        name = getattr(source, "name", "<stream>")
        self.name = "<stream>" if isinstance(name, int) else str(name)
        self._source = source
        self._is_ours = is_ours
        self._read = getattr(source, "read1", source.read)
        self._is_stopped = is_stopped
        self._can_wait = _can_wait(source)
        self._left = _MOST_IN_A_PIPE

    def seekable(self) -> bool:
        """Return False."""
        return False

    def read(self, size: int) -> bytes | None:
        """Return some bytes, at most so many; none at the end."""
        data = self._take(size)
        if data == b"" and self._is_ours:
            self._source.close()
        return data

    def _take(self, size: int) -> bytes | None:
        while self._can_wait and not self._is_stopped.is_set():
            if self._has_come(_LOOK_SECONDS):
                break
        if self._is_stopped.is_set():
            # What lies in a pipe had been sent; but who sends without a pause is not waited for.
            if self._left <= 0 or not (self._can_wait and self._has_come(0)):
                return b""
            self._left -= size
        try:
            return self._read(size)
        except ValueError:
            if getattr(self._source, "closed", False):  # by its owner
                return b""
            raise

    def _has_come(self, seconds: float) -> bool:
        """Whether a read gives something at once, or the end; waits for so long."""
        try:
            return bool(select.select([self._source], [], [], seconds)[0])
        except (OSError, ValueError):  # closed by its owner
            return True


def _can_wait(source: Any) -> bool:
    """Whether one can wait for a source's next bytes and look up meanwhile."""
    try:
        select.select([source], [], [], 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    return True
