"""Events of streams: each told once when it is over, with its delay, and none lost at the end."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import LiveVideo
from temporal.models.events.event import Event, EventsFound
from temporal.pipelines.tasks.events.event_watching import EventWatch

RATE = 10
COLORS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


def video(path: Path, seconds: float, events: dict[str, list[tuple[float, float]]]) -> bytes:
    """A grey transport stream in which a label's quarter of the picture has its colour."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"bf": "0", "g": "10", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(round(seconds * RATE)):
            image = np.full((64, 64, 3), 128, dtype=np.uint8)
            for k, (label, spans) in enumerate(events.items()):
                if any(start <= number / RATE < end for start, end in spans):
                    image[:, 32 * k : 32 * k + 32] = COLORS[label]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


class ColorReader:
    """Finds the colours, reading every frame of what it is given."""

    labels = ("red", "blue")
    fails_at: int | None = None

    def __init__(self) -> None:
        self.reads = 0

    async def read(self, window: Any) -> EventsFound:
        self.reads += 1
        if self.reads - 1 == self.fails_at:
            raise ValueError("a fault")
        count = await window.open()
        pixels = (await window.read(range(count), size=(8, 8))).float()
        times = window.index.timestamps_seconds - window.index.timestamps_seconds[0]
        events = []
        for k, channel in enumerate((0, 2)):
            side = pixels[:, :, :, 4 * k : 4 * k + 4].mean((2, 3))
            there = (side[:, channel] > 200) & (side[:, 1] < 90)
            starts = [n for n in range(count) if there[n] and (n == 0 or not there[n - 1])]
            for n in starts:
                end = next((m for m in range(n, count) if not there[m]), count - 1)
                span = {"start_seconds": float(times[n]), "end_seconds": float(times[end])}
                events.append(Event(label=self.labels[k], score=0.9, **span))
        return EventsFound(events=tuple(events))


def pipe_of(reader: ColorReader, halt: str = "all") -> Any:
    config = SimpleNamespace(gap_seconds=0.0, halt=halt)
    return SimpleNamespace(reader=reader, batch_size=8, model=SimpleNamespace(config=config))


def told(watch: EventWatch) -> list[tuple[str, float, float, bool]]:
    return [
        (one["label"], round(one["start_seconds"], 3), round(one["end_seconds"], 3), one["is_open"])
        for one in watch
    ]


EVENTS = {"red": [(1.5, 2.2), (4.5, 9.4)], "blue": [(4.8, 5.1), (13.0, 15.0)]}
WANTED = [
    ("red", 1.5, 2.2, False),
    ("blue", 4.8, 5.1, False),
    ("red", 4.5, 9.4, False),
    ("blue", 13.0, 14.9, False),  # the last frame, which is shown at 14.9 s
]


@pytest.mark.parametrize("window_seconds", [0.9, 1.9, 3.3, 60.0])
def test_events_are_whole_wherever_windows_end(tmp_path: Path, window_seconds: float) -> None:
    data = video(tmp_path / "a.ts", 15, EVENTS)
    live = LiveVideo(io.BytesIO(data), window_seconds=window_seconds, overlap=True)
    watch = EventWatch(pipe_of(ColorReader()), live)
    assert sorted(told(watch)) == sorted(WANTED)
    assert watch.counts.told == 4
    assert watch.counts.windows_read == live.counts.windows
    assert watch.counts.cost.frames_decoded >= 150


def test_a_certain_event_is_told_while_it_goes_on_with_its_delay(tmp_path: Path) -> None:
    data = video(tmp_path / "a.ts", 15, EVENTS)
    live = LiveVideo(io.BytesIO(data), window_seconds=0.9, overlap=True)
    found = list(EventWatch(pipe_of(ColorReader()), live, certain=0.8))
    long = [one for one in found if one["label"] == "red" and one["start_seconds"] > 4]
    assert [one["is_open"] for one in long] == [True, False]
    # It begins at 4.5 s, in the window that ends at 5 s; it is over in that which ends at 10 s.
    assert long[0]["told_seconds"] == pytest.approx(5.0)
    assert long[0]["delay_seconds"] == pytest.approx(0.5)
    assert long[1]["end_seconds"] == pytest.approx(9.4)
    assert 9.4 < long[1]["told_seconds"] <= 10.01
    assert all(one["wall_delay_seconds"] >= 0 for one in found)


def test_what_is_open_is_told_when_the_stream_is_stopped(tmp_path: Path) -> None:
    data = video(tmp_path / "a.ts", 6, {"red": [(3.5, 99.0)]})
    read, write = os.pipe()
    stop = threading.Event()

    def feed() -> None:
        with os.fdopen(write, "wb", buffering=0) as file:
            file.write(data)
            time.sleep(0.8)
            stop.set()
            time.sleep(20.0)  # the pipe stays open

    threading.Thread(target=feed, daemon=True).start()
    with os.fdopen(read, "rb") as reader:
        live = LiveVideo(reader, window_seconds=0.9, stall_seconds=30, overlap=True, stop=stop)
        begun = time.monotonic()
        assert told(EventWatch(pipe_of(ColorReader()), live)) == [("red", 3.5, 5.9, False)]
    assert time.monotonic() - begun < 10
    assert live.state == "stopped"


def test_a_window_that_cannot_be_read_is_counted_and_the_watch_goes_on(tmp_path: Path) -> None:
    reader = ColorReader()
    reader.fails_at = 5  # from 5 to 6 s
    live = LiveVideo(
        io.BytesIO(video(tmp_path / "a.ts", 15, EVENTS)), window_seconds=0.9, overlap=True
    )
    watch = EventWatch(pipe_of(reader), live)
    found = told(watch)
    assert watch.counts.windows_failed == 1
    assert "a fault" in str(watch.counts.latest_fault)
    assert ("red", 1.5, 2.2, False) in found and ("blue", 13.0, 14.9, False) in found
    # What goes on beyond what is not known is told in two.
    red = [one for one in found if one[0] == "red"]
    assert red[1:] == [("red", 4.5, 5.0, False), ("red", 6.0, 9.4, False)]


def test_a_stream_without_events_tells_none(tmp_path: Path) -> None:
    live = LiveVideo(io.BytesIO(video(tmp_path / "a.ts", 3, {})), window_seconds=1, overlap=True)
    assert told(EventWatch(pipe_of(ColorReader()), live)) == []


def test_what_cannot_watch_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap=True"):
        EventWatch(pipe_of(ColorReader()), LiveVideo(io.BytesIO()))
    with pytest.raises(ValueError, match="halt='all'"):
        EventWatch(pipe_of(ColorReader(), "first"), LiveVideo(io.BytesIO(), overlap=True))
