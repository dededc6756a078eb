"""Videos with sound, made here."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from temporal.data import Video as Video

Tone = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def write_sounding(
    path: Path,
    tone: Tone | None,
    *,
    codec: str = "aac",
    rate: int = 44_100,
    layout: str = "stereo",
    seconds: float = 2.0,
    frames_per_second: int = 10,
    seed: int = 0,
) -> Path:
    """A video of coarse noise, 32 x 32, and beside it `tone(seconds)` on all channels; or none."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=frames_per_second)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        video.codec_context.gop_size = 1
        sound = None
        if tone is not None:
            sound = container.add_stream(codec, rate=rate)
            sound.layout = layout
        for k in range(round(seconds * frames_per_second)):
            coarse = random.integers(0, 255, (4, 4, 3)).astype(np.uint8)
            image = np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, frames_per_second)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None and tone is not None:
            for start in range(0, round(seconds * rate), 1024):
                times = np.arange(start, min(start + 1024, round(seconds * rate))) / rate
                wave = np.tile(tone(times).astype(np.float32), (2 if layout == "stereo" else 1, 1))
                piece = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
                piece.sample_rate, piece.pts, piece.time_base = rate, start, Fraction(1, rate)
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return path


def sine(hertz: float) -> Tone:
    """A tone at half of full scale."""
    return lambda times: 0.5 * np.sin(2 * np.pi * hertz * times)


def loudest_hertz(samples: NDArray[np.float32], rate: int) -> float:
    """The frequency of the highest peak."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[spectrum.argmax()])
