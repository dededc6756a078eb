"""Frames stand upright in all eight ways in which a picture may be stored, on every way to read."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import DecodePool, Video, evidence
from temporal.data.decode.headers.display import orientation_reader
from temporal.data.decode.pictures.orientation import Orientation, from_message

HEIGHT, WIDTH = 48, 64
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

# Where the corners go, by hand: top left, top right, bottom left, bottom right of what is shown.
# A stored pixel (x, y) is shown at (a x + c y, b x + d y).
WAYS: dict[str, tuple[tuple[int, int, int, int], tuple[Any, ...]]] = {
    "as_stored": ((1, 0, 0, 1), (RED, GREEN, BLUE, WHITE)),
    "left_and_right": ((-1, 0, 0, 1), (GREEN, RED, WHITE, BLUE)),
    "top_and_bottom": ((1, 0, 0, -1), (BLUE, WHITE, RED, GREEN)),
    "half_turn": ((-1, 0, 0, -1), (WHITE, BLUE, GREEN, RED)),
    "clockwise": ((0, 1, -1, 0), (BLUE, RED, WHITE, GREEN)),
    "counterclockwise": ((0, -1, 1, 0), (GREEN, WHITE, RED, BLUE)),
    "transposed": ((0, 1, 1, 0), (RED, BLUE, GREEN, WHITE)),
    "antitransposed": ((0, -1, -1, 0), (WHITE, GREEN, BLUE, RED)),
}
_named = pytest.mark.parametrize("way", WAYS)


def _corners_video(path: Path, codec: str = "libx264") -> bytes:
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for color, rows, columns in (
        (RED, slice(0, 24), slice(0, 32)),
        (GREEN, slice(0, 24), slice(32, 64)),
        (BLUE, slice(24, 48), slice(0, 32)),
        (WHITE, slice(24, 48), slice(32, 64)),
    ):
        image[rows, columns] = color
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 4, 1
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def _with_matrix(data: bytes, box: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Write a display matrix into a track's header (tkhd) or the movie's (mvhd)."""
    at = data.find(box) + 4 + {b"tkhd": 40, b"mvhd": 36}[box]
    a, b, c, d = (entry << 16 for entry in matrix)
    return data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _corners_video(tmp_path_factory.mktemp("corners") / "corners.mp4")


def _corners(image: np.ndarray) -> list[tuple[int, ...]]:
    """The colors in the middles of the four quarters, rounded to what was drawn."""
    height, width = image.shape[1:]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    found = [image[:, row, column] for row in rows for column in columns]
    return [tuple(int(value > 128) * 255 for value in color) for color in found]


@_named
def test_each_way_of_storing_on_each_way_of_reading(stored, way):
    matrix, corners = WAYS[way]
    source = _with_matrix(stored, b"tkhd", matrix)
    size = (WIDTH, HEIGHT) if matrix[0] == 0 else (HEIGHT, WIDTH)
    for backend in ("auto", "pyav"):
        video = Video(source, backend=backend)
        assert (video.index.height, video.index.width) == size
        for images in (video.read([0, 7]), video.read([9], size=(20, 28))):
            assert all(_corners(image.numpy()) == list(corners) for image in images)
    for frame in Video(source).stream(0):
        assert tuple(frame.image.shape[1:]) == size
        assert _corners(frame.image.numpy()) == list(corners)
    for small in (
        evidence.keyframe_thumbnails(Video(source), size=(16, 16)),
        evidence.low_resolution_scan(Video(source), 3, size=(16, 16)),
    ):
        assert all(_corners(image.numpy()) == list(corners) for image in small.images)


def test_the_movie_is_turned_after_the_track(stored):
    # The track mirrors, then the movie turns clockwise: together they transpose and turn.
    turned = _with_matrix(_with_matrix(stored, b"tkhd", (-1, 0, 0, 1)), b"mvhd", (0, 1, -1, 0))
    mirrored = np.flip(Video(stored).read([0])[0].numpy(), axis=2)
    expected = np.rot90(mirrored, -1, axes=(1, 2))
    assert np.array_equal(Video(turned).read([0])[0].numpy(), expected)
    assert np.array_equal(next(iter(Video(turned).stream(0))).image.numpy(), expected)


def test_workers_and_saved_indices_know_it(stored, tmp_path):
    path = tmp_path / "transposed.mp4"
    path.write_bytes(_with_matrix(stored, b"tkhd", WAYS["transposed"][0]))
    for _ in range(2):  # built, and from the cache
        video = Video(path, index_cache_dir=tmp_path / "cache")
        assert video.index.is_mirrored
        assert _corners(video.read([3])[0].numpy()) == list(WAYS["transposed"][1])
    with DecodePool(1, 20.0) as pool:
        isolated = pool.open(path)
        assert _corners(isolated.read([3])[0].numpy()) == list(WAYS["transposed"][1])
        assert _corners(next(isolated.stream(0)).image.numpy()) == list(WAYS["transposed"][1])


@pytest.mark.parametrize("way", [way for way in WAYS if way != "as_stored"])
def test_backends_that_do_not_turn_are_not_asked(stored, way):
    source = _with_matrix(stored, b"tkhd", WAYS[way][0])
    video = Video(source, backend="decord")
    assert video.backend == "pyav"
    assert _corners(video.read([5])[0].numpy()) == list(WAYS[way][1])
    assert Video(stored, backend="decord").backend == "decord"


# Orientation in the coded video: a message before the first picture


def _display_message(turn: int, flips: tuple[int, int]) -> bytes:
    bits = f"0{flips[0]}{flips[1]}{turn:016b}0101"  # holds until the next; no extension; stop bit
    content = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    return bytes([47, len(content)]) + content + b"\x80"


def _elementary(tmp_path: Path, codec: str, message: bytes) -> bytes:
    """An H.264 or HEVC stream with a message before its first picture."""
    name, header = {"libx264": ("a.h264", b"\x06"), "libx265": ("a.hevc", b"\x4e\x01")}[codec]
    data = _corners_video(tmp_path / name, codec)
    slices = {"libx264": (5,), "libx265": (19, 20)}[codec]
    place = -1
    while True:
        place = data.find(b"\0\0\1", place + 1)
        kind = data[place + 3] & 31 if codec == "libx264" else data[place + 3] >> 1 & 63
        if kind in slices:
            break
    return data[:place] + b"\0\0\1" + header + message + data[place:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_message_turns_all_frames_and_squeezes_none(tmp_path, codec):
    quarter = 1 << 14
    source = _elementary(tmp_path, codec, _display_message(quarter, (0, 0)))
    video = Video(source)
    assert (video.index.height, video.index.width) == (WIDTH, HEIGHT)
    assert video.index.rotation == 90
    corners = list(WAYS["counterclockwise"][1])
    assert all(_corners(image.numpy()) == corners for image in video.read(range(len(video))))
    streamed = list(Video(source).stream(0))
    assert len(streamed) == 10
    for frame in streamed:
        assert tuple(frame.image.shape[1:]) == (WIDTH, HEIGHT)
        assert _corners(frame.image.numpy()) == corners


def test_messages_are_read_as_their_bits_say():
    read = orientation_reader("h264", None)
    assert read is not None
    unit = b"\0\0\1\x06" + _display_message(3 << 14, (1, 0)) + b"\0\0\1\x65 picture"
    assert read(memoryview(unit)) == Orientation(1, True)  # mirrored first, then turned by 270
    assert read(memoryview(b"\0\0\1\x65 picture")) == Orientation()
    assert from_message(0, flips_across=True, flips_down=True) == Orientation(2)
    assert from_message(2 << 14, flips_across=False, flips_down=True) == Orientation(0, True)
