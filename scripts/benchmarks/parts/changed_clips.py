"""Clips as another camera might give them: darker, out of focus, or coded with few bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

CHANGES = ("dark", "bright", "blur", "codec")


def _light(pixels: np.ndarray, factor: float) -> np.ndarray:
    return (pixels * factor).clip(0, 255).astype(np.uint8)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(pixels)
    small = frame.reformat(width=frame.width // 6, height=frame.height // 6)
    return small.reformat(width=frame.width, height=frame.height).to_ndarray(format="rgb24")


_PIXELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dark": lambda pixels: _light(pixels, 0.35),
    "bright": lambda pixels: _light(pixels, 1.8),
    "blur": _blurred,
    "codec": lambda pixels: pixels,
}


def changed_clip(path: Path, change: str, target: Path) -> Path:
    """Write a clip anew, changed.

    Args:
        path: of the clip.
        change: one of `CHANGES`; `"codec"` codes at a quantiser of 45, the others at 18.
        target: file to write; one that is there is kept.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = target.with_suffix(".part.mp4")
    quality = "45" if change == "codec" else "18"
    with av.open(str(path)) as source, av.open(str(whole), "w") as made:
        video = source.streams.video[0]
        stream = made.add_stream(
            "libx264",
            rate=video.average_rate or 25,
            options={"crf": quality, "preset": "veryfast", "g": "250"},
        )
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in source.decode(video):
            pixels = _PIXELS[change](frame.to_ndarray(format="rgb24"))
            made.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        made.mux(stream.encode(None))
    whole.rename(target)
    return target
