"""Files in stores that a URL names: object stores and others, by fsspec, read block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from ..decode.errors import VideoError
from ..item import InputReason
from .content import Content

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)(?:://|::)")  # the latter of fsspec alone
WEB = ("http", "https")
_MADE_OF_OTHERS = frozenset(
    {
        *("blockcache", "cached", "dask", "dir", "filecache", "generic", "git", "jlab", "jupyter"),
        *("libarchive", "reference", "simplecache", "tar", "zip"),
    }
)
"""What fsspec reads other URLs or archives with: they would lead anywhere."""
_PACKAGE = re.compile(r"[Ii]nstall ['\"]?([\w\-\[\]]+)")


class StoreFault(Exception):
    """What a URL names cannot be had."""

    def __init__(self, reason: InputReason, message: str) -> None:
        super().__init__(message)
        self.reason: InputReason = reason


def scheme_of(text: str) -> str | None:
    """The scheme of a URL, in lower case; None for what is none (`C:` is a drive)."""
    found = _SCHEME.match(text)
    return None if found is None else found[1].lower()


def shown_url(url: str) -> str:
    """How messages and ids call a URL: without the query of a web server, which may be signed."""
    return url.partition("?")[0] if scheme_of(url) in WEB else url


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a store, which the caller named; it goes to other processes as its URL."""

    url: str
    """Its URL."""

    def __str__(self) -> str:
        return shown_url(self.url)

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self)

    def open_file(self) -> BinaryIO:
        """Open it for reading from any place, block by block.

        Raises:
            VideoError: It cannot be had.
        """
        from ..decode.remote.file import RemoteFile

        return cast(BinaryIO, RemoteFile(_Blocks(self.url)))

    def open_seekable(self) -> BinaryIO:
        """The same."""
        return self.open_file()


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL names, and the path in it.

    Raises:
        StoreFault: There is none, its package is not installed, or it cannot be used.
    """
    import fsspec

    scheme, name = scheme_of(url), shown_url(url)
    if scheme in _MADE_OF_OTHERS or "::" in url:
        raise StoreFault(
            "path_not_allowed", f"{name} leads to other files: give the URL of these themselves"
        )
    if _holds_password(url):
        place = name.rpartition("@")[2]
        raise StoreFault(
            "path_not_allowed",
            f"the URL on {place} holds a password, which would stand in results and messages: tell "
            "fsspec in its configuration",
        )
    try:
        found = fsspec.url_to_fs(url)
        return found[0], str(found[1])
    except ImportError as error:
        package = _PACKAGE.search(str(error))
        hint = f"python -m pip install {package[1]}" if package else "install its package"
        raise StoreFault(
            "unsupported_input", f"{name} needs a package: {hint} ({error})"
        ) from error
    except ValueError as error:
        raise StoreFault("unsupported_input", f"{name} cannot be read: {error}") from error
    except Exception as error:
        raise StoreFault("not_found", f"{name}: {type(error).__name__}: {error}") from error


def _holds_password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


@contextmanager
def faults_of(url: str) -> Iterator[None]:
    """Say of which URL an error is."""
    try:
        yield
    except StoreFault:
        raise
    except FileNotFoundError as error:
        raise StoreFault("not_found", f"no file {shown_url(url)}") from error
    except Exception as error:  # each package has its own
        message = f"{shown_url(url)} cannot be read: {type(error).__name__}: {error}"
        raise StoreFault("not_found", message) from error


class _Blocks:
    """Gets ranges of a file for `RemoteFile`, as `RangeClient` does of web servers."""

    def __init__(self, url: str) -> None:
        self.name = shown_url(url)
        self.size_bytes: int | None = None
        try:
            self._fs, self._path = filesystem(url)
        except StoreFault as fault:
            is_absent = fault.reason == "not_found"
            raise VideoError(
                "not_found" if is_absent else "path_not_allowed", str(fault)
            ) from fault

    def fetch(self, start: int, stop: int) -> bytes:
        """Get the bytes of a half-open range; fewer only where the file ends.

        Raises:
            VideoError: They cannot be had.
        """
        try:
            if self.size_bytes is None:
                self.size_bytes = int(self._fs.info(self._path)["size"])
            stop = min(stop, self.size_bytes)
            if self.size_bytes == 0:
                raise VideoError("not_media", f"{self.name} is empty (0 bytes)")
            data = bytes(self._fs.cat_file(self._path, start=start, end=stop))
        except VideoError:
            raise
        except FileNotFoundError as error:
            raise VideoError("not_found", f"no file {self.name}") from error
        except Exception as error:  # each package has its own
            raise VideoError(
                "not_found" if self.size_bytes is None else "truncated",
                f"{self.name}: {type(error).__name__}: {error}",
            ) from error
        if len(data) < stop - start:
            raise VideoError("truncated", f"{self.name} ends early: its file was changed")
        return data

    def close(self) -> None:
        """Nothing is open between ranges."""


def portable_content(content: Content) -> Any:
    """What of a file another process can read: its place, or all bytes of one in memory.

    Raises:
        VideoError: Its bytes cannot be had.
    """
    if isinstance(content, Stored) and scheme_of(content.url) == "memory":
        with content.open_file() as file:
            return file.read()
    return content
