"""The sound of a container: what it is, where it begins, what it costs, and where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import DecodePool, Video, VideoError
from temporal.data.frames import Frames
from temporal.engine import Engine

from .sounding import loudest_hertz, sine, write_sounding

FORMS: dict[str, dict[str, Any]] = {
    "a.mp4": {},
    "a.mkv": {"codec": "flac", "rate": 48_000, "layout": "mono"},
    "a.mov": {"codec": "pcm_s16le", "rate": 8_000},
    "a.avi": {"codec": "mp3", "rate": 22_050},
    "a.ts": {"codec": "mp2", "rate": 48_000},
}


@pytest.mark.parametrize("name", FORMS)
def test_one_channel_at_one_rate_whatever_the_container_has(name: str, tmp_path: Path) -> None:
    video = Video(write_sounding(tmp_path / name, sine(1000), **FORMS[name]))
    sound = video.audio()
    assert sound is not None and sound.samples.dtype == np.float32 and sound.rate == 16_000
    assert abs(len(sound.samples) / sound.rate - 2.0) < 0.15
    middle = sound.samples[8_000:24_000]
    assert loudest_hertz(middle, 16_000) == pytest.approx(1000, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.1) and np.abs(sound.samples).max() <= 1
    first = video.index.timestamps_seconds[0]
    assert abs(sound.start_seconds - first) < 0.1  # a transport stream begins at 1.4 s


def test_it_is_counted_apart_from_frames_and_moves_no_reading(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mov", sine(440), codec="pcm_s16le", rate=8_000)
    video, other = Video(path), Video(path)
    video.read([3])
    before = video.spent
    assert video.audio() is not None
    spent = video.spent - before
    assert spent.audio_seconds == pytest.approx(2.0) and spent.frames_decoded == 0
    assert spent.bytes_read == 16_000 * 2 * 2  # stereo, of two bytes: none of a frame's
    other.read([3])
    assert np.array_equal(video.read_array([4]), other.read_array([4]))


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    video = Video(write_sounding(tmp_path / "a.mp4", None))
    assert video.audio() is None and video.spent.audio_seconds == 0
    moving = tmp_path / "a.webp"
    from PIL import Image

    pictures = [Image.new("RGB", (32, 32), (40 * k, 0, 0)) for k in range(4)]
    pictures[0].save(moving, save_all=True, append_images=pictures[1:])
    assert Video(moving).audio() is None


def test_sound_that_is_damaged_is_an_error_and_not_silence(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mkv", sine(440), codec="flac")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.audio[0]):
            if packet.size:
                at = data.index(bytes(packet)[:16])
                data[at : at + packet.size] = bytes(packet.size)
    (tmp_path / "b.mkv").write_bytes(data)
    with pytest.raises(VideoError, match="b.mkv: its sound cannot be decoded") as caught:
        Video(tmp_path / "b.mkv").audio()
    assert caught.value.reason == "corrupt"


def test_a_reader_hears_what_there_is_and_the_trace_counts_it(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mp4", sine(700))

    async def listen(video: Any) -> Any:
        await video.open()
        return await video.audio()

    with DecodePool(1, 60.0) as pool:
        sources = [Video(path), pool.open(path), Frames(np.zeros((4, 8, 8, 3), dtype=np.uint8))]
        file, worker, memory = Engine(1, deterministic=True).run(listen, sources)
    assert np.array_equal(file.value.samples, worker.value.samples) and memory.value is None
    assert file.trace is not None and worker.trace is not None and memory.trace is not None
    assert file.trace.cost.audio_seconds == worker.trace.cost.audio_seconds >= 2
    assert memory.trace.cost.audio_seconds == 0 and not file.trace.read


def test_numbers_that_are_no_sound_are_silence(tmp_path: Path) -> None:
    def wave(times: Any) -> Any:
        return np.where(times < 1.0, np.nan, sine(440)(times))

    path = write_sounding(tmp_path / "a.mov", wave, codec="pcm_f32le", rate=16_000)
    sound = Video(path).audio()
    assert sound is not None and np.isfinite(sound.samples).all()
    assert not sound.samples[:15_000].any() and np.abs(sound.samples[17_000:]).max() > 0.4
