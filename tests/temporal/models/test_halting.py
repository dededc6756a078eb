"""Criterion, temperatures and thresholds in a configuration."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig

from temporal.models import EarlyExitConfig, FrameExitConfig, SkimRNNConfig
from temporal.models.halting import certainty, certainty_reached, set_criterion


def test_nothing_halts_without_thresholds_and_each_exit_has_its_own() -> None:
    config = FrameExitConfig(num_frames=3)
    sure = torch.tensor([[[0.0, 50.0], [0.0, 0.0]]])
    assert certainty_reached(config, sure).tolist() == [False, False]
    config.thresholds = [0.9, 0.4]
    assert certainty_reached(config, sure).tolist() == [True, False]
    assert certainty_reached(config, torch.cat([sure, sure])).tolist() == [True, True]


def test_each_exit_has_its_temperature() -> None:
    config = FrameExitConfig(num_frames=3, temperatures=[2.0, 0.5])
    logits_EBK = torch.tensor([[[0.0, 4.0]], [[0.0, 1.0]]])
    sigmoid = torch.sigmoid(torch.tensor(2.0))
    assert certainty(config, logits_EBK[:1]).item() == pytest.approx(sigmoid.item())
    assert certainty(config, logits_EBK).item() == pytest.approx(sigmoid.item())
    config.criterion = "stability"  # sees both exits, each over its own temperature
    assert certainty(config, logits_EBK).item() == pytest.approx(1.0)
    config.temperatures = None
    assert certainty(config, logits_EBK).item() < 0.8


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [([1.0], r"temperatures \(\[1.0\]\) must hold one number"), ([1.0, 0.0], "must be > 0")],
)
def test_temperatures_fit_the_exits(temperatures, message) -> None:
    with pytest.raises(ValueError, match=message):
        FrameExitConfig(num_frames=3, temperatures=temperatures)


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


def test_a_learned_criterion_that_a_reader_lacks_comes_with_the_way_to_train_it() -> None:
    encoder = {**BertConfig(num_hidden_layers=6).to_dict(), "model_type": "bert"}
    config = EarlyExitConfig(encoder=encoder, learned_criteria=["certainty"])
    with pytest.raises(ValueError, match="'consistency'.* is learned") as error:
        set_criterion(config, "consistency", 0.5)
    assert str(error.value).endswith(
        "scripts/finetune_text.py --regime criteria --reader_options "
        """'{"learned_criteria": ["certainty", "consistency"]}'"""
    )
