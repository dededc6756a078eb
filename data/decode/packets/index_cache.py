"""Indices kept in files, so that a video that is opened again is not walked again.

A cache file holds the index as JSON and NumPy arrays, never a pickle, under a digest. It says which
file it was made from (size, time of change, first and last bytes) and by which PyAV; whatever does
not agree, does not parse or has another digest is as good as absent, and is replaced.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import threading
import warnings
import zipfile
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..files.container import Opened, check_pixels, open_container
from ..files.sniff import Checked
from ..files.webp import DEMUXER, build_webp_index
from .index import Packets, VideoIndex, build_index

IN_MEMORY = ":memory:"
"""Instead of a directory: the indices of the files that this process opened last are at hand, for
who opens several parts of one file."""

_MOST_PACKETS = 500_000
"""Packets of these indices together, at most: some 35 MB."""

EDGE_BYTES = 65536
"""How much of a file's beginning and of its end is hashed."""

_MAGIC = b"temporal video index 7"  # the number changes when `VideoIndex` or how it is built does
_PACKETS = "packets."
_FOREIGN = (ValueError, KeyError, TypeError, AttributeError, OSError, zipfile.BadZipFile)


def read_index(
    checked: Checked, max_pixels: int, cache_dir: str | os.PathLike[str] | None
) -> tuple[VideoIndex, Opened | None]:
    """Take a source's index from the cache, or build it (and put it there).

    Args:
        checked: The source. Only paths are cached.
        max_pixels: As `open_container` takes it.
        cache_dir: The directory of cache files, made when it is missing; None: no cache. Or
            `IN_MEMORY`.

    Returns:
        The index, and the container that was opened for it: None when it came from the cache, and
        then not one packet was read.

    Raises:
        VideoError: As `open_container` and `build_index` raise it; `too_large` also from the cache.
    """
    if cache_dir == IN_MEMORY:
        return _latest.read(checked, max_pixels)
    place = key = None
    if cache_dir is not None and checked.path is not None:
        # Before the packets are read: if the file changes meanwhile, the key is a stale one.
        place, key = cache_path(cache_dir, checked.path), _key(checked.path)
        index = _load(place, key)
        if index is not None:
            check_pixels(index.width, index.height, max_pixels, name=checked.name)
            return index, None
    index, opened = _built(checked, max_pixels)
    if place is not None and key is not None:
        try:
            _save(place, key, index)
        except OSError as error:
            warnings.warn(
                f"index_cache_dir ({os.fspath(place.parent)!r}) cannot be written: {error}; videos "
                "are read without it",
                RuntimeWarning,
                stacklevel=2,
            )
    return index, opened


def _built(checked: Checked, max_pixels: int) -> tuple[VideoIndex, Opened | None]:
    if checked.demuxer == DEMUXER:
        return build_webp_index(checked, max_pixels), None
    opened = open_container(checked, max_pixels=max_pixels)
    try:
        return build_index(opened), opened
    except BaseException:
        opened.close()
        raise


class _Latest:
    """Indices of the files that were opened last, each as long as its file stays what it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._known: dict[tuple[str, int, int, int], VideoIndex] = {}  # the latest at the end

    def read(self, checked: Checked, max_pixels: int) -> tuple[VideoIndex, Opened | None]:
        """Take the index of a file, or build it; of what is no file, build it."""
        if checked.path is None:
            return _built(checked, max_pixels)
        if self._process != os.getpid():  # forked: the lock may be held by a thread that is gone
            self._lock, self._process = threading.Lock(), os.getpid()
        facts = os.stat(checked.path)  # before: as of the files
        key = (checked.path, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        with self._lock:
            index = self._known.pop(key, None)
        if index is None:
            index, opened = _built(checked, max_pixels)
        else:
            check_pixels(index.width, index.height, max_pixels, name=checked.name)
            opened = None
        with self._lock:
            self._known[key] = index
            while sum(len(one.packets.pts) for one in self._known.values()) > _MOST_PACKETS:
                del self._known[next(iter(self._known))]
        return index, opened


_latest = _Latest()


def cache_path(cache_dir: str | os.PathLike[str], path: str) -> Path:
    """Where the index of the file at this absolute path is cached."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return Path(cache_dir) / f"{name}.index"


def _key(path: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        facts = os.fstat(file.fileno())
        digest.update(file.read(EDGE_BYTES))
        file.seek(max(0, facts.st_size - EDGE_BYTES))
        digest.update(file.read(EDGE_BYTES))
    return {
        "size_bytes": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "head_and_tail": digest.hexdigest(),
        "pyav": av.__version__,  # another one may cut the file into other packets
    }


def _load(place: Path, key: dict[str, Any]) -> VideoIndex | None:
    """Return the cached index, or None when it is missing, stale, foreign or damaged."""
    try:
        if not place.is_file():
            return None
        magic, digest, content = place.read_bytes().split(b"\n", 2)
        if magic != _MAGIC or digest != _digest(content):
            return None
        head, content = content.split(b"\n", 1)
        written = json.loads(head)
        if written["key"] != key:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _unpack(written["facts"], {name: arrays[name] for name in arrays.files})
    except _FOREIGN:
        return None


def _save(place: Path, key: dict[str, Any], index: VideoIndex) -> None:
    """Write the cache file: it appears as a whole, under its name, or not at all.

    It is not synced: one that a power cut damages is noticed by its digest and made again.
    """
    facts, arrays = _pack(index)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = json.dumps({"key": key, "facts": facts}).encode() + b"\n" + buffer.getvalue()
    place.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: other processes may be writing the same index.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"\n".join([_MAGIC, _digest(content), content]))
        os.replace(temporary, place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _pack(index: VideoIndex) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split an index into what JSON holds and what NumPy's format holds."""
    values = {field.name: getattr(index, field.name) for field in fields(VideoIndex)}
    packets = values.pop("packets")
    arrays = {_PACKETS + field.name: getattr(packets, field.name) for field in fields(Packets)}
    arrays |= {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    facts = {name: value for name, value in values.items() if name not in arrays}
    facts["time_base"] = str(index.time_base)
    return facts, arrays


def _unpack(facts: dict[str, Any], arrays: dict[str, Any]) -> VideoIndex:
    for array in arrays.values():
        array.setflags(write=False)
    packets = {
        name.removeprefix(_PACKETS): array
        for name, array in arrays.items()
        if name.startswith(_PACKETS)
    }
    others = {name: array for name, array in arrays.items() if not name.startswith(_PACKETS)}
    facts = {**facts, "time_base": Fraction(facts["time_base"])}
    return VideoIndex(packets=Packets(**packets), **others, **facts)
