"""Inputs unlike those of the calibration: stored with it, told by runs, without a label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from temporal.auditing.signals import counts_of
from temporal.models.rows_seen import Shown
from temporal.pipelines import pipeline
from temporal.pipelines.auditing.audit import AuditWarning
from temporal.pipelines.auditing.watched import compare_with_calibration
from temporal.pipelines.calibration.calibrate import calibrate, save_calibration
from temporal.pipelines.calibration.options import CalibrationOptions
from temporal.pipelines.calibration.readings_seen import ReadingsSeen, spread_sample
from temporal.pipelines.display.audit import audit_remarks
from temporal.pipelines.jobs.job import run
from temporal.pipelines.reading import Reading
from temporal.training.calibration import OperatingPoint

from ..conftest import make_tokenizer, save, spread


def texts_of(seed: int, count: int, words: int = 50, lengths: int = 12) -> list[str]:
    random = np.random.default_rng(seed)
    return [
        " ".join(f"w{k}" for k in random.integers(0, words, 2 + random.integers(lengths)))
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A skimming reader, calibrated on 300 texts."""
    from temporal.models import SkimRNN, SkimRNNConfig

    torch.manual_seed(11)
    config = SkimRNNConfig(
        vocab_size=64, embedding_size=8, hidden_size=12, skim_size=3, num_labels=3
    )
    folder = tmp_path_factory.mktemp("calibrated")
    save(spread(SkimRNN(config)), folder, make_tokenizer())
    pipe = pipeline("text-classification", str(folder), device="cpu")
    options = CalibrationOptions(budget=0.6, num_points=4)
    found = calibrate(pipe, texts_of(0, 300), None, options, seed=0)
    save_calibration(folder, found, Shown())
    return folder


def test_every_point_stores_how_inputs_were_read(calibrated: Path) -> None:
    points = json.loads((calibrated / "config.json").read_text())["operating_points"]
    assert len(points) > 1
    for point in points:
        counts = counts_of(point["read_like"])
        assert sum(counts["certainty"]) == sum(counts["units_read"]) == point["num_read"] == 300
        assert point["num_differing"] == round((1 - point["accuracy"]) * 300)
    assert points[0]["num_differing"] == 0
    of_points = [counts_of(point["read_like"])["units_read"] for point in points]
    read = [np.average(np.arange(64), weights=counts) for counts in of_points]
    assert read == sorted(read, reverse=True)  # a cheaper point reads less


def test_like_inputs_raise_nothing_and_others_do(calibrated: Path) -> None:
    pipe = pipeline("text-classification", str(calibrated), audit=0.0, device="cpu")
    list(pipe.read(texts_of(1, 300)))
    assert pipe.audit.unlike is None and pipe.audit.told == ""
    longer = texts_of(2, 200, lengths=40)
    with pytest.warns(AuditWarning, match="unlike those that the reader was calibrated on: how"):
        list(pipe.read(longer))
    assert pipe.audit.unlike.signal == "units_read" and pipe.audit.told == "unlike calibration"


def test_a_run_tells_it_without_an_audit(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from temporal.data import Item

    def summary_of(name: str, texts: list[str], **options: Any) -> Any:
        pipe = pipeline("text-classification", str(calibrated), device="cpu")
        compare_with_calibration(pipe)
        items = [Item(id=str(k), value=text) for k, text in enumerate(texts)]
        return run(pipe, items, tmp_path / name, progress=False, **options).audit

    like = summary_of("like", texts_of(3, 200))
    assert (like.compared, like.unlike) == (200, None)
    assert "unlike" not in capsys.readouterr().err
    assert audit_remarks(like) == [
        "the inputs are like those of the calibration, as far as can be told"
    ]
    other = summary_of("other", texts_of(4, 150, lengths=40))
    assert "the inputs are unlike those that" in capsys.readouterr().err
    assert other.unlike.signal == "units_read"
    assert "unlike those of the calibration: how much is read" in audit_remarks(other)[0]
    # The end of the run is looked at again, from the rows of all processes and beginnings.
    again = summary_of("other", texts_of(4, 150, lengths=40), resume=True)
    assert again.unlike == other.unlike


def test_folders_without_it_still_load_and_say_so(calibrated: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(calibrated, tmp_path / "older")
    config = json.loads((folder / "config.json").read_text())
    for point in config["operating_points"]:
        for name in ("read_like", "num_read", "num_differing"):
            del point[name]
    (folder / "config.json").write_text(json.dumps(config))
    from temporal.data import Item

    pipe = pipeline("text-classification", str(folder), audit=1.0, device="cpu")
    items = [Item(id=str(k), value=text) for k, text in enumerate(texts_of(5, 8))]
    remarks = audit_remarks(run(pipe, items, tmp_path / "out", progress=False).audit)
    assert any("has stored nothing to compare with" in line for line in remarks)
    assert not any("at calibration" in line for line in remarks)
    compare_with_calibration(plain := pipeline("text-classification", str(folder), device="cpu"))
    assert plain.audit is None


def test_the_exact_bound_of_the_calibration_stands_beside_the_audit(
    calibrated: Path, tmp_path: Path
) -> None:
    from temporal.data import Item

    pipe = pipeline("text-classification", str(calibrated), audit=0.5, device="cpu")
    items = [Item(id=str(k), value=text) for k, text in enumerate(texts_of(6, 40))]
    audit = run(pipe, items, tmp_path / "out", progress=False).audit
    before = audit.at_calibration
    assert before.audited == 300
    # Clopper & Pearson's bound leaves so many or fewer a chance of 5 %.
    share, seen = audit.calibration_bound, before.disagreed
    tail = torch.distributions.Binomial(300, torch.tensor(share, dtype=torch.float64))
    chance = tail.log_prob(torch.arange(seen + 1, dtype=torch.float64)).exp().sum()
    assert float(chance) == pytest.approx(0.05, abs=2e-3)
    assert any(f"at calibration {seen} of 300 differed" in line for line in audit_remarks(audit))


def test_damaged_counts_are_refused(calibrated: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(calibrated, tmp_path / "damaged")
    config = json.loads((folder / "config.json").read_text())
    for point in config["operating_points"]:
        point["read_like"] = {"certainty": "99:1"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="read_like .* run it again"):
        pipeline("text-classification", str(folder), audit=0.1, device="cpu")


def test_a_sample_is_spread_over_the_rows() -> None:
    rows = list(range(0, 2000, 2))
    found = spread_sample(rows, 100, seed=0)
    assert found == sorted(set(found)) and len(found) == 100 and set(found) <= set(rows)
    assert 700 < np.mean(found) < 1300 and found == spread_sample(rows, 100, seed=0)
    assert spread_sample(rows[:5], 100, seed=0) == rows[:5]


def test_points_get_what_was_noted_under_their_policies() -> None:
    def reading(*classes: int) -> Reading:
        return Reading(id="a", predictions=({"label": "x", "score": 0.5},), classes=classes)

    def point(level: float) -> OperatingPoint:
        return OperatingPoint(
            policy={"level": level},
            cost_share=1.0,
            cost=1.0,
            cost_unit="macs",
            accuracy=1.0,
            drop=0.0,
            num_calibration=3,
        )

    seen = ReadingsSeen()
    seen.note({"level": 0.0}, [reading(1), reading(0), reading(2)])
    seen.note({"level": 0.5}, [reading(1), reading(1), Reading(id="bad")])
    full, half, unknown = seen.added_to([point(0.0), point(0.5), point(0.9)])
    assert (full.num_read, full.num_differing, full.read_like) == (3, 0, {"certainty": "16:3"})
    assert (half.num_read, half.num_differing, half.read_like) == (2, 1, {"certainty": "16:2"})
    assert (unknown.num_read, unknown.num_differing, unknown.read_like) == (None, None, None)
