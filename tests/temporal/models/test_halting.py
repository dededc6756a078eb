"""Operating points and thresholds in a configuration."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig

from temporal.models import EarlyExitConfig, FrameExitConfig, SkimRNNConfig
from temporal.models.halting import apply_budget, certainty_reached, choose_point, set_criterion

POINTS = [
    {"cost_share": 1.0, "accuracy": 0.90, "policy": {"thresholds": [9.0, 9.0]}},
    {"cost_share": 0.6, "accuracy": 0.91, "policy": {"thresholds": [0.9, 0.9]}},
    {"cost_share": 0.5, "accuracy": 0.89, "policy": {"thresholds": [0.8, 0.8]}},
    {"cost_share": 0.3, "accuracy": 0.89, "policy": {"thresholds": [0.7, 0.7]}},
]


@pytest.mark.parametrize(("budget", "cost_share"), [(1, 0.6), (0.6, 0.6), (0.55, 0.3), (0.3, 0.3)])
def test_a_budget_takes_the_most_accurate_point_that_it_pays_for(budget, cost_share) -> None:
    assert choose_point(POINTS, budget)["cost_share"] == cost_share


def test_shares_were_measured_elsewhere_so_half_a_percent_over_is_granted() -> None:
    assert choose_point(POINTS, 0.296)["cost_share"] == 0.3
    with pytest.raises(ValueError, match=r"budget \(0.29\) must be at least 0.300"):
        choose_point(POINTS, 0.29)


@pytest.mark.parametrize("budget", [2, -0.1, float("nan")])
def test_a_budget_is_a_share(budget) -> None:
    with pytest.raises(ValueError, match="budget .* must be between 0"):
        choose_point(POINTS, budget)


@pytest.mark.parametrize("points", [None, []])
def test_a_budget_without_calibration_says_what_to_run(points) -> None:
    with pytest.raises(ValueError, match="scripts/calibrate.py"):
        choose_point(points, 0.5)


def test_applying_a_budget_sets_the_points_policy() -> None:
    config = FrameExitConfig(num_frames=3, operating_points=POINTS)
    assert apply_budget(config, 0.4) is POINTS[3]
    assert config.thresholds == [0.7, 0.7]


def test_nothing_halts_without_thresholds_and_each_exit_has_its_own() -> None:
    config = FrameExitConfig(num_frames=3)
    sure = torch.tensor([[[0.0, 50.0], [0.0, 0.0]]])
    assert certainty_reached(config, sure).tolist() == [False, False]
    config.thresholds = [0.9, 0.4]
    assert certainty_reached(config, sure).tolist() == [True, False]
    assert certainty_reached(config, torch.cat([sure, sure])).tolist() == [True, True]


def test_one_threshold_serves_all_exits() -> None:
    frames = FrameExitConfig(num_frames=4)
    set_criterion(frames, "margin", 0.5)
    assert (frames.criterion, frames.thresholds) == ("margin", [0.5] * 3)
    encoder = {**BertConfig(num_hidden_layers=6).to_dict(), "model_type": "bert"}
    layers = EarlyExitConfig(encoder=encoder, exit_layers=[2, 4])
    set_criterion(layers, "entropy", 0.8)
    assert layers.thresholds == [0.8, 0.8]
    set_criterion(layers, "entropy", None)
    assert layers.thresholds is None
    with pytest.raises(ValueError, match="skim_rnn has none"):
        set_criterion(SkimRNNConfig(), "margin", 0.5)
