"""What `temporal run` refuses before it works, and how it is stopped before it does."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from temporal.data.ledger import read_rows
from temporal.pipelines.cli import app, main

from .fake_cli import BUILT

pytestmark = pytest.mark.usefixtures("fake_pipeline")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("text\none two\none\n")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "skim_rnn"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def temporal_run(*arguments: object) -> Result:
    command = ["run", "text-classification", "--quiet", *map(str, arguments)]
    return CliRunner().invoke(app, command)


def later(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("changed", ["config.json", "model.safetensors", "texts.csv"])
def test_a_changed_file_is_another_run(
    texts: Path, model: Path, tmp_path: Path, changed: str
) -> None:
    arguments = (texts, "--output", tmp_path / "out", "--model", model)
    assert temporal_run(*arguments).exit_code == 0
    (model / "README.md").write_text("no row depends on this")
    assert temporal_run(*arguments, "--resume").exit_code == 0
    if changed == "texts.csv":
        later(texts)
    elif changed == "config.json":
        (model / changed).write_text('{"model_type": "other"}')
    else:
        later(model / changed)
    refused = temporal_run(*arguments, "--resume")
    name = f"input {texts}" if changed == "texts.csv" else "model"
    assert refused.exit_code == 2 and f"content of {name}: " in refused.stderr
    assert len(list(read_rows(tmp_path / "out"))) == 2


def test_a_run_of_an_older_version_is_resumed(texts: Path, model: Path, tmp_path: Path) -> None:
    arguments = (texts, "--output", tmp_path / "out", "--model", model)
    assert temporal_run(*arguments).exit_code == 0
    manifest = tmp_path / "out" / ".run.json"
    values = json.loads(manifest.read_text())
    assert sorted(values.pop("contents")) == [f"input {texts}", "model"]
    manifest.write_text(json.dumps(values))
    later(texts)
    assert temporal_run(*arguments, "--resume").exit_code == 0


def test_an_output_that_cannot_be_made_is_refused(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "out", Path("/proc/x")):
        result = temporal_run(texts, "--output", output)
        assert result.exit_code == 2, result.output
        assert f"output ({output}) must be a directory that can be made" in result.stderr


@pytest.mark.parametrize("device", ["cuda:99", "banana", "meta"])
def test_a_device_that_is_not_here_is_refused(texts: Path, tmp_path: Path, device: str) -> None:
    result = temporal_run(texts, "--output", tmp_path / "out", "--device", device)
    assert result.exit_code == 2
    assert f"device ({device}) must be one of those that are here: cpu" in result.stderr
    assert BUILT == [] and not (tmp_path / "out").exists()
    assert temporal_run(texts, "--output", tmp_path / "out", "--device", "cpu").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("debug", [False, True])
def test_a_signal_before_the_work_leaves_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
    debug: bool,
) -> None:
    class Imported(ModuleType):
        def __getattr__(self, name: str) -> Any:
            os.kill(os.getpid(), number)
            return super().__getattribute__(name)

    name = "temporal.pipelines.command_run"
    monkeypatch.setitem(sys.modules, name, Imported(name))
    command = ["temporal", "run", "text-classification", "x.csv", "--output", "out"]
    monkeypatch.setattr(sys, "argv", [*command, "--debug"] if debug else command)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 75
    printed = capfd.readouterr().err
    assert printed.endswith("stopped\n")
    assert ("File" in printed) == debug == (printed != "stopped\n")
    assert signal.getsignal(number) is before
