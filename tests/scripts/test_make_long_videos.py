"""Joined videos are their clips' frames, in the order that the tables say."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import Video

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_long_videos.py"
SECONDS = 2.0


def write_clip(path: Path, level: int) -> None:
    """Twenty grey frames at 10 a second, as bright as `level`."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            image = np.full((48, 64, 3), level, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: Any) -> Path:
    """Of one camera: events are bright, others dark, in groups of their own."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number in range(18):
        label = "fall" if number < 4 else "usual"
        name = f"{number:02d}.mp4"
        write_clip(folder / name, 220 if label == "fall" else 10 + 5 * number)
        rows.append({"path": name, "label": label, "group": f"g{number}", "camera": "one"})
    with (folder / "groups.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def make(clips: Path, out: Path, *options: str) -> list[list[dict[str, str]]]:
    """Run the script; its tables of videos and of events."""
    given = [str(clips), "--event", "fall", "--output_dir", str(out), "--num_videos", "2"]
    before, sys.argv = sys.argv, [str(SCRIPT), *given, "--minutes", "0.1", "0.2", *options]
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    finally:
        sys.argv = before
    tables = [(out / f"{name}.csv").read_text().splitlines() for name in ("videos", "events")]
    return [list(csv.DictReader(lines)) for lines in tables]


@pytest.mark.parametrize("form", ["copied", "encoded"])
def test_the_event_is_where_the_table_says(form: str, clips: Path, tmp_path: Path) -> None:
    videos, events = make(clips, tmp_path, "--form", form, "--splits", "test")
    assert [row["label"] for row in videos] == ["fall", "none"]
    starts = {row["video"]: float(row["start_seconds"]) for row in events}
    assert starts.keys() == {row["path"] for row in videos if row["label"] == "fall"}
    for row in videos:
        with Video(tmp_path / row["path"]) as video:
            times = np.array(video.index.timestamps_seconds)
            bright = (
                video.read(range(len(video)), size=(8, 8)).float().mean((1, 2, 3)).numpy() > 150
            )
            size = video.read([0]).shape[-2:]
        assert tuple(size) == ((48, 64) if form == "copied" else (720, 1280))
        start = starts.get(row["path"])
        want = np.zeros_like(bright)
        if start is not None:
            rate = 25 if form == "encoded" else 10
            seconds = 20 / rate  # an encoded one plays the clip's frames at its own rate
            want = (times > start - 0.01) & (times < start + seconds - 0.01)
            assert want.sum() == 20
        assert (bright == want).all()


def test_the_same_seed_makes_the_same_videos(clips: Path, tmp_path: Path) -> None:
    first = make(clips, tmp_path / "a")
    assert make(clips, tmp_path / "b") == first
    for row in first[0]:
        one, other = (tmp_path / folder / row["path"] for folder in "ab")
        assert one.read_bytes() == other.read_bytes()
    assert make(clips, tmp_path / "c", "--seed", "1")[1] != first[1]
