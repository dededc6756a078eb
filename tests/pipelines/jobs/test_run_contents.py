"""What a run's names stand for; weights that were hashed when loaded are not read again."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from temporal.models.weights import write_digests
from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs import fingerprint, run_contents
from temporal.pipelines.jobs.manifest import RunManifest
from temporal.pipelines.loading.load import DEFAULTS


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "reader"
    shutil.copytree(DEFAULTS / "review-skim-rnn", folder)
    write_digests(folder)
    return folder


def test_what_is_known_of_weights_is_what_reading_them_tells(saved: Path) -> None:
    file = saved / "model.safetensors"
    known = {file.resolve(): hashlib.sha256(file.read_bytes()).hexdigest()}
    told = run_contents.contents(str(saved), [], None, kind="text")
    assert run_contents.contents(str(saved), [], None, kind="text", weights=known) == told
    other = {file.resolve(): "0" * 64}  # it is believed, for it is of what was loaded
    assert run_contents.contents(str(saved), [], None, kind="text", weights=other) != told


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_run_reads_the_weights_once_to_hash_them(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through_a_link: bool
) -> None:
    read: list[str] = []
    own = fingerprint.fingerprint

    def spy(path: Any, **options: Any) -> str:
        read.append(Path(path).name)
        return own(path, **options)

    monkeypatch.setattr(run_contents, "fingerprint", spy)
    model = saved
    if through_a_link:
        model = tmp_path / "link"
        model.symlink_to(saved)
    texts = tmp_path / "texts.csv"
    texts.write_text("text\na good film\n")
    out = tmp_path / "out"
    arguments = ["run", "text-classification", str(texts), "-o", str(out), "--model", str(model)]
    assert CliRunner().invoke(app, [*arguments, "--quiet"]).exit_code == 0
    assert "config.json" in read and "model.safetensors" not in read
    manifest = RunManifest.read(out)
    assert manifest is not None
    monkeypatch.undo()
    assert manifest.contents == run_contents.contents(str(model), [str(texts)], None, kind="text")
    (saved / "weights.sha256").unlink()  # nothing is compared then, and the file is read here
    again = CliRunner().invoke(app, [*arguments, "--quiet", "--resume"])
    assert again.exit_code == 0, again.output
