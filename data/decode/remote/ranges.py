"""Byte ranges of one URL over a connection that is kept: HTTP as far as reading files needs it."""

from __future__ import annotations

import http.client
import re
import ssl
import time

from ..errors import VideoError
from .connection import Connection
from .urls import Permission, follow_redirect, permit

RANGE_SECONDS = 30.0
"""Longest time for one range, with connecting and trying again."""

_ATTEMPTS = 3  # in a row that bring no byte; a server may hang up on a connection that is idle
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FORBIDDEN = frozenset({401, 403, 407})
_OUTDATED = _FORBIDDEN | {404, 410}
_CHUNK_BYTES = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class RangeClient:
    """Asks a server for ranges of one file. Not safe for threads: its owner locks.

    Args:
        url: The URL.
        permission: What may be asked for, here and after redirects.

    Raises:
        VideoError: `path_not_allowed`, `not_found` (the URL alone decides; nothing is asked yet).
    """

    size_bytes: int | None
    """Size of the file; None before the first range."""

    def __init__(self, url: str, permission: Permission) -> None:
        self.size_bytes = None
        self._permission = permission
        self._first = self._place = permit(url, permission)  # `_place`: after redirects
        self._version: str | None = None
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """How messages call the file."""
        return self._first.name

    def close(self) -> None:
        """Hang up; the next range connects again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def fetch(self, start: int, stop: int) -> bytes:
        """Get the bytes of a half-open range; fewer only where the file ends.

        Raises:
            VideoError: `not_found`, `path_not_allowed` or `not_regular_file` (the server does not
                give parts of files) as a rule at the first range, `truncated` when the connection
                is lost, `timeout`, and `corrupt` when the file has changed since.
        """
        data = bytearray()
        deadline, failures = time.monotonic() + RANGE_SECONDS, 0
        while self.size_bytes is None or len(data) < min(stop, self.size_bytes) - start:
            before = len(data)
            try:
                self._receive(data, start, stop, deadline)
            except VideoError:
                self.close()
                raise
            except TimeoutError as error:
                self.close()
                raise VideoError(
                    "timeout", f"{self.name}: bytes {start} to {stop} took over {RANGE_SECONDS} s"
                ) from error
            except ssl.SSLCertVerificationError as error:
                self.close()
                raise VideoError(
                    "path_not_allowed", f"{self.name}: the server cannot prove who it is: {error}"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                failures = 0 if len(data) > before else failures + 1
                if failures >= _ATTEMPTS:
                    # What never came is not there; what stops coming is cut.
                    raise VideoError(
                        "not_found" if self.size_bytes is None else "truncated",
                        f"{self.name}: no connection at byte {start + len(data)}: {error!r}",
                    ) from error
        return bytes(data)

    def _receive(self, data: bytearray, start: int, stop: int, deadline: float) -> None:
        """Ask for the rest of a range and append what comes."""
        place = start + len(data)
        response = self._get(place, stop, deadline)
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        first, last, size = (int(number) for number in found.groups()) if found else (-1, -1, -1)
        if first != place or not first <= last < min(stop, size):
            raise VideoError(
                "not_regular_file",
                f"{self.name}: asked for bytes {place} to {stop} the server gave "
                f"{response.headers.get('Content-Range')!r}; download the file and read it there",
            )
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if self.size_bytes is None:
            self.size_bytes, self._version = size, version
        elif (size, version) != (self.size_bytes, self._version):
            raise VideoError("corrupt", f"{self.name} changed while it was read; open it again")
        missing = last + 1 - first
        while missing and (chunk := response.read1(min(missing, _CHUNK_BYTES))):
            data += chunk
            missing -= len(chunk)
        if missing:
            raise ConnectionError(f"{missing} bytes fewer came than were announced")
        if response.length:  # it sends more than it announced: the next answer would begin there
            self.close()
        response.close()

    def _get(self, start: int, stop: int, deadline: float) -> http.client.HTTPResponse:
        """Ask, following redirects; return the answer that holds the range."""
        redirects, renewed = 0, False
        while True:
            response = self._ask(start, stop, deadline)
            if response.status == 206 and _is_plain(response):
                return response
            self.close()
            response.close()
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location and redirects < _MAX_REDIRECTS:
                redirects += 1
                self._place = follow_redirect(self._place, location, self._permission)
            elif response.status in _OUTDATED and self._place != self._first and not renewed:
                # Where it redirected to may be valid for minutes only.
                self._place, renewed = self._first, True
            else:
                raise self._refusal(response)

    def _ask(self, start: int, stop: int, deadline: float) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = Connection(self._place, self._permission)
        self._connection.deadline = deadline
        self._connection.request(
            "GET",
            self._place.target,
            headers={
                "Range": f"bytes={start}-{stop - 1}",
                "Accept-Encoding": "identity",  # ranges of a compressed file would be others
                "User-Agent": "temporal",
            },
        )
        return self._connection.getresponse()

    def _refusal(self, response: http.client.HTTPResponse) -> VideoError:
        status = f"the server answers {response.status} {response.reason}".rstrip()
        is_empty = response.status == 200 and response.headers.get("Content-Length") == "0"
        if self.size_bytes is None and (is_empty or response.status == 416):
            return VideoError("not_media", f"{self.name} is empty (0 bytes)")
        if response.status in (200, 206):
            return VideoError(
                "not_regular_file",
                f"{self.name}: the server does not give parts of this file (no range requests); "
                "download it and read it there",
            )
        if response.status in _FORBIDDEN:
            return VideoError("not_found", f"{self.name}: {status}: it asks for a permission")
        if response.status in _REDIRECTS:
            return VideoError(
                "not_found", f"{self.name} redirects to nowhere or over {_MAX_REDIRECTS} times"
            )
        lost = self.size_bytes is not None and response.status not in _OUTDATED
        return VideoError("truncated" if lost else "not_found", f"{self.name}: {status}")


def _is_plain(response: http.client.HTTPResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").lower() == "identity"
