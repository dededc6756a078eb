"""What a reader runs in, beside what it was calibrated in."""

from __future__ import annotations

import itertools
import json
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTModel

from temporal.models import ChunkReader, ClipReader, EarlyExit, FrameExit, LiteEval
from temporal.models.operating_points import calibrated_dtype
from temporal.models.rows_seen import Shown
from temporal.pipelines import CalibrationOptions, calibrate, pipeline
from temporal.pipelines.calibration.calibrate import save_calibration
from temporal.pipelines.calibration.run import open_reader
from temporal.pipelines.loading import dtypes
from temporal.pipelines.loading.dtypes import dtype_of

from ..conftest import SMALL, make_bert

HELD_OUT = [f"{word} film number {k}" for k in range(6) for word in ("good", "bad", "a", "the")]


def with_points(reader: Path, folder: Path, dtype: str | None) -> str:
    """A copy of an early-exit reader, as if it were calibrated."""
    shutil.copytree(reader, folder)
    config = json.loads((folder / "config.json").read_text())
    policy = {"criterion": "confidence", "thresholds": [1e9, 1e9]}
    point = {"policy": policy, "cost_share": 1.0, "accuracy": 0.9}
    config["operating_points"] = [point if dtype is None else point | {"dtype": dtype}]
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "has_bfloat16_units", lambda: True)


@pytest.mark.parametrize("stored", [None, "float32", "bfloat16"])
@pytest.mark.parametrize("asked", [None, "float32", "bfloat16"])
def test_a_reader_runs_as_it_was_calibrated_or_warns(
    early_exit_path: Path, tmp_path: Path, stored: str | None, asked: str | None
) -> None:
    model = with_points(early_exit_path, tmp_path / "reader", stored)
    calibrated = stored or "float32"  # points of earlier versions were measured in it
    options: dict[str, Any] = {} if asked is None else {"dtype": asked}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        pipe: Any = pipeline("text-classification", model, **options)
    runs = asked or calibrated
    assert dtype_of(pipe.model) == getattr(torch, runs)
    sentences = [str(one.message) for one in told if "calibrated" in str(one.message)]
    if runs == calibrated:
        assert not sentences
    else:
        (sentence,) = sentences
        assert f"calibrated in {calibrated} and runs in {runs}" in sentence
        assert f"--dtype {runs}" in sentence


def test_a_model_that_was_moved_to_another_type_warns_too(
    early_exit_path: Path, tmp_path: Path
) -> None:
    model = with_points(early_exit_path, tmp_path / "reader", None)
    pipe: Any = pipeline("text-classification", model)
    half = pipe.model.to(torch.bfloat16)
    with pytest.warns(UserWarning, match="calibrated in float32 and runs in bfloat16"):
        pipeline("text-classification", half, tokenizer=pipe.tokenizer, budget=1.0)
    # Of a policy of one's own nothing was measured.
    pipeline("text-classification", half, tokenizer=pipe.tokenizer, policy="confidence:0.9")


def test_half_precision_without_units_for_it_warns(
    early_exit_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dtypes, "has_bfloat16_units", lambda: False)
    model = with_points(early_exit_path, tmp_path / "reader", "bfloat16")
    with pytest.warns(UserWarning, match="this processor has no units"):
        pipeline("text-classification", model, device="cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", None])
def test_a_calibration_stores_what_it_ran_in(
    early_exit_path: Path, tmp_path: Path, dtype: str | None
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(early_exit_path, folder)
    pipe = open_reader("text-classification", str(folder), dtype=dtype)
    options = CalibrationOptions(budget=1.0, num_points=3, dtype=dtype)
    found = calibrate(pipe, HELD_OUT, None, options, seed=0)
    assert found.dtype == (dtype or "float32")
    save_calibration(folder, found, Shown())
    again: Any = pipeline("text-classification", str(folder), budget=1.0)
    assert again.operating_point["dtype"] == found.dtype == calibrated_dtype(again.model.config)
    assert dtype_of(again.model) == getattr(torch, found.dtype)


@pytest.mark.parametrize("dtype", ["int64", "bfloat17", 16])
def test_a_stored_type_must_be_one_of_torchs(
    early_exit_path: Path, tmp_path: Path, dtype: Any
) -> None:
    model = with_points(early_exit_path, tmp_path / "reader", dtype)
    with pytest.raises(ValueError, match=r"operating_points\[0\].*dtype.*floating-point"):
        pipeline("text-classification", model)


HALF = torch.bfloat16


def _early_exit() -> tuple[str, Any]:
    return "text-classification", EarlyExit.from_classifier(make_bert())


def _chunks() -> tuple[str, Any]:
    reader = ChunkReader.from_classifier(make_bert(), ([1], [2]), chunk_size=8)
    return "text-classification", reader


def _frames(kind: Any) -> tuple[str, Any]:
    vit = ViTModel(ViTConfig(**SMALL))
    return "video-classification", kind.from_backbone(vit, num_labels=2, num_frames=3)


def _clips() -> tuple[str, Any]:
    config = VideoMAEConfig(**SMALL, num_frames=4, tubelet_size=2)
    return "video-classification", ClipReader(VideoMAEForVideoClassification(config))


@pytest.mark.parametrize(
    "make",
    [_early_exit, _chunks, partial(_frames, FrameExit), partial(_frames, LiteEval), _clips],
    ids=["early_exit", "chunk_reader", "frame_exit", "lite_eval", "clip_reader"],
)
def test_all_of_a_reader_is_in_the_type_that_it_runs_in(
    make: Callable[[], tuple[str, Any]], tmp_path: Path, tokenizer: Any
) -> None:
    """What is inside it, too, in whichever type that was when it was saved."""
    task, reader = make()
    whole = {name: value.clone() for name, value in reader.state_dict().items()}
    for saved, runs in itertools.product((torch.float32, HALF), repeat=2):
        folder = tmp_path / f"{saved}-{runs}"
        reader.to(saved).save_pretrained(folder)
        if "text" in task:
            tokenizer.save_pretrained(folder)
        pipe: Any = pipeline(task, str(folder), dtype=runs)
        floating = {n: w for n, w in pipe.model.named_parameters() if w.is_floating_point()}
        assert {weight.dtype for weight in floating.values()} == {runs}
        if saved == runs == torch.float32:
            assert all(torch.equal(weight, whole[name]) for name, weight in floating.items())
