"""Tiny videos whose frames carry their number, and an oracle that decodes them forward."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

FRAMES, HEIGHT, WIDTH = 60, 48, 64
BITS = 8


def barcode(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """An image of eight bars, white where the number has a 1; survives lossy coding."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bits, dtype=np.uint8) * 200 + 28, width // BITS)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def number_of(image: np.ndarray) -> int:
    """Read the number back from uint8 [3, height, width]."""
    bars = image.mean(axis=(0, 1)).reshape(BITS, -1).mean(axis=1)
    return int(sum(1 << bit for bit in range(BITS) if bars[bit] > 128))


def encode(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = FRAMES,
    gop: int = 12,
    b_frames: int = 2,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video of numbered frames, 25 per second."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if b_frames:
            stream.codec_context.max_b_frames = b_frames
        stream.options = {"sc_threshold": "0", **(options or {})} if "264" in codec else {}
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            image = av.VideoFrame.from_ndarray(barcode(number, height, width), format="rgb24")
            image.pts, image.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def remux(
    source: Path, target: Path, *, shift: int = 0, options: dict[str, str] | None = None
) -> Path:
    """Copy the packets into another container, their times shifted by so many frames."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        by = round(shift / 25 / stream.time_base)
        for packet in reader.demux(stream):
            if packet.size:
                packet.stream = copy
                packet.pts += by
                packet.dts += by
                writer.mux(packet)
    return target


def decode_forward(path: Path) -> tuple[np.ndarray, list[float]]:
    """The oracle: all frames, uint8 [N, 3, H, W], and their times."""
    images, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.best("video")):
            image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
            images.append(image.transpose(2, 0, 1))
            times.append(frame.time)
    return np.stack(images), times


def _fragment(source: Path, target: Path) -> Path:
    return remux(source, target, options={"movflags": "frag_keyframe+empty_moov"})


def _cut(source: Path, target: Path) -> Path:
    """An edit list hides the first 5 frames: what a cut without re-encoding makes."""
    return remux(source, target, shift=-5, options={"avoid_negative_ts": "disabled"})


_BUILDERS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda d: encode(d / "h264.mp4"),
    "h264_no_b.mp4": lambda d: encode(d / "h264_no_b.mp4", b_frames=0, options={"bf": "0"}),
    "h264_one_key.mp4": lambda d: encode(d / "h264_one_key.mp4", gop=600),
    "h264_intra.mp4": lambda d: encode(d / "h264_intra.mp4", gop=1, b_frames=0),
    "h264_open_gop.mp4": lambda d: encode(
        d / "h264_open_gop.mp4", options={"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}
    ),
    "h264.mkv": lambda d: remux(encode(d / "a.mp4"), d / "h264.mkv"),
    "h264.ts": lambda d: remux(encode(d / "b.mp4"), d / "h264.ts"),
    "h264_no_b.ts": lambda d: remux(
        encode(d / "j.mp4", b_frames=0, options={"bf": "0"}), d / "h264_no_b.ts"
    ),
    "h264_open_gop.ts": lambda d: remux(
        encode(d / "c.mp4", options={"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}),
        d / "h264_open_gop.ts",
    ),
    "h264.avi": lambda d: encode(d / "h264.avi"),
    "h264.flv": lambda d: remux(encode(d / "e.mp4"), d / "h264.flv"),
    "late.mp4": lambda d: remux(encode(d / "f.mp4"), d / "late.mp4", shift=250),
    "late.mkv": lambda d: remux(encode(d / "g.mp4"), d / "late.mkv", shift=250),
    "cut.mp4": lambda d: _cut(encode(d / "h.mp4"), d / "cut.mp4"),
    "fragmented.mp4": lambda d: _fragment(encode(d / "i.mp4"), d / "fragmented.mp4"),
    "vp9.webm": lambda d: encode(d / "vp9.webm", codec="libvpx-vp9", b_frames=0),
    "vp8.webm": lambda d: encode(d / "vp8.webm", codec="libvpx", b_frames=0),
    "mpeg4.avi": lambda d: encode(d / "mpeg4.avi", codec="mpeg4", b_frames=0),
    "mpeg4_b.avi": lambda d: encode(d / "mpeg4_b.avi", codec="mpeg4"),
    "mpeg2.mpg": lambda d: encode(d / "mpeg2.mpg", codec="mpeg2video"),
    "hevc.mp4": lambda d: encode(d / "hevc.mp4", codec="libx265", options={}),
    "rotated.mp4": lambda d: encode(d / "rotated.mp4", rotation=90),
}

CLIPS = tuple(_BUILDERS)


class Clips:
    """Makes each clip once per session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Path] = {}
        self._truth: dict[str, tuple[np.ndarray, list[float]]] = {}

    def path(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = _BUILDERS[name](self.folder)
        return self._made[name]

    def truth(self, name: str) -> tuple[np.ndarray, list[float]]:
        if name not in self._truth:
            self._truth[name] = decode_forward(self.path(name))
        return self._truth[name]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "clip_name" in metafunc.fixturenames:
        metafunc.parametrize("clip_name", CLIPS)


@pytest.fixture
def read_number() -> Callable[[np.ndarray], int]:
    return number_of


@pytest.fixture
def encode_video() -> Callable[..., Path]:
    return encode


@pytest.fixture
def forward() -> Callable[[Path], tuple[np.ndarray, list[float]]]:
    return decode_forward
