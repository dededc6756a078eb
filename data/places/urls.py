"""What a URL names that a caller gave: files of a folder or pattern, or a copy of a whole file.

Tables and archives are gone through several times, so they are copied to this machine first.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote, urljoin, urlsplit

from .copies import copy_of
from .stores import WEB, Stored, StoreFault, faults_of, filesystem, scheme_of, shown_url

_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")
_SECONDS = 60.0
_CHUNK_BYTES = 1 << 20


def name_in(url: str) -> str:
    """The path of a URL, whose suffixes say what it holds."""
    name = url.partition("://")[2]
    if scheme_of(url) not in WEB:
        return name
    return name.partition("?")[0].partition("#")[0].partition("/")[2]


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that was copied to this machine."""

    path: str
    """The copy."""

    shown: str
    """How messages call the original."""

    def __str__(self) -> str:
        return self.shown

    def open_file(self) -> BinaryIO:
        """Open the copy."""
        return open(self.path, "rb")

    def open_seekable(self) -> BinaryIO:
        """Open the copy."""
        return open(self.path, "rb")


def files_of_url(url: str) -> Iterator[tuple[str, str]] | None:
    """The files of a folder or of a pattern, sorted at each level, hidden ones left out.

    Returns:
        Pairs of a URL and a path relative to the folder; None where it is neither.

    Raises:
        StoreFault: It cannot be listed; also while it is gone through.
    """
    if scheme_of(url) in WEB:
        return None
    fs, path = filesystem(url)
    with faults_of(url):
        if re.search(r"[*\[]", path) and not fs.exists(path):
            return _matches(fs, path, url)
        return _walk(fs, path, len(path.rstrip("/")) + 1, url) if fs.isdir(path) else None


def _matches(fs: Any, pattern: str, url: str) -> Iterator[tuple[str, str]]:
    with faults_of(url):
        found = sorted(fs.glob(pattern, detail=True).items())
    for path, info in found:
        if info["type"] == "directory":
            yield from _walk(fs, path, 0, url)
        else:
            full = str(fs.unstrip_protocol(path))
            yield full, full


def _walk(fs: Any, folder: str, start: int, url: str) -> Iterator[tuple[str, str]]:
    """Files below a folder; names begin behind `start` characters of a path, or are URLs (0)."""
    with faults_of(url):
        entries = sorted(fs.ls(folder, detail=True), key=lambda entry: entry["name"])
    for entry in entries:
        path = entry["name"]
        base = path.rstrip("/").rpartition("/")[2]
        if base.startswith(".") or path.rstrip("/") == folder.rstrip("/"):
            continue
        if entry["type"] == "directory":
            yield from _walk(fs, path, start, url)
        else:
            full = str(fs.unstrip_protocol(path))
            yield full, path[start:] if start else full


def local_copy(url: str) -> str:
    """Path of a copy of what a URL names, made once in a process and gone with it.

    Raises:
        StoreFault: It cannot be had.
    """

    def write(file: BinaryIO) -> None:
        if scheme_of(url) in WEB:
            _download(url, file)
            return
        fs, path = filesystem(url)
        with fs.open(path, "rb") as stored:
            shutil.copyfileobj(stored, file, _CHUNK_BYTES)

    with faults_of(url):
        return copy_of(url, name_in(url), write)


def _download(url: str, file: BinaryIO) -> None:
    """Get a file as a whole from a web server, which need not give parts."""
    import http.client
    import urllib.error
    import urllib.request

    host = urlsplit(url).hostname or ""
    proxies = [urllib.request.ProxyHandler({})] if _LOOPBACK.fullmatch(host) else []
    request = urllib.request.Request(url, headers={"User-Agent": "temporal"})
    try:
        with urllib.request.build_opener(*proxies).open(request, timeout=_SECONDS) as response:
            shutil.copyfileobj(response, file, _CHUNK_BYTES)
            announced = response.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        with error:
            raise StoreFault(
                "not_found", f"{shown_url(url)}: the server answers {error.code} {error.reason}"
            ) from error
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    if announced is not None and file.tell() != int(announced):
        raise ConnectionError(f"it ended after {file.tell()} of {announced} bytes")


def beside(folder: str, path: str) -> str | Stored:
    """What a path means in a table that lies in a folder of this URL.

    Raises:
        StoreFault: It leads out of the folder.
    """
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/"):
        raise StoreFault(
            "path_not_allowed",
            f"path {path!r} leads out of {shown_url(folder)}, where its table is",
        )
    if scheme_of(folder) in WEB:
        return urljoin(folder.rstrip("/") + "/", quote(path))
    return Stored(f"{folder.rstrip('/')}/{path}")


def names_many_files(url: str) -> bool:
    """Whether a URL is that of a folder or a pattern; False where that cannot be known."""
    try:
        return files_of_url(url) is not None
    except StoreFault:
        return False
