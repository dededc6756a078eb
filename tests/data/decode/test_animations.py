"""Moving GIF and PNG are videos: frames, times and random access as PyAV decodes them forward."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import zlib

import av
import numpy as np
import pytest
from PIL import Image

from temporal.data import Video, VideoError

DELAYS_MS = [100, 50, 200, 30, 100, 400]


def _pictures(has_holes: bool) -> list[Image.Image]:
    """A bar that moves over a background, which may be transparent."""
    found = []
    for k in range(len(DELAYS_MS)):
        background = (0, 0, 0, 0) if has_holes else (9, 90, 200, 255)
        picture = Image.new("RGBA", (40, 30), background)
        picture.paste((40 * k, 200, 50, 255), (5 * k, 3, 5 * k + 10, 20))
        found.append(picture)
    return found


def _animation(kind: str, **options) -> bytes:
    file = io.BytesIO()
    first, *others = _pictures(options.pop("has_holes", True))
    first.save(
        file, kind, save_all=True, append_images=others, duration=DELAYS_MS, loop=0, **options
    )
    return file.getvalue()


ANIMATIONS = {
    "gif restored": ("GIF", {"disposal": 2}),
    "gif kept": ("GIF", {"disposal": 1}),
    "gif previous": ("GIF", {"disposal": 3}),
    "gif opaque": ("GIF", {"has_holes": False}),
    "png over": ("PNG", {"blend": 1, "disposal": 1}),
    "png source": ("PNG", {"blend": 0}),
    "png opaque": ("PNG", {"has_holes": False}),
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_is_a_video(name):
    kind, options = ANIMATIONS[name]
    content = _animation(kind, **options)
    with av.open(io.BytesIO(content)) as container:
        forward = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    truth = np.stack(forward).transpose(0, 3, 1, 2)
    with Video(content) as video:
        starts = [0, *itertools.accumulate(DELAYS_MS)]
        assert video.index.timestamps_seconds.tolist() == pytest.approx(
            [start / 1000 for start in starts[:-1]], abs=1e-3
        )
        assert video.index.duration_seconds == pytest.approx(sum(DELAYS_MS) / 1000, abs=1e-3)
        assert (video.index.width, video.index.height) == (40, 30)
        for order in ([0, 1, 2, 3, 4, 5], [5], [3, 1], [2], [5, 0, 4]):
            assert np.array_equal(video.read_array(order), truth[order])
        streamed = [frame.image.numpy() for frame in video.stream(0)]
    assert np.array_equal(np.stack(streamed), truth)


@pytest.mark.parametrize("name", ANIMATIONS)
def test_what_covers_all_that_is_seen_is_what_pillow_shows(name):
    kind, options = ANIMATIONS[name]
    content = _animation(kind, **options)
    picture = Image.open(io.BytesIO(content))
    with Video(content) as video:
        for number, frame in enumerate(video.read_array(range(len(video)))):
            picture.seek(number)
            seen = np.asarray(picture.convert("RGBA"))
            opaque = seen[..., 3] == 255
            assert np.array_equal(frame.transpose(1, 2, 0)[opaque], seen[..., :3][opaque])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_a_cut_animation_gives_what_is_whole_of_it(kind):
    content = _animation(kind, **({"lossless": True} if kind == "WEBP" else {"has_holes": False}))
    truth = Video(content).read_array(range(len(DELAYS_MS)))
    num_refused = 0
    for end in range(120, len(content), max(1, len(content) // 40)):
        video = Video(content[:end])
        try:
            found = range(len(video))
        except VideoError as error:
            assert error.reason in ("truncated", "truncated_header", "corrupt", "not_video")
            continue
        for frame in found:
            try:
                assert np.array_equal(video.read_array([frame])[0], truth[frame])
            except VideoError as error:
                num_refused += 1
                assert error.reason in ("truncated", "corrupt")
        given = []
        with contextlib.suppress(VideoError):
            given.extend(frame.image.numpy() for frame in Video(content[:end]).stream(0))
        assert all(np.array_equal(one, other) for one, other in zip(given, truth, strict=False))
    assert kind == "WEBP" or num_refused


def test_a_delay_of_nothing_is_the_tenth_of_a_second_that_players_show():
    file = io.BytesIO()
    first, *others = _pictures(has_holes=False)
    first.save(file, "GIF", save_all=True, append_images=others, duration=0)
    with Video(file.getvalue()) as video:
        assert np.diff(video.index.timestamps_seconds) == pytest.approx([0.1] * 5)


def test_a_gif_of_one_picture_is_a_video_of_one_frame():
    file = io.BytesIO()
    _pictures(has_holes=False)[0].save(file, "GIF")
    with Video(file.getvalue()) as video:
        assert len(video) == 1 and video.read([0]).shape == (1, 3, 30, 40)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_still_picture_is_no_video(kind):
    file = io.BytesIO()
    _pictures(has_holes=False)[0].convert("RGB").save(file, kind)
    with pytest.raises(VideoError, match="is an image") as caught:
        len(Video(file.getvalue()))
    assert caught.value.reason == "not_video"


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _with_text(content: bytes, text: bytes) -> bytes:
    """A PNG with a text after its header."""
    return content[:33] + _chunk(b"tEXt", b"Comment\0" + text) + content[33:]


@pytest.mark.parametrize("text", [b"x" * 5000, b"x" * 100_000, b"IDAT acTL", b"IDAT" * 500])
def test_metadata_before_the_mark_of_an_apng_hides_it_not(text, tmp_path):
    content = _animation("PNG", has_holes=False)
    long = _with_text(content, text)
    path = tmp_path / "moving.png"
    path.write_bytes(long)
    wanted = Video(content).read_array(range(6))
    for source in (long, path, io.BytesIO(long)):
        assert np.array_equal(Video(source).read_array(range(6)), wanted)
    file = io.BytesIO()
    _pictures(has_holes=False)[0].save(file, "PNG")
    with pytest.raises(VideoError, match="is an image"):
        len(Video(_with_text(file.getvalue(), text)))
