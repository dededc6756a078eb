"""A reader of clips with fewer tokens is calibrated and run at a budget, like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForVideoClassification

from temporal.models import ClipEarlyExit, ClipReader
from temporal.pipelines import CalibrationOptions, calibrate, pipeline
from temporal.pipelines.calibration.run import open_reader


@pytest.mark.parametrize("reduction", ["run_length", "merge"])
def test_tokens_are_a_knob_of_the_calibration(
    reduction: str, video_mae_path: Path, videos: list[Path], tmp_path: Path
) -> None:
    classifier = AutoModelForVideoClassification.from_pretrained(video_mae_path)
    reader = ClipReader(classifier, num_clips=2, token_reduction=reduction)
    reader.save_pretrained(tmp_path / "reader")
    pipe = pipeline("video-classification", model=str(tmp_path / "reader"))
    inputs = [str(video) for video in videos]
    found = calibrate(pipe, inputs, None, CalibrationOptions(budget=0.9, num_points=4), seed=0)
    field = {"run_length": "token_threshold", "merge": "keep_share"}[reduction]
    assert all(field in point.policy for point in found.points)
    assert found.points[0].cost_share == 1.0 and found.chosen.cost_share <= 0.905
    pipe.model.config.update(found.chosen.policy)
    trace = next(iter(pipe.read(inputs[:1]))).trace
    assert trace.token_layers and trace.cost.macs < found.points[0].cost


def test_a_classifier_of_transformers_is_calibrated_with_fewer_tokens(
    video_mae_path: Path, bert_path: Path
) -> None:
    pipe = open_reader("video-classification", str(video_mae_path), token_reduction="merge")
    assert pipe.model.config.token_reduction == "merge" and pipe.model.config.num_clips == 4
    with pytest.raises(ValueError, match=r"token_reduction \('merge'\) is for video classifiers"):
        open_reader("text-classification", str(bert_path), token_reduction="merge")


def test_layers_and_clips_are_knobs_of_one_calibration(
    video_mae_path: Path, videos: list[Path], tmp_path: Path
) -> None:
    config = AutoConfig.from_pretrained(video_mae_path, num_hidden_layers=2)
    classifier = AutoModelForVideoClassification.from_config(config)
    reader = ClipEarlyExit(classifier, num_clips=2)
    torch.nn.init.normal_(reader.exits[0].linear.weight)
    reader.save_pretrained(tmp_path / "reader")
    pipe = pipeline("video-classification", model=str(tmp_path / "reader"))
    inputs = [str(video) for video in videos]
    found = calibrate(pipe, inputs, None, CalibrationOptions(budget=0.6, num_levels=3), seed=0)
    assert all("depth_thresholds" in point.policy for point in found.points)
    assert found.points[0].cost_share == 1.0 and found.chosen.cost_share <= 0.61
    pipe.model.config.update(found.chosen.policy)
    trace = next(iter(pipe.read(inputs[:1]))).trace
    assert trace.token_layers and trace.cost.macs < found.points[0].cost
