"""`temporal watch`: events of a stream as lines and files; a signal ends it and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from temporal.models.events.event import Event, EventsFound
from temporal.pipelines.command import watch as watch_module
from temporal.pipelines.command.cli import app


class Reader:
    """Says that something happens while the picture is white."""

    labels = ("white",)

    async def read(self, window: Any) -> EventsFound:
        count = await window.open()
        is_white = (
            (await window.read(range(count), size=(8, 8))).float().mean((1, 2, 3)) > 200
        ).tolist()
        times = (window.index.timestamps_seconds - window.index.timestamps_seconds[0]).tolist()
        starts = [n for n in range(count) if is_white[n] and (n == 0 or not is_white[n - 1])]
        events = []
        for n in starts:
            end = next((m for m in range(n, count) if not is_white[m]), count - 1)
            events.append(
                Event(start_seconds=times[n], end_seconds=times[end], label="white", score=0.75)
            )
        return EventsFound(events=tuple(events))


@pytest.fixture
def stream(tmp_path: Path) -> bytes:
    """Six seconds, white from 1.5 to 2.5 and from 4 on."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        options = {"bf": "0", "g": "10", "sc_threshold": "0"}
        made = container.add_stream("libx264", rate=10, options=options)
        made.width, made.height, made.pix_fmt = 64, 64, "yuv420p"
        for number in range(60):
            is_white = 15 <= number < 25 or number >= 40
            image = np.full((64, 64, 3), 255 if is_white else 64, dtype=np.uint8)
            container.mux(made.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(made.encode(None))
    return path.read_bytes()


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(gap_seconds=0.0, halt="all", place_seconds=1.0)
    made = SimpleNamespace(reader=Reader(), batch_size=4, model=SimpleNamespace(config=config))
    monkeypatch.setattr(watch_module, "_pipeline", lambda request: made)


def run(*words: Any) -> Any:
    return CliRunner().invoke(app, ["watch", *map(str, words), "--model", "any"])


def test_events_are_lines_and_files(stream: bytes, tmp_path: Path) -> None:
    source = tmp_path / "a.ts"
    done = run(source, "-o", tmp_path / "e.jsonl", "--certain", 0.5)
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in done.stdout.splitlines()]
    # The first is over in the window in which it becomes certain of itself, from 2 to 3 s.
    assert [(one["start_seconds"], one["is_open"]) for one in told] == [
        (pytest.approx(1.5), True),
        (pytest.approx(1.5), False),
        (pytest.approx(4.0), True),
        (pytest.approx(4.0), False),
    ]
    assert [one["delay_seconds"] for one in told[:2]] == [pytest.approx(0.5), pytest.approx(1.5)]
    assert told[3]["end_seconds"] == pytest.approx(5.9)
    assert (tmp_path / "e.jsonl").read_text().splitlines() == done.stdout.splitlines()
    report = json.loads(done.stderr)
    assert (report["state"], report["stream"]["frames"], report["watch"]["told"]) == (
        "ended",
        60,
        2,
    )
    for suffix in (".vtt", ".edl", ".csv", ".json", ".xml", ".ffmeta"):
        assert run(source, "-o", tmp_path / f"e{suffix}").exit_code == 0
        assert (tmp_path / f"e{suffix}").read_text().count("white") == 2
    assert "00:00:01.500 --> 00:00:02.500" in (tmp_path / "e.vtt").read_text()
    assert "00:00:01:05 00:00:02:05" in (tmp_path / "e.edl").read_text()  # ten frames a second


def test_a_signal_tells_what_is_open(stream: bytes, tmp_path: Path) -> None:
    fifo = tmp_path / "camera"
    os.mkfifo(fifo)

    def camera() -> None:
        with fifo.open("wb", buffering=0) as file:
            file.write(stream)
            time.sleep(0.7)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.5)  # it stays open

    thread = threading.Thread(target=camera)
    thread.start()
    done = run(fifo)
    thread.join()
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["end_seconds"] for one in told] == [pytest.approx(2.5), pytest.approx(5.9)]
    assert json.loads(done.stderr)["state"] == "stopped"


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no video")
    for words, said in [
        ((tmp_path / "a.txt",), "not_media"),
        ((tmp_path / "none.ts",), "not_found"),
        (("rtsp://camera/1",), "--allow-origin"),
        ((tmp_path / "a.txt", "-o", tmp_path / "e.docx"), "must end in"),
        ((tmp_path / "a.txt", "-o", tmp_path / "no" / "e.jsonl"), "e.jsonl"),
        ((tmp_path / "a.txt", "--window-seconds", -1), "window_seconds"),
    ]:
        done = run(*words)
        assert done.exit_code == 2, done.output
        assert said in " ".join(done.stderr.split())


def test_a_stream_that_breaks_off_has_another_exit_code(stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "wait").mkdir()
    fifo = tmp_path / "camera"
    os.mkfifo(fifo)

    def camera() -> None:
        with fifo.open("wb", buffering=0) as file:
            file.write(stream)
            time.sleep(1.5)

    thread = threading.Thread(target=camera)
    thread.start()
    done = run(fifo, "--stall-seconds", 0.2, "--give-up-seconds", 0.5, "-o", tmp_path / "e.json")
    thread.join()
    assert done.exit_code == 3
    assert "timeout" in json.loads(done.stderr)["stream"]["fault"]
    (found,) = json.loads((tmp_path / "e.json").read_text())
    assert (found["status"], len(found["events"])) == ("partial", 2)
