"""A job over hundreds of files, some bad, whose decoders die and hang: one right row for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import temporal
from temporal.data.media import is_media_name
from temporal.pipelines import pipeline
from temporal.pipelines.jobs.store.ledger import read_rows

from ...data.zoo.broken import BROKEN
from ...data.zoo.kind import Kind
from ...data.zoo.pointing import POINTING
from .fake_decoder import DIES, HANGS

SCRIPT = Path(__file__).with_name("fake_decoder.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(temporal.__file__).parents[2])}
FILES, BAD = 300, 30
DEADLINE_SECONDS = 3.0
LARGE = {"pixels.mp4", "packed_header.mov", "many_tracks.mp4"}  # take long to make


def bad_kinds() -> list[Kind]:
    """Kinds of which no frame can be had, each reason as often as the others, as far as it goes."""
    turns: Counter[str | None] = Counter()
    queue: list[tuple[int, int, Kind]] = []
    for place, kind in enumerate((*BROKEN, *POINTING)):
        is_offered = is_media_name(kind.name) and kind.name not in LARGE
        if is_offered and (not kind.opens or kind.name == "no_parameters.mp4"):
            queue.append((turns[kind.reason], place, kind))
            turns[kind.reason] += 1
    return [kind for _, _, kind in sorted(queue, key=lambda entry: entry[:2])][:BAD]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, videos: list[Path]) -> Path:
    """Copies of six clips, `000-v0.mp4` to `299-...`, with a bad file for every tenth."""
    folder = tmp_path_factory.mktemp("collection")
    bad = bad_kinds()
    for number in range(FILES):
        if number % (FILES // BAD) == 5:
            kind = bad.pop()
            kind.make(folder / f"{number:03}-{kind.name}")
            continue
        name = {100: DIES, 200: HANGS}.get(number, videos[number % 6].name)
        shutil.copy(videos[number % 6], folder / f"{number:03}-{name}")
    assert not bad
    assert len(list(folder.iterdir())) == FILES
    return folder


def left_of_session(leader: int) -> list[psutil.Process]:
    """Processes of a session that its ended leader leaves behind for more than a moment.

    The fork server and the tracker of shared memory end by themselves, once they see it ended.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):  # ended since the list was made
            if os.getsid(process.pid) == leader:
                found.append(process)
    return psutil.wait_procs(found, timeout=10)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="who belongs to a session is asked of Linux")
def test_a_crash_and_a_hang_among_bad_files_cost_one_row_each(
    tmp_path: Path, folder: Path, frame_exit_path: Path, videos: list[Path]
) -> None:
    output = tmp_path / "out"
    command = [sys.executable, SCRIPT, frame_exit_path, folder, output]
    process = subprocess.Popen(
        [*map(str, command), "--deadline-seconds", str(DEADLINE_SECONDS)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 3  # done, some inputs are bad
    most, left = map(int, printed.split())
    assert most > 0 and left == 0
    assert left_of_session(process.pid) == []

    rows = list(read_rows(output))
    assert sorted(row["id"] for row in rows) == sorted(path.name for path in folder.iterdir())
    reasons = {row["id"]: (row["status"], row["error_reason"]) for row in rows}
    named = {kind.name: kind.reason for kind in bad_kinds()}
    wanted: dict[str, tuple[str, str | None]] = {}
    for path in folder.iterdir():
        name = path.name.partition("-")[2]
        reason = {DIES: "worker_crashed", HANGS: "timeout"}.get(name, named.get(name))
        wanted[path.name] = ("error", reason) if reason else ("ok", None)
    assert reasons == wanted
    assert Counter(status for status, _ in reasons.values()) == {"ok": 268, "error": 32}
    _check_answers(rows, frame_exit_path, videos)


def _check_answers(rows: list[dict[str, Any]], model: Path, videos: list[Path]) -> None:
    """All copies of a clip have the answer that it has alone, without workers."""
    pipe: Any = pipeline("video-classification", model=model, device="cpu")
    alone = {
        path.name: [(p["label"], pytest.approx(p["score"], abs=1e-5)) for p in pipe(path)]
        for path in videos
    }
    for row in rows:
        if row["status"] == "ok":
            answer = [(p["label"], p["score"]) for p in row["predictions"]]
            assert answer == alone[row["id"].partition("-")[2]], row["id"]
