"""What is open of a video: its checked source, its index, its reader; in one process."""

from __future__ import annotations

import os
import threading
from typing import Any, BinaryIO, cast

from ..places.content import Content
from ..places.stores import Stored
from .decoders.backends import (
    Backend,
    FrameDecoder,
    backend_for,
    check_backend,
    count_cores,
    open_decoder,
)
from .errors import VideoError
from .files.container import Opened, open_container
from .files.sniff import Checked, check_source, portable
from .files.webp import DEMUXER
from .fork import check_crosses_fork, leave_to_parent
from .packets.index import VideoIndex
from .packets.index_cache import read_index
from .remote.urls import AllowRemote, check_permission, is_url, permits_bucket

_STATE = ("_source", "_name", "_wanted", "_max_pixels", "_num_threads", "_limits", "_cache_dir")


class Opening:
    """Opens a source step by step, each when it is first needed, and lets it go.

    Takes what `Video` takes. Pickles as its source and these options, without what is open.
    """

    lock: threading.RLock
    """Held while the source or its decoder is used."""

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | BinaryIO | Content,
        *,
        name: str,
        backend: Backend,
        max_pixels: int,
        root: str | os.PathLike[str] | None,
        num_threads: int | None,
        index_cache_dir: str | os.PathLike[str] | None,
        allow_remote: AllowRemote,
    ) -> None:
        check_backend(backend)
        if isinstance(source, str) and permits_bucket(source, check_permission(allow_remote)):
            source = cast(Any, Stored(source))
        if max_pixels < 1:
            raise ValueError(f"max_pixels ({max_pixels}) must be >= 1")
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads ({num_threads}) must be >= 1, or None for all cores")
        self._source = source
        self._name = name
        # The others would first need the whole of a remote file.
        is_elsewhere = is_url(source) or isinstance(source, Content)
        self._wanted: Backend = "pyav" if is_elsewhere else backend
        self._max_pixels = max_pixels
        self._num_threads = num_threads
        self._limits: Any = {"root": root, "allow_remote": check_permission(allow_remote)}
        self._cache_dir = index_cache_dir
        self._reset()

    def _reset(self) -> None:
        self.lock = threading.RLock()
        self._process = os.getpid()
        self._index: VideoIndex | None = None
        self._checked: Checked | None = None
        self._opened: Opened | None = None  # open, with its index read, not yet given to a reader
        self._reader: FrameDecoder | None = None

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            return {name: getattr(self, name) for name in _STATE} | {
                "_source": portable(self._source)
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def own_process(self) -> bool:
        """After a fork, leave the parent's decoder alone; return whether there was one.

        Comes before the lock is taken: in the child, it may be held by a thread that is gone.

        Raises:
            RuntimeError: The source is a file object, whose position the parent moves, too.
        """
        if self._process == os.getpid():
            return False
        leave_to_parent(self._reader, self._opened)
        check_crosses_fork(self._source, self._name)
        index, checked = self._index, self._checked
        self._reset()
        if checked is not None and checked.path is not None:
            self._index, self._checked = index, checked
        return True

    def get_index(self) -> VideoIndex:
        """Return the index, from packets alone."""
        with self.lock:
            if self._index is None:
                self._index, self._opened = read_index(
                    self.get_checked(), self._max_pixels, self._cache_dir
                )
            return self._index

    def get_backend(self) -> str:
        """Name the decoder that reads this file."""
        return backend_for(self._wanted, self.get_index(), self.get_checked)

    def get_checked(self, *, forward_only: bool = False) -> Checked:
        """Return the source, which may then be given to a decoder."""
        with self.lock:
            if self._checked is not None and self._checked.is_lost:
                self.close()  # whatever is open reads from a lost connection: begin anew
            if self._checked is not None:
                return self._checked
            checked = check_source(self._source, forward_only=forward_only, **self._limits)
            if checked.is_seekable:
                self._checked = checked
            return checked

    def get_reader(self) -> FrameDecoder:
        """Return the decoder. The caller holds the lock while it is used."""
        checked = self.get_checked()
        if self._reader is None:
            index, opened = self.get_index(), self._opened
            self._opened = None
            self._reader = open_decoder(
                self.get_backend(),
                checked,
                index,
                opened,
                max_pixels=self._max_pixels,
                num_threads=self._num_threads or count_cores(),
            )
        return self._reader

    def open_apart(self, decoder_options: dict[str, str]) -> Opened:
        """Open another container on the source, which does not disturb this reader."""
        checked = self.get_checked()
        if checked.demuxer == DEMUXER:
            raise VideoError(
                "unsupported_codec",
                f"{self._name} is an animated WebP, whose decoder has no options and tells no "
                "evidence; read its frames",
            )
        return open_container(checked, max_pixels=self._max_pixels, decoder_options=decoder_options)

    def close(self) -> None:
        """Let go of the file; the index stays."""
        with self.lock:
            for held in (self._reader, self._opened):
                if held is not None:
                    held.close()
            self._reader = self._opened = None
            self._checked = self._checked and self._checked.let_go()
