"""Signals to a whole process group, as schedulers and terminals send them: decoders get them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from temporal.pipelines.jobs.store.ledger import read_rows

from .test_job_isolation import ENVIRONMENT, SCRIPT, left_of_session

FILES = 6


@pytest.mark.skipif(sys.platform != "linux", reason="who belongs to a session is asked of Linux")
@pytest.mark.parametrize(
    "numbers",
    [
        [signal.SIGTERM],
        pytest.param([signal.SIGHUP, signal.SIGTERM], marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_group_makes_no_input_bad(
    numbers: list[int], tmp_path: Path, videos: list[Path], frame_exit_path: Path
) -> None:
    folder, output = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for number in range(FILES):
        shutil.copy(videos[number % len(videos)], folder / f"{number}.mp4")
    command = [sys.executable, SCRIPT, frame_exit_path, folder, output, "--deadline-seconds", "60"]

    def start(*more: str, **environment: str) -> subprocess.Popen[bytes]:
        options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "start_new_session": True}
        # Under nohup the tests would hand on that nobody listens to SIGHUP.
        options["preexec_fn"] = lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)
        words = [*map(str, command), *more]
        return subprocess.Popen(words, env={**ENVIRONMENT, **environment}, **options)

    told = tmp_path / "decoding"
    process = start(FAKE_TELL=str(told), FAKE_DELAY_SECONDS="0.3")
    while not told.exists():
        assert process.poll() is None
        time.sleep(0.01)
    for number in numbers:
        os.killpg(process.pid, number)
    assert process.wait(120) == 75
    assert left_of_session(process.pid) == []
    rows = list(read_rows(output))
    assert len(rows) < FILES and {row["status"] for row in rows} <= {"ok"}, rows
    assert start("--resume").wait(120) == 0
    rows = list(read_rows(output))
    assert sorted(row["id"] for row in rows) == [f"{number}.mp4" for number in range(FILES)]
    assert {row["status"] for row in rows} == {"ok"}
