"""What a run was asked to do (`.run.json`), so that only the same run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .fingerprint import same_content
from .store.durable import write_durably

MANIFEST_NAME = ".run.json"
"""Hidden, so that whoever reads the directory as a table passes over it."""

OLD_MANIFEST_NAME = "run.json"


class OutputRefused(ValueError):
    """The output directory cannot be used for this run; the message names the next step."""


@dataclass(frozen=True, kw_only=True)
class RunManifest:
    """The configuration of a run: two runs with equal manifests give equal rows."""

    task: str
    """Its name, e.g. `"video-classification"`."""

    model: str
    """The model's name, path or hub id."""

    budget: float | None = None
    """Share of the full cost that was allowed, 0 to 1; None: the model's own setting."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that changes a row: policy, inputs, columns, format. JSON values."""

    version: str = ""
    """The library's version."""

    contents: Mapping[str, str] = field(default_factory=dict)
    """A fingerprint of each local file or folder that was named, by what it is for: a name stays
    when what it names is changed."""

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the configuration."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: RunManifest) -> list[str]:
        """Name what differs, as `budget: 0.5 -> 0.3` (this one -> the other), sorted by name.

        Contents are compared where both tell them: manifests of older versions do not. A table
        with new lines behind the old ones is no difference.
        """
        mine, theirs = _flat(self), _flat(other)
        told = {
            name
            for name in self.contents.keys() & other.contents.keys()
            if not same_content(self.contents[name], other.contents[name])
        }
        mine |= {f"content of {name}": self.contents[name] for name in told}
        theirs |= {f"content of {name}": other.contents[name] for name in told}
        return [
            f"{name}: {_show(mine.get(name))} -> {_show(theirs.get(name))}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]

    def write(self, directory: str | os.PathLike[str]) -> None:
        """Write `.run.json` durably into `directory`."""
        text = json.dumps({**asdict(self), "digest": self.digest}, indent=2, sort_keys=True)
        write_durably(Path(directory) / MANIFEST_NAME, lambda file: file.write(text.encode()))

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> RunManifest | None:
        """Read the manifest of a run; None where there is none.

        Raises:
            OutputRefused: it is there but is not a manifest.
        """
        path = _manifest_path(directory)
        if path is None:
            return None
        try:
            values = json.loads(path.read_bytes())
            values.pop("digest", None)
            return cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise OutputRefused(
                f"{path} is not a run's manifest ({error}); choose another output directory"
            ) from error


def open_run(
    directory: str | os.PathLike[str],
    manifest: RunManifest,
    *,
    resume: bool,
    anyway: bool = False,
    rank: int = 0,
    wait_seconds: float = 120.0,
    is_stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Make `directory` ready for a run, or refuse it.

    Rank 0 creates the directory and writes `.run.json`; the other ranks wait for it and compare.

    Args:
        directory: Where the run's rows go.
        manifest: What this run is asked to do.
        resume: True: go on with a run of the same manifest (or start one in an empty directory).
            False: the directory must be empty or absent.
        anyway: Go on with a run of another configuration; the rows that are there stay as they
            are. It becomes that of `manifest` by `adopt_run`.
        rank: This process's rank.
        wait_seconds: How long ranks other than 0 wait for rank 0.
        is_stopped: Asked while rank 0 is waited for.

    Returns:
        Whether it is ready; False: it was stopped before.

    Raises:
        OutputRefused: the directory cannot be made or written to, is not empty and `resume` is
            False, holds something that is not a run, or holds a run with another configuration
            (the differences are named).
    """
    directory = Path(directory)
    if rank == 0:
        check_output(directory, resume=resume)
        with _refused(directory):
            directory.mkdir(parents=True, exist_ok=True)
            if RunManifest.read(directory) is None:
                manifest.write(directory)
    else:
        # Other machines may hold copies of the files, with times of their own.
        manifest = replace(manifest, contents={})
        if not _wait_for(directory, wait_seconds, is_stopped):
            return False
    found = RunManifest.read(directory)
    assert found is not None
    if (differences := found.differences(manifest)) and not anyway:
        raise OutputRefused(
            f"output ({directory}) holds a run with another configuration: "
            f"{'; '.join(differences)}. Resume with the same configuration, go on all the same "
            "(--resume-anyway: the rows that are there stay as they are), or choose another "
            "output directory"
        )
    return True


def adopt_run(directory: str | os.PathLike[str], manifest: RunManifest) -> None:
    """Make `manifest` that of the run in `directory`; for rank 0, once nobody else can write there.

    What it does not tell of contents stays as it was told.

    Raises:
        OutputRefused: the directory cannot be written to.
    """
    found = RunManifest.read(directory)
    assert found is not None
    contents = {**found.contents, **manifest.contents}
    if found.differences(manifest) or found.contents != contents:
        with _refused(Path(directory)):
            replace(manifest, contents=contents).write(directory)


@contextmanager
def _refused(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputRefused(
            f"output ({directory}) must be a directory that can be made and written to: "
            f"{error.strerror or error}; choose another directory"
        ) from error


def check_output(directory: str | os.PathLike[str], *, resume: bool) -> None:
    """Refuse a directory that a new (or resumed) run must not write to; changes nothing.

    Raises:
        OutputRefused: see `open_run`.
    """
    directory = Path(directory)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise OutputRefused(f"output ({directory}) must be a directory, it is a file")
    manifest = _manifest_path(directory)
    if manifest is None and all(entry.name.startswith(".") for entry in directory.iterdir()):
        return
    if not resume:
        raise OutputRefused(
            f"output ({directory}) must be empty or absent; resume its run (--resume), or choose "
            "another directory"
        )
    if manifest is None:
        raise OutputRefused(
            f"output ({directory}) must hold a run ({MANIFEST_NAME}) to be resumed, and does not; "
            "choose another directory"
        )


def _manifest_path(directory: str | os.PathLike[str]) -> Path | None:
    paths = [Path(directory) / name for name in (MANIFEST_NAME, OLD_MANIFEST_NAME)]
    return next((path for path in paths if path.exists()), None)


def _wait_for(directory: Path, seconds: float, is_stopped: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while _manifest_path(directory) is None:
        if is_stopped():
            return False
        if time.monotonic() > deadline:
            raise OutputRefused(
                f"{directory / MANIFEST_NAME} did not appear within {seconds:g} s; is rank 0 alive?"
            )
        time.sleep(0.05)
    return True


def _flat(manifest: RunManifest) -> dict[str, Any]:
    values = json.loads(json.dumps(asdict(manifest)))
    del values["contents"]
    return {**values.pop("options"), **values}


def _show(value: Any) -> str:
    return json.dumps(value)
