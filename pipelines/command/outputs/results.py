"""Where the rows of a run are read: in its directory, or in a copy of what a store has of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ....data.places.copies import temporary_folder
from ....data.places.stores import scheme_of, shown_url
from ...jobs.store.ledger import CommitError
from ...jobs.store.uploads import Store, fetch
from ..faults import UsageFault


def run_at(result: str) -> Path:
    """The directory of a run; of one in a store a copy, which is gone with this process.

    Raises:
        UsageFault: the store has none, or cannot be asked.
        OutputRefused: the package that opens the store is not installed.
    """
    if scheme_of(result) is None:
        return Path(result)
    directory = Path(tempfile.mkdtemp(dir=temporary_folder()))
    try:
        found = fetch(Store(result), directory)
    except CommitError as error:
        raise UsageFault(f"result ({shown_url(result)}): {error}") from error
    if not found:
        raise UsageFault(f"result ({shown_url(result)}) must be the output of a run")
    return directory


@contextmanager
def placed(output: str) -> Iterator[Path]:
    """Where a file is written; of one in a store here first, and uploaded on the way out.

    Raises:
        UsageFault: the store refused.
        OutputRefused: it cannot be used.
    """
    if scheme_of(output) is None:
        yield Path(output)
        return
    folder, _, name = output.rpartition("/")
    store = Store(folder)
    with tempfile.TemporaryDirectory(prefix="temporal-") as here:
        path = Path(here) / name
        yield path
        try:
            store.put(path)
        except (CommitError, OSError) as error:
            raise UsageFault(f"output ({shown_url(output)}): {error}") from error
