"""What the pictures claim is what the traces say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from temporal.pipelines.command.inspect import reading_plans, uniform_frames
from temporal.pipelines.display.canvas import HALT, READ, Canvas
from temporal.pipelines.display.picture import save_picture
from temporal.pipelines.display.picture_video import _spaced, _spread
from temporal.pipelines.display.report import (
    cost_line,
    reading_panel,
    scaled,
    summary_table,
    title_of,
)
from temporal.pipelines.display.seen import focus_of, seen_lines
from temporal.pipelines.display.states import State, bins, unit_states, words
from temporal.pipelines.display.strip import draw_strip
from temporal.pipelines.jobs.table.row import row_of
from temporal.pipelines.jobs.table.summary import Summary, summarize
from temporal.pipelines.jobs.table.trace_column import trace_of
from temporal.pipelines.reading import Reading, ReadingError
from temporal.trace import Cost, Trace, View

READ_, SKIM, SKIP, LATER = State.READ, State.SKIMMED, State.SKIPPED, State.UNREACHED


def test_units_after_a_halt_were_not_reached() -> None:
    trace = Trace(unit="token", units_total=6, read=(0, 3), skimmed=(1,), halted_at=3)
    assert unit_states(trace) == [READ_, SKIM, SKIP, READ_, LATER, LATER]


def test_a_coarse_to_fine_reading_has_no_end_in_time() -> None:
    trace = Trace(unit="frame", units_total=5, read=(2, 0), halted_at=0)
    assert unit_states(trace) == [READ_, SKIP, READ_, SKIP, SKIP]


def test_a_reading_without_a_halt_skipped_what_it_left() -> None:
    assert unit_states(Trace(unit="frame", units_total=3, read=(0,))) == [READ_, SKIP, SKIP]


def test_a_word_has_the_most_that_was_done_with_its_units() -> None:
    # Units: un|read|able, films, -, so, the rest is past the reader's limit.
    text = "unreadable  films- so\nit goes"
    spans = [(0, 2), (2, 6), (6, 10), (12, 17), (17, 18), (19, 21)]
    trace = Trace(unit="token", units_total=6, read=(1, 4), skimmed=(0, 5), halted_at=4)
    found = words(text, spans, trace)
    assert [(w.text, w.state) for w in found] == [
        ("unreadable", READ_),
        ("films-", READ_),
        ("so", SKIM),
        ("it", LATER),
        ("goes", LATER),
    ]
    assert [w.text for w in found if w.halts] == ["films-"]


def test_special_tokens_without_characters_colour_no_word() -> None:
    trace = Trace(unit="token", units_total=3, read=(0, 2), skimmed=(1,))
    assert [w.state for w in words("one", [(0, 0), (0, 3), (0, 0)], trace)] == [SKIM]


def test_a_cell_shows_the_most_that_was_done() -> None:
    states = [SKIP] * 99 + [READ_]
    assert bins(states, 4) == [SKIP, SKIP, SKIP, READ_]
    assert bins([READ_, SKIP], 4) == [READ_, READ_, SKIP, SKIP]
    assert bins([], 4) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1500, "1.5 k"), (2.25e9, "2.25 G"), (3e15, "3 P")],
)
def test_large_numbers_are_scaled(number: float, text: str) -> None:
    assert scaled(number) == text


def video_row(source: str | None = None, **trace: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "unit": "frame",
        "units_total": 40,
        "read": (20, 0),
        "halted_at": 0,
        "halted_at_seconds": 0.0,
        "exit": 1,
        "num_exits": 8,
        "seconds_per_unit": 0.1,
        "cost": Cost(frames_decoded=3, macs=2_000_000, decode_seconds=0.001, model_seconds=0.002),
        **trace,
    }
    predictions = ({"label": "bridge", "score": 0.5},)
    reading = Reading(id="a/clip.mp4", predictions=predictions, trace=Trace(**options))
    return row_of(reading, source=source, target="train")


def text_row(text: str = "good $5 film", **trace: Any) -> dict[str, Any]:
    spans = [{"start": i, "end": i + 1} for i in range(len(text)) if text[i] != " "]
    options = {"unit": "token", "units_total": len(spans), "read": (0, 1), **trace}
    predictions = ({"label": "positive", "score": 0.9},)
    row = row_of(Reading(id="r1", predictions=predictions, trace=Trace(**options)))
    return {**row, "text": text, "spans": spans}


def test_a_line_of_cost_says_what_was_counted() -> None:
    row = video_row()
    assert title_of(row) == "clip.mp4  ·  bridge 50.0%  ·  labelled train"
    trace = Trace(unit="frame", units_total=40, read=(20, 0), halted_at_seconds=1.5, halted_at=15)
    assert cost_line(trace) == (
        "read 2 of 40 frames (5.0%) · halted at 1.5 s · 0 frames decoded · 0 MACs · "
        "decode 0.0 ms · model 0.0 ms"
    )
    glanced = replace(trace, skimmed=(3, 9), cost=Cost(frames_decoded=5, frames_glanced=2))
    assert "skimmed 2 · halted at 1.5 s · 5 frames decoded (2 to glance) · " in cost_line(glanced)


def test_the_terminal_tells_how_frames_were_seen() -> None:
    views = (
        View(units=(0, 10, 20), is_glance=True, size=(64, 64)),
        View(units=(20,), size=(96, 80), region=(10, 20, 96, 80)),
        View(units=(0,), size=(96, 80), region=(0, 4, 96, 80)),
    )
    row = video_row(views=views, confidences=(0.251, 0.98), skimmed=(10,))
    lines = seen_lines(trace_of(row) or Trace(unit="frame", units_total=0))
    assert lines == [
        "glanced at 3 frames at 64 x 64",
        "read 2 frames at 96 x 80, of a part (frame: height x width at top, left): "
        "20: 96 x 80 at (10, 20); 0: 96 x 80 at (0, 4)",
        "confidence 25 > 98 %",
        "at least 37 frames were never decoded",
    ]
    assert "glanced at 3 frames at 64 x 64" in printed(reading_panel(row))
    many = Trace(unit="frame", units_total=40, confidences=(0.5,) * 30 + (0.9,))
    assert seen_lines(many) == ["confidence " + "50 > " * 11 + "... > 90 %"]
    one = Trace(unit="frame", units_total=40, read=(3,), views=(View(units=(3, 3)),))
    assert seen_lines(one) == ["read 1 frame at their own size"]
    assert seen_lines(Trace(unit="token", units_total=9, read=(1,))) == []


def test_a_picture_draws_the_part_that_was_read(clip: Path, tmp_path: Path) -> None:
    def halt_coloured(**trace: Any) -> int:
        row = video_row(str(clip), read=(30,), halted_at=None, halted_at_seconds=None, **trace)
        save_picture([row], tmp_path / "picture.png")
        pixels = matplotlib.image.imread(tmp_path / "picture.png")[..., :3]
        wanted = np.array(matplotlib.colors.to_rgb(HALT))
        return int((np.abs(pixels - wanted) < 0.02).all(-1).sum())

    view = View(units=(30,), size=(24, 32), region=(12, 16, 24, 32))
    assert halt_coloured() == 0
    assert halt_coloured(views=(view,), confidences=(0.1, 0.9)) > 100
    assert focus_of(Trace(unit="frame", units_total=40, views=(view,)), 30) == (12, 16, 24, 32)
    assert focus_of(Trace(unit="frame", units_total=40, views=(view,)), 29) is None


def printed(*things: Any) -> str:
    console = Console(width=120, no_color=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(*things)
    return capture.get()


def test_the_terminal_shows_readings_and_errors() -> None:
    shown = printed(reading_panel(text_row(halted_at=1)))
    assert "good ⏹ halted here $5 film" in shown
    error = ReadingError(stage="open", reason="not_media", message="[b] is no video")
    shown = printed(reading_panel(row_of(Reading(id="[x].mp4", error=error))))
    assert "[x].mp4" in shown and "not_media (open): [b] is no video" in shown


def test_the_table_stands_beside_the_dense_reading() -> None:
    shown = printed(summary_table(summarize([video_row(), video_row()])))
    assert "2 inputs: 2 ok, 0 partial, 0 error" in shown
    cells = {row[1].strip(): [c.strip() for c in row[2:-1]] for row in _cells(shown)}
    assert cells["frames read"] == ["4", "80", "5.0%"]
    assert cells["frames decoded"] == ["6", "80", "7.5%"]
    assert cells["inputs halted early"] == ["2", "-", "100.0%"]
    assert cells["MACs"] == ["4 M", "-", "-"]
    assert cells["right predictions"] == ["0 of 2", "-", "0.0%"]


def exit_row(name: str, exit: int, target: str | None = None) -> dict[str, Any]:
    """Ten tokens, all read, through `exit + 1` of four layers of 25 MACs."""
    cost = Cost(macs=25 * (exit + 1))
    trace = Trace(
        unit="token", units_total=10, read=tuple(range(10)), exit=exit, num_exits=4, cost=cost
    )
    predictions = ({"label": "positive", "score": 0.9},)
    reading = Reading(id=name, predictions=predictions, trace=trace)
    return row_of(reading, target=target, dense_macs=100)


def test_exits_over_depth_show_what_they_saved() -> None:
    summary = summarize([exit_row("a", 0), exit_row("b", 1)])
    assert (summary.share_read, summary.share_computed) == (1.0, 0.375)
    cells = {
        row[1].strip(): [c.strip() for c in row[2:-1]]
        for row in _cells(printed(summary_table(summary)))
    }
    assert cells["tokens read"] == ["20", "20", "100.0%"]
    assert cells["MACs"] == ["75", "200", "37.5%"]
    assert cells["exits reached"] == ["3", "8", "37.5%"]
    assert list(cells).index("MACs") < list(cells).index("tokens read")
    panel = printed(reading_panel(exit_row("a", 0)))
    assert "read 10 of 10 tokens (100.0%)" in panel
    assert "25 MACs (25.0% of a full reading)" in panel


def test_labels_of_another_set_are_neither_right_nor_wrong() -> None:
    rows = [exit_row(f"r{k}", 3, target) for k, target in enumerate(["pos", "neg", "neg"])]
    labels = ["negative", "positive"]
    summary = summarize(rows, labels=labels)
    assert (summary.with_target, summary.correct, summary.accuracy) == (0, 0, None)
    assert (summary.foreign, summary.foreign_labels) == (3, ("pos", "neg"))
    shown = " ".join(printed(summary_table(summary)).split())
    assert "right predictions" not in shown
    assert "3 with a label that is none of the model's: 'pos', 'neg'" in shown
    assert "the model's: 'negative', 'positive'" in shown
    mixed = summarize([*rows, exit_row("r3", 3, "positive")], labels=labels)
    assert (mixed.with_target, mixed.correct, mixed.accuracy, mixed.foreign) == (1, 1, 1.0, 3)


def test_the_first_error_of_each_reason_is_told() -> None:
    rows = []
    for k, (reason, message) in enumerate(
        [("corrupt", "no [moov]"), ("not_media", "a text"), ("corrupt", "another")]
    ):
        error = ReadingError(stage="open", reason=reason, message=message)  # type: ignore[arg-type]
        rows.append(row_of(Reading(id=f"v{k}.mp4", error=error)))
    shown = printed(summary_table(summarize(rows)))
    assert "3 with an error: corrupt 2, not_media 1" in shown
    assert "first corrupt: v0.mp4: no [moov]" in " ".join(shown.split())
    assert "first not_media: v1.mp4: a text" in " ".join(shown.split())
    assert "another" not in shown


def test_an_empty_run_has_a_table() -> None:
    assert "0 inputs" in printed(summary_table(Summary()))


def _cells(shown: str) -> list[list[str]]:
    return [line.split("│") for line in shown.splitlines() if line.startswith("│")]


def test_a_strip_has_the_colour_of_each_unit(tmp_path: Path) -> None:
    canvas = Canvas(width=100)
    draw_strip(canvas, [READ_, SKIP, SKIP, LATER], 10, 5, 80, 20)
    canvas.save(tmp_path / "strip.png", height=30)
    pixels = matplotlib.image.imread(tmp_path / "strip.png")
    assert pixels.shape[:2] == (30, 100)
    colours = [matplotlib.colors.to_hex(pixels[15, x, :3]) for x in (20, 40, 60, 80)]
    assert colours[0] == READ and colours[1] == colours[2] != colours[3]
    assert matplotlib.colors.to_hex(pixels[2, 50, :3]) == "#ffffff"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of 64 x 48: the first half red, the second half blue."""
    import av

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(40):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[..., 0 if i < 20 else 2] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


def test_a_picture_shows_the_frames_that_were_read(clip: Path, tmp_path: Path) -> None:
    def colours(row: dict[str, Any]) -> tuple[int, int]:
        save_picture([row], tmp_path / "picture.png", heading="clips")
        pixels = matplotlib.image.imread(tmp_path / "picture.png")[..., :3]
        red = (pixels[..., 0] > 0.9) & (pixels[..., 1:] < 0.1).all(-1)
        blue = (pixels[..., 2] > 0.9) & (pixels[..., :2] < 0.1).all(-1)
        return int(red.sum()), int(blue.sum())

    red, blue = colours(video_row(str(clip), read=(0,)))
    assert red > 10_000 and blue == 0
    red, blue = colours(video_row(str(clip), read=(30, 5)))
    assert red > 10_000 and abs(red - blue) < 1000
    assert colours(video_row(str(clip) + ".gone")) == (0, 0)
    assert colours(video_row(None)) == (0, 0)


def test_a_page_of_everything_is_drawn(clip: Path, tmp_path: Path) -> None:
    rows = [
        video_row(str(clip), read=tuple(range(40)), halted_at=None),
        video_row(str(clip), read=(), halted_at=None, seconds_per_unit=None),
        text_row("word " * 2000),
        text_row("x" * 500),
        {k: v for k, v in text_row().items() if k not in ("text", "spans")},
    ]
    save_picture(rows, tmp_path / "picture.png")
    assert matplotlib.image.imread(tmp_path / "picture.png").shape[1] == 1600


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    error = ReadingError(stage="open", reason="not_found", message="gone")
    with pytest.raises(ValueError, match="at least one reading"):
        save_picture([row_of(Reading(id="x", error=error))], tmp_path / "picture.png")


def test_thumbnails_stay_apart_in_order_and_on_the_page() -> None:
    lefts = _spaced([0, 1, 99, 100], [20, 20, 20, 20], 0, 200)
    assert lefts == sorted(lefts) and lefts[0] >= 0 and lefts[-1] + 20 <= 200
    assert all(b - a >= 20 for a, b in zip(lefts, lefts[1:], strict=False))
    assert _spread(range(100), 4) == [0, 33, 66, 99]
    assert _spread([3, 5], 4) == [3, 5]


def test_plans_of_an_inspection() -> None:
    assert uniform_frames(16, 4) == [2, 6, 10, 14]
    assert uniform_frames(3, 16) == [0, 1, 2]
    plans = reading_plans(10, [0, 5])
    assert list(plans) == ["1 uniform", "4 uniform", "keyframes", "all"]
    assert plans["1 uniform"] == [5] and plans["keyframes"] == [0, 5]
