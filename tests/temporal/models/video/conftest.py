"""Small films for the readers of videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def encode(path: Path, gop: int) -> Path:
    """Sixty small frames, each of another grey, with a keyframe every `gop` frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.options = {"sc_threshold": "1000000000"}
        for number in range(60):
            image = np.full((48, 64, 3), 4 * number, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def single_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty grey frames of 48 x 64 after a single keyframe, each predicted from the one before."""
    return encode(tmp_path_factory.mktemp("films") / "single_gop.avi", gop=600)
