"""`--num-processes`, and ranks of accelerate's launcher and torchrun: killed, hung, slow ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import temporal
from temporal.pipelines.command.cli import app
from temporal.pipelines.command.faults import UsageFault
from temporal.pipelines.command.launch import command_line, processes_to_start
from temporal.pipelines.jobs.store.ledger import read_rows

SCRIPT = Path(__file__).parents[1] / "jobs" / "sharing" / "fake_ranks.py"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(temporal.__file__).parents[2]),
    "OMP_NUM_THREADS": "1",
}
TEXTS = 150
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ACCELERATE = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "".join(f"film number {i}\n" for i in range(TEXTS)))
    return path


def start(table: Path, ranks: dict[str, Any], *options: str, by: Any = ()) -> Any:
    """Start two ranks; those with hooks do as these say."""
    (table.parent / "notes").mkdir(exist_ok=True)
    environment = {"FAKE_NOTES": str(table.parent / "notes"), "FAKE_RANKS": json.dumps(ranks)}
    command = [*(by or [sys.executable]), str(SCRIPT), "run", "text-classification", str(table)]
    command += ["--output", str(table.parent / "out"), *options]
    if not by:
        command += ["--num-processes", "2"]
    return subprocess.Popen(
        command,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ids(table: Path) -> list[str]:
    return [row["id"] for row in read_rows(table.parent / "out")]


def begun(table: Path, rank: int) -> list[str]:
    """Ids of the inputs that a rank began to read."""
    notes = table.parent / "notes" / f"{rank}.txt"
    return notes.read_text().split() if notes.exists() else []


ALL = [f"text-{i:06d}" for i in range(TEXTS)]


def test_a_rank_that_is_killed_is_told_of_and_nothing_is_lost(table: Path) -> None:
    process = start(table, {"0": {"delay": 0.03}, "1": {"delay": 0.03, "kill_at": 4}})
    printed, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert ids(table) == ALL
    assert "rank 1 was ended by SIGKILL; others read what it had taken" in told
    assert printed.count(f"{TEXTS} inputs: {TEXTS} ok, 0 partial, 0 error") == 1
    assert f"{TEXTS}/{TEXTS}" in told  # one bar for both
    assert len(begun(table, 1)) == 4
    assert [path.name for path in (table.parent / "out").iterdir() if "lock" in path.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("by", [(), TORCHRUN, ACCELERATE], ids=["own", "torchrun", "accelerate"])
def test_every_launcher_shares_the_work(table: Path, by: Any) -> None:
    process = start(table, {"0": {"delay": 0.02}, "1": {"delay": 0.02}}, by=by)
    printed, told = process.communicate(timeout=120)
    assert (process.returncode, ids(table)) == (0, ALL), told
    assert printed.count(f"{TEXTS} inputs: {TEXTS} ok") == 1
    assert min(len(begun(table, 0)), len(begun(table, 1))) > TEXTS // 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "ranks",
    [
        {"0": {"delay": 0.01, "kill_at": 1}, "1": {"delay": 0.01}},
        {"0": {"delay": 0.01, "kill_at": 37}, "1": {"delay": 0.01}},
        {"0": {"delay": 0.01, "hang_at": 20}, "1": {"delay": 0.01}},
        {"0": {"delay": 0.01}, "1": {"delay": 0.01, "hang_at": 20}},
        {"0": {"delay": 0.01}, "1": {"delay": 0.1}},
        {"0": {"delay": 0.1}, "1": {"delay": 0.01}},
        {"0": {"delay": 0.01, "fail_at": 20}, "1": {"delay": 0.01}},
    ],
    ids=json.dumps,
)
def test_whatever_becomes_of_a_rank_all_is_read_once(table: Path, ranks: dict[str, Any]) -> None:
    process = start(table, ranks)
    printed, told = process.communicate(timeout=120)
    assert (process.returncode, ids(table)) == (0, ALL), told
    assert printed.count(f"{TEXTS} inputs: {TEXTS} ok") == 1
    assert len(begun(table, 0)) + len(begun(table, 1)) < 1.4 * TEXTS


@pytest.mark.slow
@pytest.mark.parametrize("how", ["both killed", "SIGTERM", "SIGINT", "group", "one stopped"])
def test_a_run_that_ended_early_is_gone_on_with(table: Path, how: str) -> None:
    hooks: dict[str, Any] = {"0": {"delay": 0.05}, "1": {"delay": 0.05}}
    if how == "both killed":
        hooks["0"]["kill_at"], hooks["1"]["kill_at"] = 15, 25
    if how == "one stopped":
        hooks["1"]["stop_at"] = 15
    process = start(table, hooks)
    if how.startswith("SIG") or how == "group":
        while len(begun(table, 0)) < 10:
            assert process.poll() is None
            time.sleep(0.05)
        if how == "group":  # as a scheduler ends a job: launcher, guards and ranks at once
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.send_signal(getattr(signal, how))
    process.communicate(timeout=120)
    assert process.returncode == 75
    left = ids(table)
    assert len(left) == len(set(left)) < TEXTS
    process = start(table, {}, "--resume")
    printed, told = process.communicate(timeout=120)
    assert process.returncode == 0 and sorted(ids(table)) == ALL, told
    assert printed.count(f"{TEXTS} inputs: {TEXTS} ok") == 1


def test_how_many_processes_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert [processes_to_start(asked, None) for asked in (None, 1, 3)] == [1, 1, 3]
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    found = [processes_to_start(None, device) for device in (None, "cuda", "cuda:1", "cpu")]
    assert found == [4, 4, 1, 1]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert processes_to_start(None, None) == 1
    with pytest.raises(UsageFault, match=r"--num-processes \(2\) is for a process that starts"):
        processes_to_start(2, None)


def test_the_command_line_of_the_processes() -> None:
    words = ["-o", "out", "--resume", "--num-processes", "2", "--budget", "0.5"]
    words += ["--allow-origin", "http://a:1", "--allow-origin", "http://b:2"]
    words += ["--", "text-classification", "a.csv", "-b.csv"]
    commands: Any = typer.main.get_command(app)
    run = commands.commands["run"]
    parent = typer.Context(commands, info_name="temporal")
    parent.params = {}
    found = command_line(run.make_context("run", list(words), parent=parent))
    assert found[0] == "run" and found[-4:] == words[-4:] and "--num-processes" not in found
    again = run.make_context("run", found[1:], parent=parent).params
    wanted = run.make_context("run", list(words), parent=parent).params
    assert {**again, "num_processes": 2} == wanted
    assert wanted["allow_origin"] == ["http://a:1", "http://b:2"] and wanted["budget"] == 0.5
