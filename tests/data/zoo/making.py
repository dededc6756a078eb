"""Write numbered videos with PyAV, and copy their packets into other containers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from . import barcode

FRAMES, GOP, HEIGHT, WIDTH, RATE = 40, 10, 48, 64, 25


def encode(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = FRAMES,
    gop: int = GOP,
    b_frames: int = 0,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    pix_fmt: str = "yuv420p",
    turns: int = 0,
    first: int = 0,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    format: str | None = None,
    ticks: Sequence[int] | None = None,
    flags: int = 0,
    prepare: Callable[[Any], Callable[[], None]] | None = None,
    rate: int = RATE,
) -> Path:
    """Write a video whose frames carry their numbers.

    Args:
        path: Where to.
        codec: Encoder.
        frames: How many.
        gop: Frames from keyframe to keyframe.
        b_frames: Frames in a row that refer forward.
        size: (height, width) upright.
        pix_fmt: Pixel format.
        turns: Quarter turns counterclockwise that the player has to make.
        first: Number of the first frame.
        options: The encoder's options.
        muxing: The container's options.
        format: The container, when the name does not say.
        ticks: Time of each frame in milliseconds, for a variable rate.
        flags: Encoder flags to add.
        prepare: Adds streams before the video's; returns what fills them.
        rate: Frames per second, where `ticks` are not given.
    """
    fixed = {"libx264": {"sc_threshold": "0", "preset": "veryfast"}, "libx265": _X265}
    with av.open(str(path), "w", format=format, options=muxing or {}) as container:
        fill = prepare(container) if prepare else None
        stream = container.add_stream(codec, rate=rate)
        height, width = size if turns % 2 == 0 else size[::-1]
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.gop_size, context.thread_count = gop, 1
        context.max_b_frames = b_frames
        context.flags |= flags
        stream.options = {**fixed.get(codec, {}), **(options or {})}
        base = Fraction(1, rate) if ticks is None else Fraction(1, 1000)
        context.time_base = base
        if turns:
            stream.set_display_rotation(90 * turns if turns < 3 else -90)
        if fill:
            fill()
        for number in range(frames):
            image = np.rot90(barcode.draw(number + first, *size), -turns)
            frame = _frame(np.ascontiguousarray(image), pix_fmt)
            frame.pts, frame.time_base = number if ticks is None else ticks[number], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frame(image: np.ndarray, pix_fmt: str) -> av.VideoFrame:
    """Make a frame; one of palette colors has gray steps of 1, which nothing else converts to."""
    if pix_fmt != "pal8":
        return av.VideoFrame.from_ndarray(image, format="rgb24")
    steps = np.arange(256, dtype=np.uint8)
    palette = np.stack([np.full_like(steps, 255), steps, steps, steps], axis=1)
    return av.VideoFrame.from_ndarray((image[:, :, 0].copy(), palette), format="pal8")


os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder introduces itself at length
_X265 = {"x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0"}


def remux(
    source: Path,
    target: Path,
    *,
    shift: int = 0,
    start: int = 0,
    options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Copy the packets into another container.

    Args:
        source: From.
        target: To.
        shift: Frames of 1/25 s by which their times are moved.
        start: Leave out so many packets at the beginning.
        options: The container's options.
        format: The container, when the name does not say.
    """
    with (
        av.open(str(source)) as reader,
        av.open(str(target), "w", format=format, options=options or {}) as writer,
    ):
        stream = reader.streams.best("video")
        copy = writer.add_stream_from_template(stream)
        by = round(Fraction(shift, RATE) / stream.time_base)
        for number, packet in enumerate(p for p in reader.demux(stream) if p.size):
            if number < start:
                continue
            packet.stream = copy
            if packet.pts is not None:
                packet.pts += by
            if packet.dts is not None:
                packet.dts += by
            writer.mux(packet)
    return target


def sound(path: Path, *, codec: str = "aac", format: str | None = None) -> Path:
    """Write one second of silence."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        put_sound(container, stream)
    return path


def put_sound(container: Any, stream: Any) -> None:
    """Encode one second of silence into an open container."""
    for start in range(0, 16384, 1024):
        samples = np.zeros((1, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def replaced(data: bytes, place: int, new: bytes) -> bytes:
    """Overwrite bytes."""
    assert 0 <= place <= len(data) - len(new)
    return data[:place] + new + data[place + len(new) :]
