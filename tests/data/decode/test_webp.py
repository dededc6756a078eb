"""Animated WebP is a video: its frames, composed, and its times as Pillow has them."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageSequence

from temporal.data import Video, VideoError
from temporal.data.decode.isolation.pool import DecodePool

DELAYS_MS = [100, 50, 200, 30, 1, 400]


def _animation(*, has_holes: bool = False, delays=DELAYS_MS, **options) -> bytes:
    pictures = []
    for k in range(len(DELAYS_MS)):
        picture = Image.new("RGBA", (40, 30), (9, 90, 200, 0 if has_holes else 255))
        picture.paste((40 * k, 200, 50, 255), (5 * k, 3, 5 * k + 10, 20))
        pictures.append(picture)
    file = io.BytesIO()
    first, *others = pictures
    options = {"lossless": True, "duration": delays, **options}
    first.save(file, "WEBP", save_all=True, append_images=others, **options)
    return file.getvalue()


def _truth(content: bytes) -> np.ndarray:
    frames = ImageSequence.all_frames(Image.open(io.BytesIO(content)))
    return np.stack([np.asarray(frame.convert("RGB")) for frame in frames]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "options",
    [{}, {"lossless": False, "quality": 60}, {"has_holes": True}, {"minimize_size": True}],
)
def test_frames_and_times_are_those_of_pillow_in_any_order(options, tmp_path):
    content, starts = _animation(**options), [0, *itertools.accumulate(DELAYS_MS)]
    truth = _truth(content)
    path = tmp_path / "moving.webp"
    path.write_bytes(content)
    for source in (content, path, io.BytesIO(content)):
        with Video(source, index_cache_dir=tmp_path / "cache") as video:
            assert video.index.timestamps_seconds.tolist() == [at / 1000 for at in starts[:-1]]
            assert video.index.duration_seconds == starts[-1] / 1000
            assert (video.index.width, video.index.height) == (40, 30)
            for order in ([0, 1, 2, 3, 4, 5], [5], [3, 1], [2, 2], [5, 0, 4]):
                assert np.array_equal(video.read_array(order), truth[order])
            assert np.array_equal([f.image.numpy() for f in video.stream(0)], truth)
            due = [frame.timestamp_seconds for frame in video.stream(0.3)]
            assert due == [0, 0.35, 0.381][: len(due)] and len(due) == 2
            assert video.read([1], size=(16, 20)).shape == (1, 3, 16, 20)
            with pytest.raises(VideoError, match="animated WebP"):
                video.decode_apart([0], None)


def test_what_is_decoded_is_counted_and_what_is_behind_the_last_wanted_frame_is_not():
    with Video(_animation()) as video:
        assert video.cost([2]).frames_decoded == 3
        video.read([2])
        assert video.spent.frames_decoded == 3
        video.read([2, 4])
        assert video.spent.frames_decoded == 5
        assert video.spent.bytes_read == int(video.index.packet_bytes[:5].sum())
        video.expect([1, 3])
        video.read([5])
        assert video.spent.frames_decoded == 6


def test_in_a_worker_and_from_a_pipe():
    content = _animation()
    truth = _truth(content)
    with DecodePool(1, 30.0) as pool, pool.open(content) as video:
        assert np.array_equal(video.read([4, 1]).numpy(), truth[[4, 1]])
        assert len(list(video.stream(0))) == 6

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.rest = io.BytesIO(content)

        def read(self, size=-1):
            return self.rest.read(min(size, 100))

    assert np.array_equal([f.image.numpy() for f in Video(Pipe()).stream(0)], truth)


def test_a_frame_without_a_duration_is_shown_for_the_tenth_of_a_second_of_players():
    with Video(_animation(delays=0)) as video:
        assert np.diff(video.index.timestamps_seconds) == pytest.approx([0.1] * 5)


def test_of_a_file_that_was_cut_the_whole_frames_are_read():
    content = _animation(lossless=False)
    truth = _truth(content)
    with Video(content[:-20]) as video:
        assert video.index.fault == "truncated" and len(video) == 5
        assert np.array_equal(video.read_array(range(5)), truth[:5])
        with pytest.raises(VideoError) as caught:
            list(video.stream(0))
        assert caught.value.reason == "truncated" and caught.value.frames_read == 5


@pytest.mark.parametrize("kept", [13, 25, 40, 60])
def test_a_header_alone_is_no_video(kept):
    with pytest.raises(VideoError):
        len(Video(_animation()[:kept]))


def test_large_and_damaged_ones_are_refused():
    with pytest.raises(VideoError, match="max_pixels") as caught:
        len(Video(_animation(), max_pixels=1199))
    assert caught.value.reason == "too_large"
    content = bytearray(_animation())
    third = [at for at in range(len(content)) if content[at : at + 4] == b"ANMF"][2]
    content[third + 24 : third + 60] = b"\xff" * 36
    with Video(bytes(content)) as video, pytest.raises(VideoError) as caught:
        video.read(range(len(video)))
    assert caught.value.reason == "corrupt"
