"""`budget=` and `max_drop=` of calibrated readers, and the bundled ones among them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from temporal.models import EarlyExit
from temporal.models.weights import digest_of_weights
from temporal.pipelines import pipeline
from temporal.pipelines.loading.load import DEFAULTS
from temporal.training.model_card import CardFacts, render_card

CARDS = Path(__file__).parents[2] / "scripts" / "cards"


def point(level: float, cost_share: float, **bounds: Any) -> dict[str, Any]:
    policy = {"criterion": "confidence", "thresholds": [level, level]}
    return {"policy": policy, "cost_share": cost_share, "accuracy": 0.9, **bounds}


@pytest.fixture
def calibrated(early_exit_path: Path, tmp_path: Path) -> Path:
    """A reader of three exits with three operating points, two of them with savings."""
    folder = shutil.copytree(early_exit_path, tmp_path / "reader")
    config = json.loads((folder / "config.json").read_text())
    config["operating_points"] = [
        point(1e9, 1.0, risk="accuracy_drop", drop_bound=0.0),
        point(0.9, 0.7, risk="accuracy_drop", drop_bound=0.004),
        point(0.0, 0.3, risk="accuracy_drop", drop_bound=0.03),
    ]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("options", "cost_share", "exits"),
    [
        ({"budget": 0.3}, 0.3, {0}),
        ({"max_drop": 0.03}, 0.3, {0}),
        ({"budget": 1.0}, 1.0, {2}),
        ({"max_drop": 0.001}, 1.0, {2}),
    ],
)
def test_the_chosen_point_is_run(
    calibrated: Path, texts: list[str], options: dict, cost_share: float, exits: set[int]
) -> None:
    pipe: Any = pipeline("text-classification", model=calibrated, **options)
    assert pipe.operating_point["cost_share"] == cost_share
    assert {reading.trace.exit for reading in pipe.read(texts)} == exits


def test_a_drop_between_two_bounds_takes_the_safer_point(calibrated: Path) -> None:
    pipe: Any = pipeline("text-classification", model=calibrated, max_drop=0.01)
    assert pipe.operating_point["cost_share"] == 0.7
    own: Any = pipeline("text-classification", model=calibrated)
    assert own.operating_point is None and own.model.config.thresholds == [0.8, 0.8]


@pytest.mark.parametrize("more", [{"budget": 0.5}, {"policy": "confidence:0.9"}])
def test_a_drop_chooses_policy_and_cost_alone(calibrated: Path, more: dict) -> None:
    with pytest.raises(ValueError, match=r"max_drop \(0.01\) chooses the policy and its cost"):
        pipeline("text-classification", model=calibrated, max_drop=0.01, **more)


def test_a_policy_beside_a_budget_is_for_readers_that_are_not_calibrated(
    calibrated: Path, bert_path: Path
) -> None:
    """Such a reader would run at its operating point, and the policy would do nothing."""
    both: dict[str, Any] = {"budget": 0.5, "policy": "confidence:0.9"}
    with pytest.raises(ValueError, match=r"budget \(0.5\) chooses the policy of a calibrated"):
        pipeline("text-classification", model=calibrated, **both)
    config = pipeline("text-classification", model=bert_path, **both).model.config
    assert (config.max_share, config.thresholds) == (0.5, [0.9])


def test_readers_that_are_not_calibrated_say_so(early_exit_path: Path, bert_path: Path) -> None:
    for path in (early_exit_path, bert_path):  # an ordinary classifier has no points either
        with pytest.raises(ValueError, match=r"max_drop \(0.01\) needs a calibrated reader"):
            pipeline("text-classification", model=path, max_drop=0.01)
    with pytest.raises(ValueError, match=r"max_drop \(2\) must be between 0"):
        pipeline("text-classification", model=early_exit_path, max_drop=2)


@pytest.mark.parametrize(
    ("task", "name"),
    [("text-classification", "review-skim-rnn"), ("video-classification", "frames-lite0")],
)
def test_the_bundled_readers_are_calibrated_with_bounds_and_their_cards_are_true(
    task: str, name: str
) -> None:
    config: Any = AutoConfig.from_pretrained(DEFAULTS / name)
    points = config.operating_points
    assert points[0]["cost_share"] == 1 and {p["confidence"] for p in points} == {0.95}
    for options in ({"budget": 0.7}, {"max_drop": 0.2}):
        chosen = pipeline(task, **options).operating_point
        assert chosen is not None and chosen["cost_share"] < 0.71
    facts = CardFacts(**json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8")))
    written = (DEFAULTS / name / "README.md").read_text(encoding="utf-8")
    assert written == render_card(config, facts)


def test_points_of_other_weights_promise_nothing(
    calibrated: Path, early_exit_path: Path, tmp_path: Path
) -> None:
    """As where somebody lays the certified configuration beside weights that came later."""
    weights = digest_of_weights(calibrated)
    config = json.loads((calibrated / "config.json").read_text())
    for stored in config["operating_points"]:
        stored["weights"] = weights
    (calibrated / "config.json").write_text(json.dumps(config))
    pipe: Any = pipeline("text-classification", model=calibrated, max_drop=0.01)
    assert pipe.operating_point["weights"] == weights
    pipe.model.save_pretrained(tmp_path / "copy", max_shard_size="10KB")
    pipe.tokenizer.save_pretrained(tmp_path / "copy")
    pipeline("text-classification", model=tmp_path / "copy", max_drop=0.01)  # the same weights

    other = shutil.copytree(early_exit_path, tmp_path / "other")
    reader = EarlyExit.from_pretrained(other)
    with torch.no_grad():
        next(reader.parameters()).add_(0.01)
    reader.save_pretrained(other)
    (other / "config.json").write_text(json.dumps(config))
    message = "measured on other weights"
    with pytest.warns(UserWarning, match=message):
        plain: Any = pipeline("text-classification", model=other)
    assert plain.operating_point is None
    for option in ({"max_drop": 0.01}, {"budget": 0.5}):
        with pytest.warns(UserWarning, match=message), pytest.raises(ValueError, match=message):
            pipeline("text-classification", model=other, **option)
    for stored in config["operating_points"]:
        stored["weights"] = 7
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"operating_points\[0\]: weights \(7\) must be"):
        pipeline("text-classification", model=other)
