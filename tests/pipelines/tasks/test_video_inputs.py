"""Videos that are no files: open ones, arrays, tensors, pictures; and what may be decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from temporal.data import Video
from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.pipeline import ReadingFailed

from ...data.zoo.making import encode
from ..fake_cli import BUILT


@pytest.fixture(scope="module")
def pipe(vit_path: Path) -> Any:
    return pipeline("video-classification", model=str(vit_path), device="cpu", batch_size=2)


def scores(predictions: Any) -> Any:
    """The same answer in another batch has the same scores, but for the last bits."""
    return pytest.approx({p["label"]: p["score"] for p in predictions}, abs=1e-5)


def answers(predictions: Any) -> dict[str, float]:
    return {p["label"]: p["score"] for p in predictions}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three of unequal length, stored as RGB, so that their frames can be had as they are."""
    folder = tmp_path_factory.mktemp("rgb")
    return [
        encode(
            folder / f"{n}.mkv", codec="ffv1", pix_fmt="bgr0", frames=n, gop=1, size=(n + 40, 48)
        )
        for n in (9, 17, 30)
    ]


@pytest.fixture(scope="module")
def arrays(videos: list[Path]) -> list[np.ndarray]:
    """uint8 [T, height, width, 3] of the first videos."""
    found = []
    for path in videos[:3]:
        with Video(path) as video:
            found.append(video.read_array(range(len(video))).transpose(0, 2, 3, 1))
    return found


def test_an_open_video_is_read_and_stays_open(pipe: Any, videos: list[Path]) -> None:
    with Video(videos[0]) as video:
        alone = pipe(str(videos[0]))
        for one in (pipe(video), *pipe([video, str(videos[1]), video])[::2]):
            assert answers(one) == scores(alone)
        assert video.spent.frames_decoded > 0
        (reading,) = pipe.read([video])
        spent = video.spent.frames_decoded
        video.read([8])
        video.read([8])
        assert video.spent.frames_decoded > spent
    assert reading.status == "ok" and reading.backend == "pyav"


@pytest.mark.parametrize(
    "form",
    ["array", "channels first", "tensor", "pictures", "planes"]
    + ["shares", "half precision", "float bytes", "whole numbers", "planes of shares"],
)
def test_frames_in_memory_answer_as_their_file(
    pipe: Any, videos: list[Path], arrays: list[np.ndarray], form: str
) -> None:
    make: dict[str, Any] = {
        "array": lambda a: a,
        "channels first": lambda a: a.transpose(0, 3, 1, 2),
        "tensor": lambda a: torch.from_numpy(np.ascontiguousarray(a)).permute(0, 3, 1, 2),
        "pictures": lambda a: [Image.fromarray(one) for one in a],
        "planes": lambda a: list(a),
        "shares": lambda a: a / 255,
        "half precision": lambda a: torch.from_numpy(a / 255).half(),
        "float bytes": lambda a: torch.from_numpy(np.ascontiguousarray(a)).bfloat16(),
        "whole numbers": lambda a: a.astype(np.int64),
        "planes of shares": lambda a: list(np.float32(a) / 255),
    }
    given = [make[form](array) for array in arrays]
    expected = pipe([str(path) for path in videos[:3]])
    assert len({str(one) for one in expected}) > 1
    for found in (pipe(given), list(pipe(iter(given))), [pipe(one) for one in given]):
        for one, other in zip(found, expected, strict=True):
            assert answers(one) == scores(other)
    (reading,) = pipe.read(given[0])
    assert reading.trace.cost.frames_decoded == 0
    assert reading.trace.units_total == len(arrays[0])


def test_a_path_that_comes_twice_has_two_results(pipe: Any, videos: list[Path]) -> None:
    path = str(videos[0])
    expected = scores(pipe(path))
    with Video(path) as video:
        for given in ([path, path], np.array([path, path]), [video, path], [videos[0]] * 2):
            assert [answers(one) for one in pipe(given)] == [expected] * 2
    assert [reading.id for reading in pipe.read([path] * 3)] == [path, f"{path}#2", f"{path}#3"]
    rows = [{"video": path, "name": "a"}] * 2
    one, other = pipe.read(rows, id_column="name")  # a name that was asked for names one input
    assert (one.status, other.error.reason) == ("ok", "duplicate_id")


def test_five_dimensions_are_several_videos(pipe: Any, arrays: list[np.ndarray]) -> None:
    (alone,) = pipe([arrays[0]])
    found = pipe(np.stack([arrays[0]] * 3))
    assert len(found) == 3 and all(answers(one) == scores(alone) for one in found)
    assert len(list(pipe.read(torch.from_numpy(np.stack([arrays[0]] * 2))))) == 2


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (np.full((4, 8, 8, 3), -0.1, np.float32), "from 0 to 1"),
        (torch.full((4, 3, 8, 8), 256.0), "from 0 to 255"),
        (np.full((4, 8, 8, 3), np.nan), "run from nan"),
        (np.full((4, 8, 8, 3), 256), "from 0 to 255"),
        (np.zeros((4, 8, 8, 3), np.uint16), "must be uint8"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.bool), "must be uint8"),
        (np.zeros((4, 8, 8, 4), np.uint8), "need 3 colours"),
        (np.zeros((4, 3, 8, 3), np.uint8), "which one is colour"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no pixels"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], "one size"),
    ],
)
def test_frames_that_may_mean_two_things_are_an_error_of_theirs(
    pipe: Any, arrays: list[np.ndarray], frames: Any, told: str
) -> None:
    bad, good = pipe.read([frames, arrays[0]])
    assert (bad.status, bad.error.reason, good.status) == ("error", "not_video", "ok")
    assert told in bad.error.message
    with pytest.raises(ReadingFailed, match=told):
        pipe(frames)


def test_max_pixels_is_the_callers(vit_path: Path, videos: list[Path]) -> None:
    options: dict[str, Any] = {"model": str(vit_path), "device": "cpu"}
    (small,) = pipeline("video-classification", max_pixels=100, **options).read([videos[0]])
    assert small.error is not None and small.error.reason == "too_large"
    (fits,) = pipeline("video-classification", max_pixels=10**8, **options).read([videos[0]])
    assert fits.status == "ok"
    with pytest.raises(ValueError, match="max_pixels"):
        pipeline("video-classification", max_pixels=0, **options)


def test_the_command_line_passes_what_may_be_read_and_writes_it_down(
    fake_pipeline: None, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")

    def run(*more: str) -> Any:
        command = ["run", "video-classification", str(tmp_path / "a.mp4"), "--quiet", *more]
        return CliRunner().invoke(app, [*command, "--output", str(tmp_path / "out")])

    assert run("--max-pixels", "99", "--allow-origin", "http://localhost:8000").exit_code == 0
    assert BUILT[-1]["max_pixels"] == 99
    assert BUILT[-1]["allow_remote"] == ["http://localhost:8000"]
    written = json.dumps([p.read_text() for p in (tmp_path / "out").rglob("*.json")])
    assert "http://localhost:8000" in written and "99" in written
    resumed = run("--max-pixels", "100", "--resume")
    assert resumed.exit_code == 2 and "max_pixels" in resumed.output
