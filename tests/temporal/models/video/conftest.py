"""Small films for the readers of videos."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from .video_laws import World
from .video_readers import SIDE


def film(path: Path, *, codec: str, gop: int, size: tuple[int, int], frames: int = 60) -> Path:
    """Frames of changing colours and noise, with a keyframe every `gop` frames."""
    height, width = size
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.options = {"sc_threshold": "1000000000"}
        colours = random.integers(0, 192, (frames // 7 + 1, 1, 1, 3))
        for number in range(frames):
            image = colours[number // 7] + random.integers(0, 64, (height, width, 3))
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {
        "single_gop": film(folder / "one.avi", codec="mpeg4", gop=600, size=(48, 64)),
        "intra": film(folder / "intra.avi", codec="mpeg4", gop=1, size=(SIDE, SIDE)),
    }


@pytest.fixture
def single_gop(films: dict[str, Path]) -> Path:
    """Sixty frames of 48 x 64 after a single keyframe, each predicted from the one before."""
    return films["single_gop"]


@pytest.fixture
def world(films: dict[str, Path], frames: Callable[..., Any], tmp_path: Path) -> World:
    return World(frames=frames, folder=tmp_path, **films)
