"""Clips of 720p with a keyframe every 250 frames, which are long to read between keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

_ENCODED = 1000
_OPTIONS = {"preset": "veryfast", "g": "250", "keyint_min": "250", "sc_threshold": "0"}


def make_clip(path: Path, num_frames: int, *, seed: int = 0) -> Path:
    """A 720p clip of textures that drift, now slowly and now fast, with a keyframe every 250.

    What comes after the first 1,000 frames is these again, copied.
    """
    random = np.random.default_rng(seed)
    texture = random.integers(0, 256, (90, 240, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    partial = path.with_name(f"partial_{path.name}")
    with av.open(str(partial), "w") as container:
        stream = _stream(container)
        left = 0
        for number in range(min(num_frames, _ENCODED)):
            left += 9 if number // 40 % 4 == 1 else 1
            view = np.roll(texture, -left, 1)[:, :1280]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if num_frames > _ENCODED:
        repeat(partial, num_frames)
    partial.rename(path)
    return path


def repeat(path: Path, num_frames: int) -> None:
    """Copy a clip's packets behind each other until there are so many frames."""
    longer = path.with_name(f"longer_{path.name}")
    with av.open(str(path)) as given:
        packets = [
            (bytes(one), one.pts, one.dts, one.is_keyframe)
            for one in given.demux(video=0)
            if one.size
        ]
        stream, base = given.streams.video[0], given.streams.video[0].time_base
        assert base is not None
        length = round(len(packets) / 25 / base)
        with av.open(str(longer), "w") as container:
            copied = container.add_stream_from_template(stream)
            for number in range(num_frames):
                data, pts, dts, is_keyframe = packets[number % len(packets)]
                packet = av.Packet(data)
                packet.stream, packet.time_base = copied, base
                moved = number // len(packets) * length
                packet.pts, packet.dts = (pts or 0) + moved, (dts or 0) + moved
                packet.is_keyframe = is_keyframe
                container.mux(packet)
    longer.rename(path)


def join(files: Sequence[Path], path: Path, num_frames: int) -> Path:
    """Clips one after another, scaled and at 25 a second, and all of them again when they end."""
    partial = path.with_name(f"partial_{path.name}")
    with av.open(str(partial), "w") as container:
        stream, count = _stream(container), 0
        while count < num_frames:
            before = count
            for file in files:
                count = _append(file, container, stream, count, num_frames)
            if count == before:
                raise ValueError("none of the files has a frame with a time")
        container.mux(stream.encode(None))
    partial.rename(path)
    return path


def _stream(container: Any) -> Any:
    stream = container.add_stream("libx264", rate=25, options=_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
    return stream


def _append(file: Path, container: Any, stream: Any, count: int, num_frames: int) -> int:
    """Encode a clip's frames, each as long as it is shown; return how many there are then."""
    base, start = count, None
    with av.open(str(file)) as given:
        for frame in given.decode(video=0):
            if frame.time is None:
                continue
            start = frame.time if start is None else start
            image = frame.reformat(1280, 720, "yuv420p")
            while count <= base + int((frame.time - start) * 25):
                if count >= num_frames:
                    return count
                image.pts, image.time_base, image.pict_type = count, Fraction(1, 25), 0
                container.mux(stream.encode(image))
                count += 1
    return count
