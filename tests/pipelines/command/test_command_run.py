"""What `temporal run` refuses before it works, and how it is stopped before it does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from temporal.data import collect
from temporal.pipelines.command import run as command_run
from temporal.pipelines.command.cli import app, main
from temporal.pipelines.jobs.ranks import Ranks
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.jobs.store.lock import RankLock

from ..fake_cli import BUILT

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
    path = texts if changed == "texts.csv" else model / changed
    later(path)  # touched, and still the same bytes
    assert temporal_run(*arguments, "--resume").exit_code == 0
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"XX" + content[-1:])  # as long as it was
    later(path)
    refused = temporal_run(*arguments, "--resume")
    name = f"input {texts}" if changed == "texts.csv" else "model"
    assert refused.exit_code == 2 and f"content of {name}: " in refused.stderr
    assert "--resume-anyway" in refused.stderr
    assert len(list(read_rows(tmp_path / "out"))) == 2
    assert temporal_run(*arguments, "--resume-anyway").exit_code == 0
    assert temporal_run(*arguments, "--resume").exit_code == 0  # that is the run's content now
    assert len(list(read_rows(tmp_path / "out"))) == 2


@pytest.mark.parametrize("ending", ["", "\n"])
def test_lines_behind_the_old_ones_are_new_work(tmp_path: Path, ending: str) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text(f"text\none two\none{ending}")
    arguments = (texts, "--output", tmp_path / "out")
    assert temporal_run(*arguments).exit_code == 0
    for count, line in ((3, "a b c d"), (4, "e")):
        with texts.open("a") as file:
            file.write(f"{'' if ending else chr(10)}{line}{ending}")
        assert temporal_run(*arguments, "--resume").exit_code == 0
        assert len(list(read_rows(tmp_path / "out"))) == count
    text = texts.read_text()
    for other in (text.replace("one two", "two one") + "\nf", text + "f", text[:-4]):
        texts.write_text(other)
        if other == text + "f" and ending:
            continue  # a line of its own
        assert temporal_run(*arguments, "--resume").exit_code == 2
    assert len(list(read_rows(tmp_path / "out"))) == 4


def test_what_runs_wrote_below_their_inputs_is_none_of_them(texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    texts.rename(folder / "texts.csv")
    (folder / "part-1.csv").write_text("text\nthree\n")  # called like a result, and none
    for name, more in (("out", ()), ("out", ("--resume",)), ("sub/other", ("--format", "jsonl"))):
        ran = temporal_run(folder, "--output", folder / name, *more)
        assert ran.exit_code == 0, ran.output
        assert len(list(read_rows(folder / name))) == 3
    found = list(collect(str(folder / "out"), kind="text"))  # named by itself, it is read
    assert [item.id for item in found] == [str(next((folder / "out").glob("part-*")))]


def test_what_an_older_version_told_of_untouched_files_still_holds(
    texts: Path, model: Path, tmp_path: Path
) -> None:
    arguments = (texts, "--output", tmp_path / "out", "--model", model)
    assert temporal_run(*arguments).exit_code == 0
    told = tmp_path / "out" / ".run.json"
    values = json.loads(told.read_text())

    def by_time(path: Path) -> str:
        return f"{path.stat().st_size} bytes, mtime_ns {path.stat().st_mtime_ns}"

    lines = [
        f"config.json: {hashlib.sha256((model / 'config.json').read_bytes()).hexdigest()}\n",
        f"model.safetensors: {by_time(model / 'model.safetensors')}\n",
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
    values["contents"] = {f"input {texts}": by_time(texts), "model": digest}
    told.write_text(json.dumps(values))
    assert temporal_run(*arguments, "--resume").exit_code == 0
    texts.write_text("text\none\none two\n")
    assert temporal_run(*arguments, "--resume").exit_code == 2


def test_other_names_of_the_same_files_are_the_same_run(
    texts: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ("--output", tmp_path / "out", "--model")
    assert temporal_run("texts.csv", *more, "model").exit_code == 0
    for name in ("./texts.csv", str(texts), ".//texts.csv"):
        assert temporal_run(name, *more, "./model", "--resume").exit_code == 0
    assert len(list(read_rows(tmp_path / "out"))) == 2
    (tmp_path / "other.csv").write_bytes(texts.read_bytes())
    refused = temporal_run("other.csv", *more, "model", "--resume")
    assert refused.exit_code == 2 and "inputs: " in refused.stderr


def test_texts_between_others_are_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are called by their position: new ones in between would take the names of others."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("b.csv", "d.csv"):
        (folder / name).write_text(f"text\n{name} one\n")
    inputs: list[tuple[object, ...]] = [
        ("texts",),
        ("texts/*.csv",),
        ("texts/b.csv", "texts/d.csv"),
    ]
    for place, given in enumerate(inputs):
        assert temporal_run(*given, "--output", tmp_path / f"{place}").exit_code == 0
    (folder / "e.csv").write_text("text\nnew\n")
    for place, given in enumerate(inputs[:2]):
        assert temporal_run(*given, "--output", tmp_path / f"{place}", "--resume").exit_code == 0
        assert len(list(read_rows(tmp_path / f"{place}"))) == 3
    (folder / "c.csv").write_text("text\nnew\n")
    for place, given in enumerate(inputs[:2]):
        refused = temporal_run(*given, "--output", tmp_path / f"{place}", "--resume")
        assert refused.exit_code == 2 and f"content of input {given[0]}: " in refused.stderr
    for name, code in (("d.csv", 0), ("b.csv", 2)):
        with (folder / name).open("a") as file:
            file.write("more\n")
        assert temporal_run(*inputs[2], "--output", tmp_path / "2", "--resume").exit_code == code
    assert len(list(read_rows(tmp_path / "2"))) == 3


def test_other_names_of_patterns_and_folders_are_the_same_run(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    assert temporal_run("*.csv", "--output", "one").exit_code == 0
    assert temporal_run("./*.csv", "--output", "./one", "--resume").exit_code == 0
    assert temporal_run("*.cs?", "--output", "one", "--resume").exit_code == 2
    assert temporal_run("texts.csv", "--output", "two").exit_code == 0
    assert temporal_run("sub/../texts.csv", "--output", "two", "--resume").exit_code == 0
    assert len(list(read_rows(tmp_path / "two"))) == 2


@pytest.mark.parametrize("more", [("--format", "jsonl"), ("--keep-text",)])
def test_what_cannot_be_one_table_is_refused_and_changes_nothing(
    texts: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    arguments = (texts, "--output", tmp_path / "out")
    assert temporal_run(*arguments).exit_code == 0
    told = (tmp_path / "out" / ".run.json").read_bytes()
    refused = temporal_run(*arguments, *more, "--resume-anyway")
    assert refused.exit_code == 2 and "part-00000-000000.parquet" in refused.stderr
    assert (tmp_path / "out" / ".run.json").read_bytes() == told
    assert temporal_run(*arguments, "--resume").exit_code == 0


def test_another_run_at_work_keeps_its_configuration(texts: Path, tmp_path: Path) -> None:
    arguments = (texts, "--output", tmp_path / "out")
    assert temporal_run(*arguments).exit_code == 0
    told = (tmp_path / "out" / ".run.json").read_bytes()
    lock = RankLock(tmp_path / "out")
    refused = temporal_run(*arguments, "--top-k", "1", "--resume-anyway")
    lock.release()
    assert refused.exit_code == 2 and "written by another run" in refused.stderr
    assert (tmp_path / "out" / ".run.json").read_bytes() == told


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

    name = "temporal.pipelines.command.run"
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


LAUNCHERS = [
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
]


@pytest.mark.parametrize("names", LAUNCHERS)
def test_ranks_of_every_launcher_share_the_work_and_tell_who_is_missing(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    monkeypatch.setattr(command_run, "_START_SECONDS", 0.1)
    arguments = (texts, "--output", tmp_path / "out")
    monkeypatch.setenv(names[1], "2")
    monkeypatch.setenv(names[0], "0")
    first = temporal_run(*arguments)
    assert first.exit_code == 75
    assert "rank 1 is not at work and 1 of its inputs have no row" in first.stderr
    assert len(list(read_rows(tmp_path / "out"))) == 1
    monkeypatch.setenv(names[0], "1")
    last = temporal_run(*arguments)
    assert (last.exit_code, last.stderr) == (0, "")
    assert len(list(read_rows(tmp_path / "out"))) == 2


def test_a_rank_at_work_is_waited_for_by_nobody(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    lock = RankLock(tmp_path / "out", rank=1, world_size=2)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = temporal_run(texts, "--output", tmp_path / "out")
    lock.release()
    assert (result.exit_code, result.stderr) == (0, "rank 1 is still at work\n")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE (2) is set and RANK is not"),
        ({"RANK": "0"}, "RANK (0) is set and WORLD_SIZE is not"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK (2) must be >= 0 and < WORLD_SIZE (2)"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK (-1) must be"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK ('x') must be a whole number"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"},
            "MASTER_ADDR is set, and Error initializing torch.distributed",
        ),
        ({"PMI_SIZE": "8"}, "PMI_SIZE (8) is set and PMI_RANK is not"),
        ({"PMIX_RANK": "1"}, "PMIX_RANK (1) is set without the number"),
    ],
)
def test_half_a_rank_is_refused(
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, str],
    told: str,
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    refused = temporal_run(texts, "--output", tmp_path / "out")
    assert refused.exit_code == 2 and told in refused.stderr
    assert not (tmp_path / "out").exists()


def test_which_launcher_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranks.from_environment() == Ranks()
    monkeypatch.setenv("SLURM_NTASKS", "8")  # the shell of an allocation
    assert Ranks.from_environment() == Ranks()
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert Ranks.from_environment() == Ranks(rank=0, world_size=8)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    assert Ranks.from_environment() == Ranks(rank=1, world_size=2, local_rank=1, has_address=True)


def test_a_run_that_is_mostly_errors_stops_with_4(tmp_path: Path) -> None:
    lines = [*["{broken"] * 100, *['{"text": "one two"}'] * 20]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines) + "\n")
    arguments = (tmp_path / "texts.jsonl", "--output", tmp_path / "out", "--max-error-rate")
    assert temporal_run(*arguments, "1.5").exit_code == 2
    assert not (tmp_path / "out").exists()
    stopped = temporal_run(*arguments, "0.5")
    assert stopped.exit_code == 4, stopped.stderr
    assert "error: 100 of the 100 inputs read by this run have an error" in stopped.stderr
    assert temporal_run(*arguments, "0.6", "--resume").exit_code == 3  # no other run by that
    assert len(list(read_rows(tmp_path / "out"))) == 120
