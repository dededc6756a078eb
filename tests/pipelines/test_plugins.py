"""Packages announce readers and tasks of their own, which commands and pipelines then know."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from temporal.models.registry import RECORDS as READER_RECORDS
from temporal.pipelines import pipeline, plugins, read_rows
from temporal.pipelines.command.cli import app
from temporal.pipelines.tasks.registry import RECORDS

Install = Callable[..., None]

READER = """
from temporal.models import ReaderRecord, register
auto_class = "AutoModelForSequenceClassification"
register(ReaderRecord("{module}_reader", "Mine", auto_class, model_type="mine_rnn"))
"""
TASK = """
from temporal.pipelines import TaskRecord, register_task
register_task(TaskRecord(
    name="word-count", kind="text", load="{module}:load", predictions="{module}:predictions",
    columns={{"count": int}}, is_single=True,
))

def load(model, **options):
    from temporal.pipelines.loading.load import load_model
    return load_model("text-classification", model)

def predictions(pipe, logits, top_k):
    return [{{"count": len(logits)}}], ()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Packages in a folder of their own, as an installer leaves them."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(plugins, "_loaded", set())
    tasks, readers, modules = dict(RECORDS), dict(READER_RECORDS), set(sys.modules)

    def add(module: str, code: str, *, points: str | None = None) -> None:
        (folder / f"{module}.py").write_text(code.format(module=module))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        points = points or f"[temporal.plugins]\n{module} = {module}\n"
        (info / "entry_points.txt").write_text(points)

    yield add
    for now, before in ((RECORDS, tasks), (READER_RECORDS, readers)):
        for name in set(now) - set(before):
            del now[name]  # type: ignore[attr-defined]  # both are dicts
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


def run_words(tmp_path: Path, task: str) -> Any:
    texts = tmp_path / "texts.csv"
    texts.write_text("text\na good film\n")
    words = ["run", task, str(texts), "-o", str(tmp_path / "out"), "--quiet"]
    return CliRunner().invoke(app, [*words, "--model", str(bundled())])


def bundled() -> Path:
    return Path(plugins.__file__).parent / "defaults" / "review-skim-rnn"


def test_a_task_of_another_package_is_one_of_the_command_line(
    install: Install, tmp_path: Path
) -> None:
    assert run_words(tmp_path, "word-count").exit_code == 2
    install("counts_words", TASK)
    found = run_words(tmp_path, "word-count")
    assert found.exit_code == 0, found.output
    (row,) = read_rows(tmp_path / "out")
    assert (row["status"], row["count"]) == ("ok", 2)
    assert CliRunner().invoke(app, ["show", str(tmp_path / "out")]).exit_code == 0


def test_a_reader_of_another_package_is_loaded_by_a_pipeline(install: Install) -> None:
    install("brings_a_reader", READER)
    pipeline("text-classification")
    assert READER_RECORDS["mine_rnn"].reader == "Mine"
    assert "brings_a_reader_reader" not in sys.modules  # until it is asked for


@pytest.mark.parametrize(
    ("code", "points", "why"),
    [
        ("import no_such_module_here", None, "ModuleNotFoundError: No module named"),
        ("raise RuntimeError('one\\ntwo')", None, "RuntimeError: one two"),
        ("import sys; sys.exit()", None, "SystemExit: no reason given"),
        ("def (", None, "SyntaxError"),
        ("", "[temporal.plugins]\nbad = bad:gone\n", "AttributeError"),
        ("", "[temporal.plugins]\nno line of it\n", "bad"),
    ],
)
def test_a_plugin_that_fails_is_told_in_a_line_and_the_others_work(
    install: Install, tmp_path: Path, code: str, points: str | None, why: str
) -> None:
    install("bad", code, points=points)
    install("counts_words", TASK)
    found = run_words(tmp_path, "word-count")
    assert found.exit_code == 0, found.output
    lines = [line for line in found.stderr.splitlines() if "bad" in line]
    assert len(lines) == 1 and why in lines[0]
    assert lines[0].startswith(("warning: plugin ", "warning: package "))
    again = CliRunner().invoke(app, ["show", str(tmp_path / "out")])
    assert "plugin" not in again.stderr  # told once


def test_in_python_it_is_a_warning_at_the_call(install: Install) -> None:
    install("bad", "1 / 0")
    with pytest.warns(RuntimeWarning, match="plugin 'bad' of bad .* ZeroDivisionError") as told:
        pipeline("text-classification")
    assert told[0].filename == __file__


def test_a_module_may_name_what_is_called(install: Install, tmp_path: Path) -> None:
    code = TASK.replace("register_task(Task", "def announce(): register_task(Task")
    install("counts_words", code, points="[temporal.plugins]\nmine = counts_words:announce\n")
    assert run_words(tmp_path, "word-count").exit_code == 0


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["run", "--help"], ["inspect", "--help"]]
)
def test_help_imports_no_plugin(install: Install, tmp_path: Path, words: list[str]) -> None:
    install("loud", f"open({str(tmp_path / 'was-here')!r}, 'w')")
    assert CliRunner().invoke(app, words).exit_code == 0
    assert not (tmp_path / "was-here").exists()


def test_a_process_finds_them_by_itself(install: Install, tmp_path: Path) -> None:
    install("counts_words", TASK)
    code = (
        "from temporal.pipelines.plugins import load_plugins; load_plugins();"
        "from temporal.pipelines.tasks.registry import RECORDS; print('word-count' in RECORDS)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "True", done.stderr
