"""What processors are told of frames' times: the frames' own, at constant and variable rates."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from transformers.video_utils import VideoMetadata

import temporal
from temporal.data import Video
from temporal.data.frames import Frames
from temporal.models.selection.clock import constant_rate, metadata_fields


def write(
    path: Path, ticks: list[int], base: Fraction, *, rate: Any = 25, codec: str = "mpeg4"
) -> Path:
    """A film whose frames are shown at these ticks."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        for number, tick in enumerate(ticks):
            image = np.full((32, 48, 3), 5 * number % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(15, 2)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_of_a_constant_rate_frames_have_their_own_numbers(
    tmp_path: Path, rate: Fraction, suffix: str
) -> None:
    path = write(tmp_path / f"constant.{suffix}", list(range(40)), 1 / rate, rate=rate)
    chosen = temporal.select(Video(path), 5, tolerance_seconds=0)
    told = chosen.metadata
    assert isinstance(told, VideoMetadata)
    assert told.frames_indices == chosen.frames == [4, 12, 20, 28, 36]
    assert (told.total_num_frames, told.width, told.height) == (40, 48, 32)
    assert told.fps == pytest.approx(float(rate), rel=1e-12)
    assert told.duration == pytest.approx(40 / rate, abs=2e-3)
    assert told.video_backend == "temporal"
    assert told.timestamps == pytest.approx(
        chosen.timestamps_seconds - Video(path).index.start_seconds, abs=1.1e-3
    )
    assert told.sampled_fps == pytest.approx(5 / 40 * float(rate))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_of_a_variable_rate_times_are_the_frames_own(tmp_path: Path, suffix: str) -> None:
    ticks = [0, 40, 80, 2000, 2040, 2080, 7000, 7040, 9000, 12000]
    path = write(tmp_path / f"variable.{suffix}", ticks, Fraction(1, 1000), rate=1000)
    chosen = temporal.select(Video(path), 10)
    told = chosen.metadata
    assert told.timestamps == pytest.approx([tick / 1000 for tick in ticks], abs=1e-6)
    assert told.total_num_frames / told.fps == pytest.approx(told.duration, abs=1e-3)
    assert told.sampled_fps == pytest.approx(10 / told.duration, rel=1e-3)
    assert told.frames_indices == sorted(set(told.frames_indices))
    assert constant_rate(Video(path).index) is None


def test_a_late_start_is_no_part_of_the_times(tmp_path: Path) -> None:
    ticks = [500 + 40 * number for number in range(20)]
    path = write(tmp_path / "late.mkv", ticks, Fraction(1, 1000))
    chosen = temporal.select(Video(path), 4)
    assert chosen.timestamps_seconds[0] == pytest.approx(0.5 + chosen.frames[0] / 25, abs=1e-3)
    assert chosen.metadata.timestamps == pytest.approx([frame / 25 for frame in chosen.frames])


def test_jitter_is_no_constant_rate() -> None:
    class Index:
        time_base = Fraction(1, 1000)
        duration_seconds = 4.0
        width = height = 8
        pts = np.array([0, 40, 85, 120, 160] * 1)
        timestamps_seconds = pts / 1000

        def __len__(self) -> int:
            return 5

    assert constant_rate(Index()) is None
    told = metadata_fields(Index(), [0, 2, 4])
    assert (told["fps"], told["frames_indices"]) == (1000.0, [0, 85, 160])


def test_frames_in_memory_and_single_frames(tmp_path: Path) -> None:
    frames = np.zeros((12, 8, 8, 3), np.uint8)
    told = temporal.select(Frames(frames, frames_per_second=12.5), 3).metadata
    assert (told.fps, told.frames_indices, told.total_num_frames) == (12.5, [2, 6, 10], 12)
    told = temporal.select(Frames(frames[:1]), 3).metadata
    assert told.frames_indices == [0] and told.timestamps == [0.0]


def test_each_reading_of_it_is_a_new_one() -> None:
    chosen = temporal.select(Frames(np.zeros((9, 8, 8, 3), np.uint8)), 3)
    chosen.metadata.frames_indices.append(7)  # as Qwen3-VL's processor does with odd numbers
    assert chosen.metadata.frames_indices == chosen.frames
    written = chosen.to_dict()
    assert written["metadata"]["frames_indices"] == chosen.frames
    assert written["timestamps_seconds"] == chosen.timestamps_seconds.tolist()
