"""Ten videos at a time, of very different length, keep a backbone's batches full. Counters only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import Video
from temporal.engine import Engine

from .video_readers import OPTIONS, SIZES, VIDEO_READERS, video_reader

IN_FLIGHT, BATCH, MOST_READ = 10, 8, 32
LENGTHS = [5, 500, 7, 260, 12, 40, 90, 5, 150, 9]
BACKBONE = {"clip_reader": "classify", "clip_early_exit": "segments.0"}
QUICK = ("ada_frame", "clip_reader", "frame_exit")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lengths")
    return [write(folder / f"{k}.mp4", length, k) for k, length in enumerate(LENGTHS)]


def write(path: Path, length: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "bf": "0"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for _ in range(length):
            coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            pixels = np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in VIDEO_READERS],
)
def test_batches_are_full(name: str, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a video of 5 frames 5 are read, of a long one 32: readers end and begin all the time."""
    monkeypatch.setitem(SIZES, "num_frames", MOST_READ)
    if "num_candidates" in OPTIONS.get(name, {}):
        monkeypatch.setitem(OPTIONS[name], "num_candidates", MOST_READ)
    reader = video_reader(name)
    stage = reader
    for part in BACKBONE.get(name, "features").split("."):
        stage = stage[int(part)] if part.isdigit() else getattr(stage, part)
    begun, ended, most_held = 0, 0, 0

    def videos() -> Iterator[Any]:
        nonlocal begun, most_held
        for path in paths * 4:
            begun += 1
            most_held = max(most_held, begun - ended)
            yield Video(path)

    engine = Engine(IN_FLIGHT, max_batch_size=BATCH, deterministic=True, count_macs=False)
    before = stage.calls, stage.rows
    for outcome in engine.run(reader.read, videos()):
        assert outcome.error is None and outcome.trace is not None
        ended += 1
    assert ended == 4 * len(LENGTHS)
    calls, rows = stage.calls - before[0], stage.rows - before[1]
    assert rows / calls >= 0.8 * BATCH
    # Those in flight, and answers that wait for their turn behind a longer video's.
    assert most_held <= 5 * IN_FLIGHT
