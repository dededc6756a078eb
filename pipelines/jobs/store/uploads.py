"""The files of a run in a store that a URL names (s3, gs, memory ...), through fsspec."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ....data.places.stores import StoreFault, filesystem, shown_url
from ..manifest import MANIFEST_NAME, OLD_MANIFEST_NAME, OutputRefused
from .ledger import CommitError

PARTIAL = ".partial"
"""Folder in the store of what is there of a run that is not complete."""

_SECONDS = 30.0

_PASSING = (".tmp", ".lock", ".get", ".aside")
"""How the names end of what is no part of a complete run."""

_OF_A_RUN = ("part-", ".part-", "..part-", ".rank-", ".damaged-", ".audit-", f".{MANIFEST_NAME}")
"""How the names of all files but the manifest begin that runs write."""


class Store:
    """A folder of a store, and what a run does with it.

    Args:
        url: Its URL.

    Raises:
        OutputRefused: It cannot be used: its package is not installed, say.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._fs, path = filesystem(self.url)
        except StoreFault as fault:
            raise OutputRefused(f"output ({shown_url(url)}): {fault}") from fault
        self._path = path.rstrip("/")
        self.fetched: dict[str, int] = {}
        """Of files of a complete run that were downloaded: their times here, by which a change is
        known."""

    def names(self, folder: str = "") -> list[str]:
        """Names of the files in it, or in a folder of it; none where it is not there.

        Raises:
            CommitError: it cannot be asked.
        """
        path = f"{self._path}/{folder}".rstrip("/")
        with self._asked():
            self._fs.invalidate_cache(path)
            try:
                entries = self._fs.ls(path, detail=True)
            except FileNotFoundError:
                return []
        files = (entry["name"] for entry in entries if entry["type"] != "directory")
        return sorted(name.rpartition("/")[2] for name in files)

    def put(self, path: Path, *, folder: str = "") -> None:
        """Upload a file: a store has it as a whole or not at all.

        Raises:
            CommitError: the store refused.
            FileNotFoundError: there is no such file (any more).
        """
        data = path.read_bytes()
        target = "/".join(filter(None, (self._path, folder, path.name)))
        with self._asked():
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(target, data)

    def get(self, name: str, directory: Path, *, folder: str = "") -> None:
        """Download a file.

        Raises:
            CommitError: it cannot be had.
        """
        source = "/".join(filter(None, (self._path, folder, name)))
        with self._asked():
            data = self._fs.cat_file(source)
        temporary = directory / f".{name}.get"
        temporary.write_bytes(data)
        temporary.replace(directory / name)

    def remove(self, names: Iterable[str], *, folder: str = "") -> None:
        """Remove files that are there.

        Raises:
            CommitError: the store refused.
        """
        for name in names:
            with self._asked():
                self._fs.rm_file("/".join(filter(None, (self._path, folder, name))))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each package has its own
            raise CommitError(
                f"{shown_url(self.url)} cannot be used: {type(error).__name__}: {error}"
            ) from error


def is_of_a_run(name: str) -> bool:
    """Whether a file of this name is one that runs write, a torn one included."""
    return name in (MANIFEST_NAME, OLD_MANIFEST_NAME) or name.startswith(_OF_A_RUN)


def files_of_run(directory: Path) -> list[Path]:
    """The files that a run is made of, its manifest last."""
    files = [path for path in sorted(directory.iterdir()) if not path.name.endswith(_PASSING)]
    return sorted(files, key=lambda path: path.name == MANIFEST_NAME)


def publish(directory: Path, store: Store) -> None:
    """Upload a complete run, its manifest last, and remove what else of a run lies there.

    A run without a manifest is not complete.

    Raises:
        CommitError: the store refused; the same call goes on.
    """
    files = files_of_run(directory)
    names, before = {path.name for path in files}, store.names()
    new = [p for p in files if store.fetched.get(p.name) != p.stat().st_mtime_ns]
    stale = [name for name in before if name not in names and is_of_a_run(name)]
    if new or stale:
        store.remove(name for name in before if name == MANIFEST_NAME)
        for path in new:
            store.put(path)
        store.remove(stale)
        if files and files[-1] not in new:
            store.put(files[-1])
    store.remove(store.names(PARTIAL), folder=PARTIAL)


class Mirror:
    """Keeps a copy in the store of what is committed, for a machine that goes and does not return.

    Args:
        directory: Where the run is written.
        store: Where the copy lies, in the folder `PARTIAL`.

    Raises:
        CommitError: the store cannot be asked.
    """

    def __init__(self, directory: Path, store: Store) -> None:
        self._directory = directory
        self._store = store
        # What an earlier run left there goes once there is something else.
        self._sent: dict[str, int] = dict.fromkeys(store.names(PARTIAL), -1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="temporal-mirror")
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(_SECONDS):
            try:
                self.send()
            except CommitError:
                continue  # what is committed is safe here; the next time it is sent as well

    def send(self) -> None:
        """Send what is new, then remove what was joined into other parts.

        Raises:
            CommitError: the store refused.
        """
        there = {}
        for path in files_of_run(self._directory) if self._directory.is_dir() else ():
            try:
                there[path.name] = path.stat().st_mtime_ns
                if self._sent.get(path.name) != there[path.name]:
                    self._store.put(path, folder=PARTIAL)
                    self._sent[path.name] = there[path.name]
            except FileNotFoundError:  # joined meanwhile
                there.pop(path.name, None)
        for name in [name for name in self._sent if name not in there]:
            self._store.remove([name], folder=PARTIAL)
            del self._sent[name]

    def close(self) -> None:
        """Stop sending."""
        self._is_over.set()
        self._thread.join(timeout=60)


def fetch(store: Store, directory: Path) -> bool:
    """Download the run of a store, complete or not; return whether there is one.

    Raises:
        CommitError: it cannot be had.
    """
    for folder in ("", PARTIAL):
        names = store.names(folder)
        if MANIFEST_NAME in names:
            directory.mkdir(parents=True, exist_ok=True)
            for name in sorted(names, key=lambda name: name == MANIFEST_NAME):
                store.get(name, directory, folder=folder)
                if not folder:
                    store.fetched[name] = (directory / name).stat().st_mtime_ns
            return True
    return False
