"""Outputs that appear when they are complete: written elsewhere first, then moved or uploaded.

out                     the complete run, or nothing
.out.partial            beside it, until then
s3://bucket/out         the complete run: there once `.run.json` is, which comes last
s3://bucket/out/.partial  until then a copy of what is committed, sent now and then
~/.cache/temporal/runs  where such a run is written; `--resume` goes on here, or with that copy
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....data.places.stores import scheme_of, shown_url
from ...jobs.manifest import MANIFEST_NAME, OutputRefused, check_output
from ...jobs.store.durable import sync_directory
from ...jobs.store.ledger import CommitError
from ...jobs.store.uploads import PARTIAL, Mirror, Store, fetch, is_of_a_run, publish
from ..checks import check_overwrite, remove_run
from ..faults import StoppedFault, UsageFault

if TYPE_CHECKING:
    from ...jobs.ranks import Ranks
    from ..run_request import RunRequest


@dataclass
class Appearing:
    """An output that is not there before it is complete."""

    final: str
    """The directory or URL where it appears."""

    directory: Path
    """Where it is written."""

    store: Store | None
    """Of a URL."""

    overwrite: bool = False
    """Whether what is there is replaced."""

    mirror: Mirror | None = None
    """What sends copies of it."""

    has_appeared: bool = False
    """Whether it is there."""

    def start(self) -> None:
        """Begin to send copies, once there is something."""
        if self.store is not None:
            self.mirror = Mirror(self.directory, self.store)

    def appear(self) -> None:
        """Let it appear: it is complete.

        Raises:
            StoppedFault: it could not be moved or uploaded; it is safe where it was written.
        """
        try:
            if self.mirror is not None:
                self.mirror.close()
            if self.store is not None:
                publish(self.directory, self.store)
                shutil.rmtree(self.directory, ignore_errors=True)
            else:
                self._move()
        except (CommitError, OSError) as error:
            raise StoppedFault(
                f"output ({shown_url(self.final)}) could not be put in its place ({error}); it is "
                f"safe in {self.directory}"
            ) from error
        self.has_appeared = True

    def keep(self) -> None:
        """Send the last copy of what has not appeared, for `--resume` elsewhere."""
        if self.mirror is None or self.has_appeared:
            return
        self.mirror.close()
        with suppress(CommitError):  # it is safe here
            self.mirror.send()

    def _move(self) -> None:
        final = Path(self.final)
        if final.exists():
            if self.overwrite:
                remove_run(final)
            final.rmdir()  # it was found to be empty
        self.directory.rename(final)
        sync_directory(final.parent)


@contextmanager
def written_apart(request: RunRequest, ranks: Ranks) -> Iterator[RunRequest]:
    """The request to write where nobody looks, where the output is to appear as a whole.

    Raises:
        UsageFault, OutputRefused: the output is not to be written to.
    """
    found = _appearing(request, ranks)
    if found is None:
        yield request
        return
    try:
        yield replace(request, output=found.directory, appearing=found)
    finally:
        found.keep()


def _appearing(request: RunRequest, ranks: Ranks) -> Appearing | None:
    """Where a run is written that appears when it is complete; None: where it was asked for.

    Changes nothing but that what a store has of a run is downloaded to go on with it.

    Args:
        request: What was asked for.
        ranks: Who writes; the first one looks at what is there.

    Raises:
        UsageFault, OutputRefused: the output is not to be written to.
    """
    output = request.place
    resumes = request.resume or request.resume_anyway
    is_url = scheme_of(output) is not None
    if not is_url and not request.only_complete:
        return None
    if ranks.world_size > 1 and not ranks.are_connected:
        raise UsageFault(
            f"output ({shown_url(output)}) appears when all ranks are done, which needs ranks that "
            "know of each other (torchrun): start them so, or write to a directory"
        )
    if not is_url:
        final = Path(output).absolute()
        directory = final.with_name(f".{final.name}.partial")
        if resumes and (final / MANIFEST_NAME).exists():
            return None  # it is complete: there is nothing to do but to say so
        if ranks.is_first:
            _refuse_what_is_there(final, directory, request)
        return Appearing(str(final), directory, None, request.overwrite)
    store = Store(output)
    directory = _cache() / hashlib.sha256(store.url.encode()).hexdigest()[:16]
    if not ranks.is_first:
        return Appearing(output, directory, store, request.overwrite)
    if resumes and not (directory / MANIFEST_NAME).exists():
        with _told(output):
            fetch(store, directory)
    elif not resumes:
        _refuse_what_is_stored(store, directory, request)
    return Appearing(output, directory, store, request.overwrite)


def _refuse_what_is_there(final: Path, directory: Path, request: RunRequest) -> None:
    """Refuse to write beside a run that is not complete, or over what is complete."""
    resumes = request.resume or request.resume_anyway
    if request.overwrite:
        check_overwrite(final)
        return
    check_output(final, resume=False)
    if final.exists() and any(final.iterdir()):
        raise OutputRefused(f"output ({final}) must be empty or absent; choose another directory")
    if (directory / MANIFEST_NAME).exists() and not resumes:
        raise OutputRefused(
            f"output ({final}) is not complete: go on with its run (--resume; what is there lies "
            f"in {directory}), remove it (--overwrite), or choose another directory"
        )


def _refuse_what_is_stored(store: Store, directory: Path, request: RunRequest) -> None:
    """The same of a store."""
    shown = shown_url(store.url)
    with _told(store.url):
        there, partial = store.names(), store.names(PARTIAL)
    others = [name for name in there if not is_of_a_run(name)]
    if request.overwrite and others:
        raise UsageFault(
            f"output ({shown}) holds {others[0]!r}, which is no part of a run: --overwrite removes "
            "only what runs write; move it, or choose another place"
        )
    if there and not request.overwrite:
        raise OutputRefused(
            f"output ({shown}) must be empty or absent; resume its run (--resume), or choose "
            "another place"
        )
    is_begun = MANIFEST_NAME in partial or (directory / MANIFEST_NAME).exists()
    if is_begun and not request.overwrite:
        raise OutputRefused(
            f"output ({shown}) is not complete: go on with its run (--resume), remove it "
            "(--overwrite), or choose another place"
        )


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Refuse a store that cannot be used."""
    try:
        yield
    except CommitError as error:
        raise OutputRefused(f"output ({shown_url(url)}): {error}") from error


def _cache() -> Path:
    """Where runs are written whose output is in a store."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "temporal" / "runs"
