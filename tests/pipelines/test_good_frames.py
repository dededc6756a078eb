"""Good frames of what is not open: as of the open video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import temporal
from temporal.data import Video, VideoError, VideoPart
from temporal.pipelines import select


def test_whatever_names_a_video(videos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = videos[0]
    options: dict[str, Any] = {"by": "motion", "size": (24, 32)}
    with Video(path) as video:
        want = temporal.select(video, 4, **options)
        closed: list[str] = []
        close = Video.close
        monkeypatch.setattr(Video, "close", lambda one: (closed.append(one.id), close(one)))
        forms: list[Any] = [path, str(path), path.read_bytes(), {"path": str(path)}, video]
        for form in forms:
            got = select(form, 4, **options)
            assert got.frames == want.frames and torch.equal(got.pixels, want.pixels)
        assert len(closed) == len(forms) - 1  # all but the one that was open
        part = temporal.select(VideoPart(video, 1.0, 2.0), 3)
    row = {"video": str(path), "start": 1.0, "end": 2.0}
    for form in (row, VideoPart(path, 1.0, 2.0)):
        got = select(form, 3)
        assert got.frames == part.frames and torch.equal(got.pixels, part.pixels)
    array = np.zeros((9, 32, 32, 3), np.uint8)
    assert select(array, 3).pixels.shape == (3, 3, 32, 32)


def test_what_is_no_video_or_several(videos: list[Path], tmp_path: Path) -> None:
    for several in (videos[0].parent, [str(videos[0]), str(videos[1])], None):
        with pytest.raises(TypeError):
            select(several)
    with pytest.raises(ValueError, match=r"start_seconds \(2\) must be < end_seconds \(1\)"):
        select({"video": str(videos[0]), "start": 2, "end": 1})
    with pytest.raises(VideoError, match="not_found"):
        select(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="by"):
        select(videos[0], by="luck")
    with pytest.raises(TypeError, match=r"temporal.pipelines.select"):
        temporal.select(videos[0])
