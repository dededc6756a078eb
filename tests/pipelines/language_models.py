"""Small video-language models, and clips to ask them about."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np


def families() -> Any:
    """The module with the models, which lies with the tests of their reader."""
    name = "language_families"
    if name not in sys.modules:
        place = Path(__file__).parents[1] / "temporal/models/language/families.py"
        spec = importlib.util.spec_from_file_location(name, place)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def save_family(name: str, folder: Path) -> None:
    """A model and its processor in a folder."""
    model, processor = families().family(name)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def noise_clips(folder: Path, count: int) -> list[Path]:
    """Clips of noise, `0.mp4` with 20 frames at 10 a second, and each one frame longer."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    clips = [folder / f"{number}.mp4" for number in range(count)]
    for number, clip in enumerate(clips):
        with av.open(str(clip), "w") as out:
            stream = out.add_stream("mpeg4", rate=10, options={"g": "5"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(20 + number):
                picture = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode())
    return clips
