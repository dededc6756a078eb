"""Killed, stopped, or refused by the disk at any step of a run: nothing lost, nothing twice."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import temporal
from temporal.pipelines.jobs.store.ledger import read_rows

SCRIPT = Path(__file__).with_name("disturbed_runs.py")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(temporal.__file__).parents[2]),
    **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
}
TEXTS = 150  # some twenty parts: more than are joined while the run goes on
MOMENTS = 24

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


class Runs:
    """Runs over one table of texts, each with an output of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = folder / "texts.csv"
        lines = (" ".join(["word"] * (k % 7 + 1)) for k in range(TEXTS))
        self.table.write_text("text\n" + "".join(f"{line}\n" for line in lines))
        command = [sys.executable, str(SCRIPT), str(folder)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=ENVIRONMENT, **pipes)

    def plan(self, name: str, fault: dict[str, Any] | None = None, *more: str) -> dict[str, Any]:
        """One run into the output `name`; a name that ends with `jsonl` says its format."""
        output = self.folder / name
        format = "jsonl" if name.endswith("jsonl") else "parquet"
        words = ["run", "text-classification", str(self.table), "--output", str(output)]
        words += ["--quiet", "--format", format, "--num-processes", "1", *more]
        return {"words": words, "output": str(output), "fault": fault}

    def resumed(self, name: str, fault: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.plan(name, fault, "--resume")

    def do(self, plans: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Do them one after the other, in processes that share what they import."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        done = []
        for plan in plans:
            stdin.write(json.dumps(plan) + "\n")
            stdin.flush()
            done.append(json.loads(stdout.readline()))
        return done

    def rows(self, name: str) -> dict[str, Any]:
        """The rows that are committed, without what a clock wrote; fails when an id has two."""
        rows: dict[str, Any] = {}
        output = self.folder / name
        for row in read_rows(output) if output.is_dir() else ():
            assert row["id"] not in rows
            rows[row["id"]] = {k: v for k, v in row.items() if not k.endswith("_seconds")}
        return rows

    def ids(self, name: str) -> set[str]:
        """Ids of the rows that are committed; fails when one has two."""
        output = self.folder / name
        ids = [row["id"] for row in read_rows(output, columns=["id"])] if output.is_dir() else []
        assert len(set(ids)) == len(ids)
        return set(ids)

    def left(self, name: str) -> set[str]:
        """Files that are no parts."""
        names = {path.name for path in (self.folder / name).iterdir()}
        return {one for one in names if "part-" not in one or one.endswith(".tmp")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    made = Runs(tmp_path_factory.mktemp("runs").resolve())
    yield made
    made.process.communicate()


@pytest.fixture(scope="module")
def steps(runs: Runs) -> dict[str, list[str]]:
    """What undisturbed runs do on the disk, by format."""
    names = ("undisturbed-parquet", "undisturbed-jsonl")
    done = runs.do([runs.plan(name) for name in names])
    assert [one["code"] for one in done] == [0, 0], done
    assert runs.rows(names[0]) == runs.rows(names[1]) and len(runs.rows(names[0])) == TEXTS
    return {name.partition("-")[2]: one["steps"] for name, one in zip(names, done, strict=True)}


@pytest.fixture(scope="module")
def whole(runs: Runs, steps: dict[str, list[str]]) -> dict[str, Any]:
    return runs.rows("undisturbed-parquet")


def kind_of(step: str) -> str:
    """`open part-00000-000256.parquet` -> `open part.parquet`: what kind of step it is."""
    event, _, name = step.partition(" ")
    stem = "part" if "part-" in name else ""
    joined = "-joined" if name.count("-") > 2 else ""
    return f"{event} {stem}{joined}{name[name.index('.', 2) :] if stem else name}"


def moments(steps: list[str], count: int, seed: int) -> list[int]:
    """Numbers of steps: of as many kinds as there are, and others at random."""
    chance = random.Random(seed)
    kinds: dict[str, list[int]] = {}
    for number, step in enumerate(steps):
        kinds.setdefault(kind_of(step), []).append(number)
    chosen = {chance.choice(numbers) for numbers in kinds.values()}
    if count < len(chosen):
        return sorted(chance.sample(sorted(chosen), count))
    rest = [number for number in range(len(steps)) if number not in chosen]
    chosen.update(chance.sample(rest, min(len(rest), count - len(chosen))))
    return sorted(chosen)


def check_whole(runs: Runs, name: str, whole: dict[str, Any], done: dict[str, Any]) -> None:
    assert done["code"] == 0, (name, done)
    assert runs.rows(name) == whole
    format = name.rpartition("-")[2]
    assert runs.left(name) == runs.left(f"undisturbed-{format}")


def test_a_commit_has_steps_that_are_seen(steps: dict[str, list[str]]) -> None:
    """What follows is worth nothing where the steps are not seen."""
    for format, made in steps.items():
        kinds = {kind_of(step) for step in made}
        assert any("joined" in kind for kind in kinds) and len(made) > 80
        assert f"os.rename part.{format}" in kinds and "os.mkdir ." in kinds
        assert any(kind.startswith("open part") and kind.endswith(".tmp") for kind in kinds)
        assert any(kind.startswith("fsync part") for kind in kinds) and "fsync ." in kinds


@pytest.mark.parametrize("format", ["parquet", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_killed_at_any_step_and_resumed_equals_undisturbed(
    runs: Runs, steps: dict[str, list[str]], whole: dict[str, Any], format: str
) -> None:
    """Of the resumed runs, every fifth is killed as well, and resumed again."""
    chance = random.Random(18)
    at = moments(steps[format], MOMENTS, seed=18)
    names = [f"killed-{number}-{format}" for number in at]
    killed = runs.do(
        [runs.plan(name, {"at": k, "kill": True}) for name, k in zip(names, at, strict=True)]
    )
    assert {one["code"] for one in killed} == {-signal.SIGKILL}, killed
    for name in names:
        assert runs.ids(name) <= whole.keys()
    again = [runs.resumed(name, {"at": chance.randrange(12), "kill": True}) for name in names[::5]]
    assert -signal.SIGKILL in {one["code"] for one in runs.do(again)}
    for name in names[::5]:
        assert runs.ids(name) <= whole.keys()
    for name, done in zip(names, runs.do([runs.resumed(name) for name in names]), strict=True):
        check_whole(runs, name, whole, done)


@pytest.mark.parametrize(
    ("number", "format", "count"),
    [
        (errno.ENOSPC, "parquet", 6),
        pytest.param(errno.ENOSPC, "jsonl", 99, marks=pytest.mark.slow),
        pytest.param(errno.EROFS, "jsonl", 99, marks=pytest.mark.slow),
        pytest.param(errno.EIO, "parquet", 99, marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_refuses_from_any_step_on_stops_the_run_resumably(
    runs: Runs,
    steps: dict[str, list[str]],
    whole: dict[str, Any],
    number: int,
    format: str,
    count: int,
) -> None:
    at = moments(steps[format], count, seed=number)
    names = [f"refused-{number}-{k}-{format}" for k in at]
    refused = runs.do(
        [runs.plan(name, {"at": k, "errno": number}) for name, k in zip(names, at, strict=True)]
    )
    for name, k, one in zip(names, at, refused, strict=True):
        assert "Traceback" not in one["stderr"]
        assert runs.ids(name) <= whole.keys()
        begun = any("part-" in step for step in one["steps"][:k])
        # 2: the output could not be begun. 0: what was left to do needed no room.
        assert one["code"] in ((75, 0) if begun else (75, 2)), (name, k, one)
        if one["code"]:
            assert os.strerror(number) in one["stderr"] and str(runs.folder / name) in one["stderr"]
        else:
            assert runs.ids(name) == whole.keys()
    for name, done in zip(names, runs.do([runs.resumed(name) for name in names]), strict=True):
        check_whole(runs, name, whole, done)


def test_files_that_may_not_grow_stop_the_run_resumably(runs: Runs, whole: dict[str, Any]) -> None:
    name = "small-files-jsonl"
    bounded, done = runs.do(
        [runs.plan(name, {"most_bytes": 4_000}), runs.resumed(name)]  # the parts are larger
    )
    assert bounded["code"] == 75 and "make room" in bounded["stderr"], bounded
    assert "--resume" in bounded["stderr"] and "Traceback" not in bounded["stderr"]
    check_whole(runs, name, whole, done)


@pytest.mark.parametrize(
    ("signals", "count"),
    [
        ([signal.SIGTERM, signal.SIGTERM], 2),
        pytest.param([signal.SIGTERM], 99, marks=pytest.mark.slow),
        pytest.param([signal.SIGINT, signal.SIGHUP, signal.SIGTERM], 99, marks=pytest.mark.slow),
    ],
)
def test_stopped_at_any_step_is_75_and_is_gone_on_with(
    runs: Runs, steps: dict[str, list[str]], whole: dict[str, Any], signals: list[int], count: int
) -> None:
    made = steps["jsonl"]
    first = next(k for k, step in enumerate(made) if "part-" in step)  # with inputs left
    others = random.Random(75).sample(range(len(made)), min(count, len(made)))
    at = sorted({first, len(made) - 1, *others})
    names = [f"stopped-{signals[0]}-{len(signals)}-{k}-jsonl" for k in at]
    fault = {"signals": [int(one) for one in signals]}
    stopped = runs.do(
        [runs.plan(name, {"at": k, **fault}) for name, k in zip(names, at, strict=True)]
    )
    for name, one in zip(names, stopped, strict=True):
        assert one["code"] in (75, 0) and "Traceback" not in one["stderr"], (name, one)
        assert (one["code"] == 0) == (runs.ids(name) == whole.keys())
    assert {75, 0} == {one["code"] for one in stopped}  # told at the end, there is nothing left
    for name, done in zip(names, runs.do([runs.resumed(name) for name in names]), strict=True):
        check_whole(runs, name, whole, done)
