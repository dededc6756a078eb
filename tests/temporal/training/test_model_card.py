"""Model cards say what is certain, and no more."""

from __future__ import annotations

import pytest

from temporal.models import EarlyExitConfig, FrameExitConfig, SkimRNNConfig
from temporal.training.model_card import CardFacts, promise, render_card

FACTS = CardFacts(
    name="skimmer",
    summary="A Skim-LSTM for reviews.",
    facts={"Data": "IMDb.", "Limits": "English alone. " + "Long sentences are broken. " * 6},
    units="reviews",
)


def point(threshold: float, cost_share: float, **changed: object) -> dict:
    fields = {
        "policy": {"read_threshold": threshold},
        "cost_share": cost_share,
        "cost": cost_share * 5e6,
        "cost_unit": "macs",
        "accuracy": 0.9 - threshold / 100,
        "drop": threshold / 100,
        "num_calibration": 2500,
        "risk": "accuracy_drop",
        "confidence": 0.95,
        "drop_bound": 0.02 * (cost_share < 1),
        "drop_bound_all": 0.031 * (cost_share < 1),
        "max_drop": None,
    }
    return {**fields, **changed}


def test_a_promise_names_risk_level_confidence_and_number() -> None:
    said = promise(point(0.5, 0.4), "reviews")
    assert said == (
        "With 95 % confidence, accuracy is at most 3.1 points below that of reading everything: "
        "tested on 2,500 held-out reviews, for reviews drawn like them."
    )
    assert "at most 2.5 points below" in promise(point(0.5, 0.4, max_drop=0.025))
    assert "at most 2.2 points below" in promise(point(0.5, 0.4, drop_bound_all=0.0211))
    other = promise(point(0.5, 0.4, risk="disagreement", confidence=0.9))
    assert other.startswith("With 90 % confidence, at most 3.1 % of sources are answered otherwise")
    lost = promise(point(0.5, 0.4, risk="lost_answers"))
    assert "at most 3.1 % of sources are answered wrongly that reading everything gets" in lost


def test_without_a_test_nothing_is_promised() -> None:
    untested = point(0.5, 0.4, risk=None, drop_bound=None, drop_bound_all=None, confidence=None)
    assert promise(untested).startswith("Nothing is certified: this was measured on 2,500 held-out")
    old = {"policy": {}, "cost_share": 0.4, "accuracy": 0.8}
    assert promise(old).startswith("Nothing is certified")
    assert promise(point(0.0, 1.0)).startswith("This point reads everything")


def test_a_card_holds_the_facts_the_points_and_the_promise() -> None:
    config = SkimRNNConfig(
        read_threshold=0.5, operating_points=[point(0.0, 1.0), point(0.3, 0.7), point(0.5, 0.4)]
    )
    card = render_card(config, FACTS)
    lines = card.splitlines()
    assert lines[0] == "# skimmer" and max(map(len, lines)) <= 100
    assert "- **Data**: IMDb." in lines
    assert "| policy | cost | accuracy | drop | drop at most (95 %) |" in lines
    assert "| reads all | 1.00 | 0.900 | 0.000 | 0.000 |" in lines
    assert "| **read_threshold 0.5** (default) | 0.40 | 0.895 | 0.005 | 0.031 |" in lines
    text = " ".join(card.split())
    assert "**The default point.** " + promise(point(0.5, 0.4), "reviews") in text
    assert "Reading everything costs 5.0 M MACs a review" in text
    assert "hold for all of its rows at once" in text


def test_a_card_of_exits_shows_criterion_and_threshold() -> None:
    policies = [[1e9, 1e9], [1e9, 0.9], [0.8, 0.9]]
    points = [
        point(0.0, 1 - k / 4, policy={"criterion": "margin", "thresholds": levels})
        for k, levels in enumerate(policies)
    ]
    config = FrameExitConfig(num_frames=3, operating_points=points)
    card = render_card(config, FACTS)
    assert "| margin >= 0.9 | 0.75" in card
    assert "| margin at a threshold for each exit | 0.50" in card
    assert "(default)" not in card and "default point" not in card  # its policy is none of them


def test_a_card_without_bounds_shows_none() -> None:
    untested = {"risk": None, "drop_bound": None, "drop_bound_all": None, "confidence": None}
    points = [point(0.0, 1.0, **untested), point(0.5, 0.4, **untested)]
    card = render_card(SkimRNNConfig(read_threshold=0.5, operating_points=points), FACTS)
    assert "| policy | cost | accuracy | drop |\n" in card
    assert "Nothing is certified" in card and "hold for all" not in card


def test_an_uncalibrated_reader_has_no_card() -> None:
    with pytest.raises(ValueError, match="run temporal calibrate first"):
        render_card(EarlyExitConfig(), FACTS)
