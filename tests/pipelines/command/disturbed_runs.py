"""Runs of the command line that are killed, stopped, or refused by the disk at a step of their own.

    python disturbed_runs.py FOLDER

On stdin it is told of a run in a line, `{"words": [...], "output": DIR, "fault": {...}}`. Each is
run in a process of its own, with `FakePipe` for a pipeline; what became of it is printed as a line:
its exit code (below 0: the signal that ended it), stderr, and the steps that it made on its output.
A step is a call that changes what is on the disk: a file opened to be written, synced, renamed or
removed, a directory made. Faults come before the step with the number `at`:

    {"kill": true}         the process kills itself
    {"signals": [15, 15]}  it is sent these, one after the other
    {"errno": 28}          the disk refuses this step and all later ones that need room (28), or
                           all that change anything (30)

and `{"most_bytes": 4096}` bounds files from the start.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

ROWS_PER_PART = 8  # so that a small collection has many commits

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.link": 1, "os.truncate": 0}
"""Events by which argument says what is changed."""
_NEED_ROOM = ("open", "fsync", "os.mkdir", "os.link")


def main() -> None:
    """Run what is asked for, until nothing more is."""
    from fake_cli import fake_pipeline_module

    sys.modules["temporal.pipelines.pipeline"] = fake_pipeline_module()
    import pandas  # noqa: F401  # once for all runs, as whatever they would import by themselves
    import pyarrow.parquet  # noqa: F401
    import typer.rich_utils  # noqa: F401

    import temporal.pipelines.command.launch  # noqa: F401
    import temporal.pipelines.command.run as command_run
    from temporal.pipelines.command.cli import main as command

    command_run.run = partial(command_run.run, rows_per_part=ROWS_PER_PART)
    gc.collect()
    gc.freeze()
    gc.disable()  # a child would copy what it looks at
    for number, line in enumerate(sys.stdin):
        run, told = json.loads(line), Path(sys.argv[1], f"run-{number}")
        child = os.fork()
        if child == 0:
            _run(run, told, command)
        _, status = os.waitpid(child, 0)
        steps = told.with_suffix(".steps").read_text().splitlines()
        stderr = told.with_suffix(".stderr").read_text()
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "steps": steps, "stderr": stderr}), flush=True)


def _run(run: dict[str, Any], told: Path, command: Callable[[], None]) -> NoReturn:
    code = 99
    try:
        messages = os.open(told.with_suffix(".stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(messages, 1)
        os.dup2(messages, 2)
        steps = os.open(told.with_suffix(".steps"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        fault = run.get("fault") or {}
        if "most_bytes" in fault:
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault["most_bytes"],) * 2)
        sys.argv = ["temporal", *run["words"]]
        _watch(Path(run["output"]), fault, steps)
        try:
            command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _watch(output: Path, fault: dict[str, Any], steps: int) -> None:
    """Write down each step, and have the fault come before that which it is to come before."""
    count = 0
    fsync = os.fsync

    def step(event: str, path: str) -> None:
        nonlocal count
        os.write(steps, f"{event} {os.path.relpath(path, output)}\n".encode())
        number, count = count, count + 1
        if "errno" in fault and number >= fault["at"]:
            if event in _NEED_ROOM or fault["errno"] != errno.ENOSPC:
                raise OSError(fault["errno"], os.strerror(fault["errno"]), path)
        elif number == fault.get("at"):
            if fault.get("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            for sent in fault.get("signals", ()):
                os.kill(os.getpid(), sent)

    def is_inside(path: Any) -> str | None:
        if isinstance(path, int):
            with contextlib.suppress(OSError):
                path = os.readlink(f"/proc/self/fd/{path}")
        if not isinstance(path, str | os.PathLike):
            return None
        path = os.path.abspath(os.fspath(path))
        return path if Path(path).is_relative_to(output) else None

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            changes = bool((flags or 0) & _WRITES)
        elif event in _CHANGES:
            path, changes = arguments[_CHANGES[event]], True
        else:
            return
        if changes and (inside := is_inside(path)) is not None:
            step(event, inside)

    def synced(descriptor: Any) -> None:
        if (inside := is_inside(descriptor)) is not None:
            step("fsync", inside)
        fsync(descriptor)

    os.fsync = synced
    sys.addaudithook(hear)


if __name__ == "__main__":
    main()
