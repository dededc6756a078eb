"""Outputs that appear as a whole: beside their place or in a store, resumable until then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas
import pytest
from typer.testing import CliRunner, Result

from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store import uploads
from temporal.pipelines.jobs.store.ledger import CommitError, read_rows

from ..fake_pipe import FakePipe

URL = "memory://bucket/out"
FAKE_CLI = Path(__file__).parents[1] / "fake_cli.py"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("text,camera\n" + "".join(f"{'w ' * k}w,c{k}\n" for k in range(5)))
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def temporal_run(*arguments: object) -> Result:
    command = ["run", "text-classification", *map(str, arguments)]
    return CliRunner().invoke(app, command)


def names(store: Any) -> list[str]:
    return sorted(path.removeprefix("/bucket/out/") for path in store.store)


class Interrupted(FakePipe):
    """Fails at its third input, as a machine does."""

    def read(self, inputs: Any, **options: Any) -> Any:
        for k, reading in enumerate(super().read(inputs, **options)):
            if k == 2:
                raise RuntimeError("the machine is gone")
            yield reading


@pytest.fixture
def interrupted(fake_pipeline: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run so that the first run breaks off and later ones do not."""
    module = sys.modules["temporal.pipelines.pipeline"]
    whole = module.pipeline

    def run(*arguments: object) -> None:
        module.pipeline = lambda *_, **__: Interrupted()
        result = temporal_run(*arguments)
        module.pipeline = whole
        assert result.exit_code == 1, result.output

    return run


@pytest.mark.usefixtures("fake_pipeline")
def test_a_directory_appears_when_the_run_is_complete(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = temporal_run(texts, "-o", out, "--only-complete")
    assert result.exit_code == 0, result.output
    assert f"results: {out}" in result.output
    assert len(list(read_rows(out))) == 5 and [p.name for p in out.parent.iterdir()] == ["out"]
    # It is complete: nothing is left to do, and nobody writes over it.
    assert temporal_run(texts, "-o", out, "--only-complete", "--resume").exit_code == 0
    refused = temporal_run(texts, "-o", out, "--only-complete")
    assert refused.exit_code == 2 and "must be empty or absent" in refused.stderr
    texts.write_text("text\none\n")
    assert temporal_run(texts, "-o", out, "--only-complete", "--overwrite").exit_code == 0
    assert len(list(read_rows(out))) == 1 and [p.name for p in out.parent.iterdir()] == ["out"]


def test_until_then_it_is_not_there_and_can_be_resumed(
    texts: Path, tmp_path: Path, interrupted: Any
) -> None:
    out = tmp_path / "out"
    interrupted(texts, "-o", out, "--only-complete")
    assert not out.exists() and len(list(read_rows(tmp_path / ".out.partial"))) == 2
    refused = temporal_run(texts, "-o", out, "--only-complete")
    assert refused.exit_code == 2 and "is not complete" in refused.stderr
    result = temporal_run(texts, "-o", out, "--only-complete", "--resume")
    assert result.exit_code == 0, result.output
    assert len(list(read_rows(out))) == 5 and not (tmp_path / ".out.partial").exists()


@pytest.mark.slow
def test_a_kill_leaves_nothing_half_done(texts: Path, tmp_path: Path) -> None:
    out, tell = tmp_path / "out", tmp_path / "tell"
    words = [sys.executable, FAKE_CLI, "run", "text-classification", texts, "-o", out]
    words += ["--only-complete", "--quiet"]
    environment = {"FAKE_DELAY_SECONDS": "0.5", "FAKE_TELL": str(tell), "PATH": ""}
    process = subprocess.Popen(words, env=environment)
    while not tell.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert subprocess.run([*words, "--resume"], env=environment, check=True).returncode == 0
    assert len(list(read_rows(out))) == 5


@pytest.mark.usefixtures("fake_pipeline")
def test_a_store_has_the_run_once_its_manifest_is_there(
    texts: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    pipe_file = store.pipe_file

    def noted(self: Any, path: str, *rest: Any, **options: Any) -> None:
        put.append(path)
        pipe_file(path, *rest, **options)

    monkeypatch.setattr(type(store), "pipe_file", noted)
    result = temporal_run(texts, "-o", URL)
    assert result.exit_code == 0, result.output
    assert f"results: {URL}" in result.output
    assert put[-1] == "/bucket/out/.run.json"
    assert names(store) == [".run.json", "part-00000-000000.parquet"]
    table = pandas.read_parquet(f"{URL}/part-00000-000000.parquet")
    assert len(table) == 5 and json.loads(table["extra"][4]) == {"camera": "c4"}
    # Nobody writes over it, and there is nothing to do.
    refused = temporal_run(texts, "-o", URL)
    assert refused.exit_code == 2 and "must be empty or absent" in refused.stderr
    put.clear()
    assert temporal_run(texts, "-o", URL, "--resume").exit_code == 0
    assert put == [] and len(names(store)) == 2
    texts.write_text("text\none\n")
    assert temporal_run(texts, "-o", URL, "--overwrite", "--format", "jsonl").exit_code == 0
    assert ".run.json" in names(store) and not any(n.endswith(".parquet") for n in names(store))
    assert CliRunner().invoke(app, ["show", URL]).exit_code == 0


@pytest.mark.parametrize("machine", ["same", "another"])
def test_a_run_into_a_store_is_resumed_here_and_elsewhere(
    texts: Path,
    store: Any,
    interrupted: Any,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    tmp_path: Path,
) -> None:
    interrupted(texts, "-o", URL)
    assert names(store) and all(name.startswith(".partial/") for name in names(store))
    refused = temporal_run(texts, "-o", URL)
    assert refused.exit_code == 2 and "is not complete" in refused.stderr
    if machine == "another":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    result = temporal_run(texts, "-o", URL, "--resume")
    assert result.exit_code == 0, result.output
    assert not any(name.startswith(".partial/") for name in names(store))
    uploads.fetch(uploads.Store(URL), tmp_path / "copy")
    assert [row["id"] for row in read_rows(tmp_path / "copy")] == [
        f"text-{k:06d}" for k in range(5)
    ]


@pytest.mark.usefixtures("fake_pipeline")
def test_a_store_that_refuses_loses_nothing(
    texts: Path, store: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no quota")

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "pipe_file", refuse)
        result = temporal_run(texts, "-o", URL)
    assert result.exit_code == 75 and "no quota" in result.stderr and "--resume" in result.stderr
    assert ".run.json" not in names(store)
    assert temporal_run(texts, "-o", URL, "--resume").exit_code == 0
    uploads.fetch(uploads.Store(URL), tmp_path / "copy")
    assert len(list(read_rows(tmp_path / "copy"))) == 5


@pytest.mark.usefixtures("fake_pipeline")
def test_places_that_cannot_be_used_are_refused_before_work(texts: Path, store: Any) -> None:
    for url in ("nosuch://bucket/out", "simplecache::memory://bucket/out"):
        result = temporal_run(texts, "-o", url)
        assert result.exit_code == 2 and "error: output (" in result.stderr
    store.pipe_file("/bucket/out/notes.txt", b"mine")
    for options in ([], ["--overwrite"]):
        assert temporal_run(texts, "-o", URL, *options).exit_code == 2
    assert names(store) == ["notes.txt"]


def test_a_mirror_sends_what_is_new_and_forgets_what_was_joined(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = uploads.Store(URL)
    store.pipe_file("/bucket/out/.partial/part-00000-000009.parquet", b"of an older run")
    mirror = uploads.Mirror(tmp_path, place)
    mirror.close()
    for name in (".run.json", "part-00000-000000.parquet", ".part-00000-000001.parquet.tmp"):
        (tmp_path / name).write_bytes(b"1")
    mirror.send()
    assert names(store) == [".partial/.run.json", ".partial/part-00000-000000.parquet"]
    (tmp_path / "part-00000-000000.parquet").unlink()
    (tmp_path / "part-00000-000000-000001.parquet").write_bytes(b"2")
    mirror.send()
    assert names(store)[1:] == [".partial/part-00000-000000-000001.parquet"]
    monkeypatch.setattr(type(store), "pipe_file", lambda *_: 1 / 0)
    (tmp_path / ".run.json").write_bytes(b"2")
    with pytest.raises(CommitError, match="memory://bucket/out"):
        mirror.send()
