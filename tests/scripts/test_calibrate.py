"""Calibrating saved readers of every family, and checking what was certified."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from temporal.models import READERS, EarlyExit
from temporal.models.recurrent.readers import RecurrentReader
from temporal.pipelines import pipeline

Run = Callable[..., dict[str, Any]]
Reviews = Callable[[int, int], Path]


@pytest.fixture
def exits(tmp_path: Path, encoder_path: Path) -> Path:
    """A saved reader whose first exit answers by chance and whose last is the truth for itself."""
    torch.manual_seed(0)
    classifier = BertForSequenceClassification.from_pretrained(encoder_path)
    reader = EarlyExit.from_classifier(classifier)
    with torch.no_grad():
        for name, weight in reader.named_parameters():
            if "classifier" in name or name.startswith("exits"):
                weight.copy_(torch.randn_like(weight))
    folder = tmp_path / "exits"
    reader.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder_path).save_pretrained(folder)
    return folder


def saved(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def test_a_certificate_is_checked_on_other_data(
    run_script: Run, exits: Path, reviews: Reviews
) -> None:
    """Without labels to learn: the risk is to answer otherwise than the last exit."""
    command = ("--model", exits, "--risk", "disagreement")
    result = run_script(
        "calibrate",
        *command,
        "--data_file",
        reviews(0, 150),
        "--max_drop",
        0.3,
        "--confidence",
        0.9,
    )
    chosen = result["chosen"]
    assert chosen["drop_bound"] <= 0.3 and 0.5 < chosen["cost_share"] < 1
    assert result["promise"].startswith("With 90 % confidence, at most 30.0 % of sources are")
    checked = run_script("check_certificate", "--model", exits, "--data_file", reviews(1000, 1100))
    assert checked["promise"] == result["promise"] and checked["certified"] == 0.3
    assert (checked["risk"], checked["num_calibration"]) == ("disagreement", 150)
    assert checked["holds"] and not checked["refuted"]
    low, high = checked["interval"]
    assert low <= checked["measured"] == checked["lost"] / checked["sources"] <= high
    assert checked["full_accuracy"] == 1 and checked["sources"] == 100
    assert checked["cost_share"] == pytest.approx(checked["certified_cost_share"], abs=0.1)
    # What is checked is what users run.
    texts = [line.rsplit(",", 1)[0] for line in reviews(1000, 1100).read_text().splitlines()[1:]]
    own = pipeline("text-classification", str(exits))(texts)
    full = pipeline("text-classification", str(exits), max_drop=0.0)(texts)
    changed = sum(a["label"] != b["label"] for a, b in zip(own, full, strict=True))
    assert changed == checked["lost"] > 0


def test_a_promise_that_is_broken_is_refuted(
    run_script: Run, exits: Path, reviews: Reviews
) -> None:
    run_script("calibrate", "--model", exits, "--data_file", reviews(0, 60), "--budget", 0.6)
    config = saved(exits)
    for point in config["operating_points"][1:]:
        point.update(risk="lost_answers", drop_bound=0.001, drop_bound_all=0.001)
    (exits / "config.json").write_text(json.dumps(config))
    check = ("check_certificate", "--model", exits, "--data_file", reviews(1000, 1200))
    broken = run_script(*check)
    assert broken["refuted"] and not broken["holds"]
    assert run_script(*check, "--max_drop", 0.0)["measured"] == 0  # everything is read


def test_a_budget_may_be_a_cost(run_script: Run, exits: Path, reviews: Reviews) -> None:
    command = ("calibrate", "--model", exits, "--data_file", reviews(0, 40))
    result = run_script(*command, "--budget_cost", 1e12)
    assert result["chosen"] == result["full"] and result["full"]["cost_unit"] == "macs"
    allowed = 0.8 * result["full"]["cost"]
    chosen = run_script(*command, "--budget_cost", allowed)["chosen"]
    assert chosen["cost_share"] < 1
    assert chosen["cost"] <= allowed + 0.005 * result["full"]["cost"]
    readings = pipeline("text-classification", str(exits)).read(
        [line.rsplit(",", 1)[0] for line in reviews(0, 40).read_text().splitlines()[1:]]
    )
    macs = [reading.trace.cost.macs for reading in readings]
    assert sum(macs) / len(macs) == pytest.approx(chosen["cost"], rel=0.01)
    with pytest.raises(SystemExit, match=r"--budget \(.*\) must be at least 0"):
        run_script(*command, "--budget_cost", 1e-6)


def test_costs_may_be_times(run_script: Run, exits: Path, reviews: Reviews) -> None:
    """How long anything takes is up to the machine: only that it is what is stored is tested."""
    command = ("calibrate", "--model", exits, "--data_file", reviews(0, 40), "--cost_unit", "ms")
    result = run_script(*command, "--budget_cost", 1e12)
    assert result["chosen"] == result["full"] and result["full"]["cost_unit"] == "ms"
    points = saved(exits)["operating_points"]
    costs = [point["cost"] for point in points]
    assert costs == sorted(costs, reverse=True) and costs[-1] > 0
    for point in points:
        assert point["cost_share"] == pytest.approx(point["cost"] / costs[0])


def test_searched_thresholds_and_temperatures_are_tested_on_other_rows(
    run_script: Run, exits: Path, reviews: Reviews
) -> None:
    command = ("calibrate", "--model", exits, "--data_file", reviews(0, 100), "--budget", 0.9)
    result = run_script(*command, "--per_exit", "--temperature_scaling", "--choose_share", 0.4)
    assert result["full"]["num_calibration"] == 60
    config = saved(exits)
    assert len(config["temperatures"]) == 1 and config["temperatures"][0] != 1
    assert pipeline("text-classification", str(exits)).model.config.temperatures
    assert run_script(*command)["full"]["num_calibration"] == 100
    assert saved(exits)["temperatures"] is None


JUMPS = ["lstm_jump", "lstm_shuttle"]
"""What these leave out depends on two fields, which have no order."""


@pytest.mark.parametrize(
    "name",
    [k for k, reader in READERS.items() if issubclass(reader, RecurrentReader) and k not in JUMPS],
)
def test_recurrent_readers_are_calibrated(
    name: str,
    tmp_path: Path,
    run_script: Run,
    saved_reader: Callable[[str], Any],
    reviews: Reviews,
) -> None:
    saved_reader(name)
    command = ("calibrate", "--model", tmp_path, "--data_file", reviews(0, 40))
    run_script(*command, "--budget", 1.0)
    points = saved(tmp_path)["operating_points"]
    shares = [point["cost_share"] for point in points]
    assert shares[0] == max(shares) == 1 > min(shares) and len(points) >= 3
    for point in (points[0], min(points, key=lambda point: point["cost_share"])):
        pipe = pipeline("text-classification", str(tmp_path), budget=point["cost_share"])
        assert pipe.operating_point["cost_share"] == pytest.approx(point["cost_share"], abs=0.005)
        texts = [line.rsplit(",", 1)[0] for line in reviews(0, 40).read_text().splitlines()[1:]]
        traces = [reading.trace for reading in pipe.read(texts)]
        if point is points[0] and name != "hm_rnn":  # which begins as it was trained
            assert {trace.share_read for trace in traces} == {1.0}
        macs = sum(trace.cost.macs for trace in traces) / len(traces)
        assert macs == pytest.approx(pipe.operating_point["cost"])


@pytest.mark.parametrize("name", JUMPS)
def test_policies_without_an_order_are_sorted_first(
    name: str,
    tmp_path: Path,
    run_script: Run,
    saved_reader: Callable[[str], Any],
    reviews: Reviews,
) -> None:
    reader = saved_reader(name)
    command = ("calibrate", "--model", tmp_path, "--data_file", reviews(0, 90))
    result = run_script(*command, "--budget", 1.0, "--choose_share", 0.3)
    assert result["full"]["num_calibration"] == 63
    assert result["full"]["policy"]["tokens_between_jumps"] == reader.config.max_tokens
    points = saved(tmp_path)["operating_points"]
    assert len(points) >= 2
    costs = [point["cost_share"] for point in points]
    assert costs[0] == max(costs) == 1


def test_goals_are_one(script: Callable[[str], Any]) -> None:
    arguments = script("calibrate").CalibrationArguments
    for given in ({}, {"max_drop": 0.01, "budget": 0.5}, {"budget": 0.5, "budget_cost": 3.0}):
        with pytest.raises(ValueError, match="give one of --max_drop, --budget and --budget_cost"):
            arguments(model="-", data_file="-", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"choose_share": 1.0}, r"--choose_share \(1.0\) must be between 0 and 1"),
        ({"choose_share": 0.0}, r"--choose_share \(0.0\) must be between 0 and 1"),
        ({"max_samples": 0}, r"--max_samples \(0\) must be at least 1"),
        ({"measured": True}, r"--measured \(True\) says how --max_drop is met"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(
    given: dict[str, Any], message: str, script: Callable[[str], Any]
) -> None:
    with pytest.raises(ValueError, match=message):
        script("calibrate").CalibrationArguments(model="-", data_file="-", budget=0.5, **given)


def test_a_check_is_of_one_point(script: Callable[[str], Any]) -> None:
    arguments = script("check_certificate").CheckArguments
    with pytest.raises(ValueError, match=r"--budget \(0.5\) and --max_drop \(0.1\) name"):
        arguments(model="-", data_file="-", budget=0.5, max_drop=0.1)
    with pytest.raises(ValueError, match=r"--max_samples \(-1\) must be at least 1"):
        arguments(model="-", data_file="-", max_samples=-1)


def test_phrases_are_of_trees_and_some_text_must_be_left(
    tmp_path: Path, run_script: Run, exits: Path, reviews: Reviews
) -> None:
    command = ("calibrate", "--model", exits, "--budget", 0.5)
    with pytest.raises(ValueError, match="--train_phrases needs trees, and .*csv holds none"):
        run_script(*command, "--data_file", reviews(0, 10), "--train_phrases")
    blank = tmp_path / "blank.csv"
    blank.write_text("text,label\n,1\n,0\n")
    with pytest.raises(ValueError, match="must hold a text .* of 2 rows that are left none has"):
        run_script(*command, "--data_file", blank)


def test_one_exit_cannot_be_calibrated(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    classifier = BertForSequenceClassification.from_pretrained(encoder_path)
    EarlyExit.from_classifier(classifier, exit_layers=[2]).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(encoder_path).save_pretrained(tmp_path)
    command = ("calibrate", "--model", tmp_path, "--data_file", reviews(0, 10), "--budget", 0.5)
    with pytest.raises(SystemExit, match=r"exit_layers \(\[2\]\) is the last exit alone"):
        run_script(*command)


def test_labels_that_the_reader_does_not_know_are_refused(
    tmp_path: Path, run_script: Run, exits: Path
) -> None:
    file = tmp_path / "other.csv"
    file.write_text("text,label\nw1 w2,sad\nw3 w4,glad\n")
    with pytest.raises(ValueError, match=r"labels \['glad', 'sad'\] must be among the reader's"):
        run_script("calibrate", "--model", exits, "--data_file", file, "--budget", 0.5)


def test_a_point_without_bounds_is_not_checked(
    run_script: Run, exits: Path, reviews: Reviews
) -> None:
    check = ("check_certificate", "--model", exits, "--data_file", reviews(0, 10))
    with pytest.raises(ValueError, match="the reader's policy is none of its operating points"):
        run_script(*check)
    config = saved(exits)
    config["operating_points"] = [{"cost_share": 0.5, "accuracy": 0.9, "policy": {}}]
    (exits / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has no bounds: run temporal calibrate again"):
        run_script(*check, "--budget", 0.5)


@pytest.mark.parametrize("name", ["hm_rnn", "adaptive_computation_time"])
def test_readers_that_know_one_threshold_are_compared_with_what_they_were_trained_as(
    name,
) -> None:
    reader_class: Any = READERS[name]
    config = reader_class.config_class()
    space = reader_class(config).policy_space()
    policies = space.policies()
    (threshold,) = policies[0]
    assert space.ordered and policies[0][threshold] == getattr(config, threshold)
    values = [policy[threshold] for policy in policies]
    assert values == sorted(values, reverse=name != "hm_rnn") and len(set(values)) > 5
