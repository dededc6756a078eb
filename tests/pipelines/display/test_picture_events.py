"""The timeline of a video with events: bars, scores and looks lie where the row says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from temporal.pipelines.display.canvas import HALT, READ, SKIMMED, Canvas
from temporal.pipelines.display.event_lines import clock, event_lines
from temporal.pipelines.display.picture import save_picture
from temporal.pipelines.display.picture_events import _COLORS, _frame_of, draw_events
from temporal.pipelines.display.report import reading_panel
from temporal.pipelines.display.seen import view_lanes
from temporal.pipelines.exports.span import spans_of
from temporal.pipelines.jobs.table.row import row_of
from temporal.pipelines.reading import Reading
from temporal.pipelines.tasks.registry import TaskRecord
from temporal.trace import Cost, Trace, View

RECORD = TaskRecord(
    name="events",
    kind="video",
    load=".none:none",
    predictions=".none:none",
    columns={"label": str, "score": float, "start_seconds": float, "end_seconds": float},
)


def event(label: str | None, start: float | None, end: float | None, score: float) -> Any:
    return {"label": label, "score": score, "start_seconds": start, "end_seconds": end}


def trace(**changes: Any) -> Trace:
    """Of 1,000 frames, ten a second."""
    fields: dict[str, Any] = {
        "unit": "frame",
        "units_total": 1000,
        "seconds_per_unit": 0.1,
        "read": (250, 260),
        "skimmed": (0, 250, 500, 750),
        "places": (0, 250, 500, 750),
        "place_scores": (0.0, 1.0, 0.5, 0.25),
        "views": (
            View(units=(0, 250, 500, 750), is_glance=True, size=(64, 64)),
            View(units=(250, 260), size=(224, 224)),
        ),
        "cost": Cost(frames_decoded=14),
    }
    return Trace(**{**fields, **changes})


def row(*events: Any, trace: Trace, source: str | None = None) -> dict[str, Any]:
    reading = Reading(id="clips/long.mp4", predictions=events, trace=trace)
    return row_of(reading, task=RECORD, source=source)


class Recorder(Canvas):
    """Keeps what is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: list[tuple[float, float, str]] = []
        self.lines: list[tuple[tuple[float, ...], tuple[float, ...], str]] = []
        self.texts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, **look: Any) -> None:
        self.boxes.append((x, width, look["color"]))
        super().box(x, y, width, height, **look)

    def line(self, xs: Any, ys: Any, **look: Any) -> None:
        self.lines.append((xs, ys, look["color"]))
        super().line(xs, ys, **look)

    def text(self, x: float, baseline: float, text: str, **look: Any) -> None:
        self.texts.append(text)
        super().text(x, baseline, text, **look)


def test_bars_lie_at_the_times_of_events() -> None:
    events = [event("fall", 25, 30, 0.9), event("sit", 50, 60, 0.8), event("fall", 80, 100, 0.7)]
    canvas = Recorder()
    draw_events(canvas, row(*events, trace=trace()), trace(), 100.0, 0.0, 1000.0)
    bars = [(x, width) for x, width, color in canvas.boxes if color == _COLORS[0]]
    assert bars == [(pytest.approx(350), pytest.approx(50)), (900, 200)]  # 100 s on 1,000 pixels
    assert [(x, w) for x, w, color in canvas.boxes if color == _COLORS[1]] == [
        (pytest.approx(600), pytest.approx(100))
    ]
    assert "fall: 2" in canvas.texts and "sit: 1" in canvas.texts
    assert "1:40.0" not in canvas.texts  # short enough for seconds
    assert "100.0 s" in canvas.texts


def test_scores_are_steps_over_their_places() -> None:
    canvas = Recorder()
    draw_events(canvas, row(trace=trace()), trace(), 0.0, 0.0, 1000.0)
    assert "no events were found" in canvas.texts
    ((xs, ys, _),) = [line for line in canvas.lines if line[2] == HALT]
    assert xs == (0, 250, 250, 500, 500, 750, 750, 1000)
    height = max(ys) - min(ys)
    assert [round((max(ys) - y) / height, 6) for y in ys] == [0, 0, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_what_was_seen_at_which_size_has_a_lane_each() -> None:
    assert view_lanes(trace()) == [
        ("glanced at 4 frames at 64 x 64", [0, 250, 500, 750]),
        ("read 2 frames at 224 x 224", [250, 260]),
    ]
    canvas = Recorder()
    draw_events(canvas, row(trace=trace()), trace(), 0.0, 0.0, 1000.0)
    ticks = {
        color: [xs[0] for xs, _, own in canvas.lines if own == color and xs[0] == xs[1]]
        for color in (SKIMMED, READ)
    }
    assert ticks == {SKIMMED: [0, 250, 500, 750], READ: [250, 260]}


def test_the_frame_of_an_event_is_one_that_was_read() -> None:
    (inside,) = spans_of([event("fall", 24, 27, 0.9)])
    assert _frame_of(trace(), inside) == 250  # the middle is 255
    (other,) = spans_of([event("fall", 90, 130, 0.9)])
    assert _frame_of(trace(), other) == 999


def test_the_terminal_lists_events_in_the_order_of_time() -> None:
    events = [event("b", 3700.04, 3725, 0.5), event("a", 1.26, 2, 0.975)]
    assert event_lines(row(*events, trace=trace())) == [
        "0:01.3 - 0:02.0  a  97.5%",
        "1:01:40.0 - 1:02:05.0  b  50.0%",
    ]
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(reading_panel(row(*events, trace=trace())))
    console.file.close()
    assert "0:01.3 - 0:02.0  a  97.5%" in console.export_text()
    assert event_lines(row(event(None, None, None, 0.1), trace=trace())) == []
    assert [clock(s) for s in (0, 59.96, 3599.96)] == ["0:00.0", "1:00.0", "1:00:00.0"]


def test_a_picture_of_a_video_has_frames_of_its_events(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(60):
            image = np.full((48, 64, 3), (255, 0, 0) if 20 <= number < 30 else 128, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    own = trace(units_total=60, read=(25,), skimmed=(0,), places=(), place_scores=(), views=())
    made = row(event("red", 2, 3, 0.9), trace=own, source=str(path))
    save_picture([made], tmp_path / "a.png", draw=draw_events)
    pixels = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    is_red = (pixels[..., 0] > 0.9) & (pixels[..., 1:] < 0.1).all(-1)
    assert is_red.sum() > 1000  # the frame at 2.5 s
    gone = row(event("red", 2, 3, 0.9), trace=own, source=str(tmp_path / "gone.mp4"))
    save_picture([gone, row(trace=own)], tmp_path / "b.png", draw=draw_events)
