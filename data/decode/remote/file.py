"""A file on a web server, read in parts through a cache of blocks.

Decoders get it as they get any open file and ask for bytes only: they never learn its address and
make no request themselves. Indexing demuxes all packets, so it fetches the whole video stream once
(its frames are not decoded); what follows fetches the blocks that its packets lie in, and those
that were fetched last are still here.
"""

from __future__ import annotations

import weakref
from typing import Protocol

from fsspec.spec import AbstractBufferedFile

from ..errors import VideoError
from .ranges import RangeClient
from .urls import Permission

BLOCK_BYTES = 1 << 20
"""Bytes of one request: some 30 reads of a demuxer, and no more than a large keyframe."""

MAX_BLOCKS = 16
"""Blocks that are kept, the latest used."""


class Ranges(Protocol):
    """What gets byte ranges of one file (`RangeClient`, of web servers)."""

    @property
    def name(self) -> str:
        """How messages call the file."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """Size of the file; None before the first range."""
        ...

    def fetch(self, start: int, stop: int) -> bytes:
        """Get the bytes of a half-open range; fewer only where the file ends."""
        ...

    def close(self) -> None:
        """Hang up; the next range connects again."""
        ...


class RemoteFile(AbstractBufferedFile):
    """A seekable file behind a URL. Not safe for threads: its owner locks.

    After a fault it stays at fault and asks for nothing more: what has read it may have seen an
    end that is none, so all of it is to be opened anew.

    Args:
        client: Gets the ranges.

    Raises:
        VideoError: As `RangeClient.fetch`: the first block is fetched here.
    """

    failure: VideoError | None
    """Why no more can be had."""

    def __init__(self, client: Ranges) -> None:
        self.closed = True  # in case what follows fails: nothing is to be closed then
        self.failure = None
        self.name = client.name
        self._client = client
        self._first = client.fetch(0, BLOCK_BYTES)
        super().__init__(
            None,  # no file system: this file knows how to get its ranges
            client.name,
            block_size=BLOCK_BYTES,
            cache_type="blockcache",
            cache_options={"maxblocks": MAX_BLOCKS},
            size=client.size_bytes,
        )
        # Containers that nobody closed end in the collector of cycles. There `__del__` might come
        # after the socket's own, which complains.
        weakref.finalize(self, client.close).atexit = False

    def hang_up(self) -> None:
        """Close the connection; a later read opens another one."""
        self._client.close()

    def close(self) -> None:
        """Close the connection and free what was kept."""
        super().close()
        self._client.close()

    def _fetch_range(self, start: int, end: int) -> bytes:
        if start == 0 and self._first:
            data, self._first = self._first, b""
            return data
        if self.failure is None:
            try:
                return self._client.fetch(start, end)
            except VideoError as error:
                self.failure = error
        raise VideoError(self.failure.reason, self.failure.args[0])


def open_remote(url: str, permission: Permission) -> RemoteFile:
    """Open a URL for reading in parts.

    Args:
        url: An http(s) URL.
        permission: What `urls.check_permission` returned.

    Raises:
        VideoError: `path_not_allowed` (the URL, a redirect or an address is not permitted),
            `not_found`, `not_regular_file` (the server gives files only as a whole), `not_media`
            (an empty file), `truncated` or `timeout`.
    """
    client = RangeClient(url, permission)
    try:
        return RemoteFile(client)
    except BaseException:
        client.close()
        raise
