"""Modules that moved are still found under their old names, and are one module under both."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from temporal.moved import MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_name_is_the_new_module(old: str) -> None:
    module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__ is not None and module.__spec__.name == module.__name__ == MOVED[old]


LINES = {
    "from temporal.models.frame_exit import FrameExit as found": "temporal.models",
    "from temporal.models.recurrent import RecurrentReader as found": "temporal.models",
    "from temporal.models.encoders import Family as found": "temporal.backbones.text",
    "from temporal.data.ledger import read_rows as found": "temporal.pipelines.jobs.store",
    "from temporal.pipelines.job import run as found": "temporal.pipelines.jobs",
    "from temporal.pipelines.loading import load_model as found": "temporal.pipelines",
    "from temporal.pipelines.tasks import TASKS, find_task as found": "temporal.pipelines",
    "import temporal.pipelines.cli as cli; found = cli.run": "temporal.pipelines.command",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forks of one")
def test_old_imports_work_in_a_new_process() -> None:
    """Each in a process that has imported nothing of ours; torch, which takes long, is there."""
    code = """if True:
        import os, sys, torch, transformers
        for line in sys.argv[1:]:
            if not os.fork():
                exec(line)
                print(line, found.__module__, sep="=>", flush=True)
                os._exit(0)
            os.wait()
    """
    ran = subprocess.run([sys.executable, "-c", code, *LINES], capture_output=True, text=True)
    assert ran.returncode == 0 and not ran.stderr, ran.stderr
    told = dict(line.split("=>") for line in ran.stdout.splitlines())
    assert told.keys() == LINES.keys()
    assert all(told[line].startswith(new) for line, new in LINES.items()), told


def test_what_a_room_does_not_have_is_an_error() -> None:
    with pytest.raises(ImportError, match="nothing_like_this"):
        importlib.import_module("temporal.models.recurrent.nothing_like_this")
    with pytest.raises(ImportError, match="nothing_like_this"):
        from temporal.models.recurrent import nothing_like_this  # noqa: F401
