"""The published table beside ours, on made-up data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[[str], Any]
Reviews = Callable[[int, int], Path]


@pytest.mark.slow  # three trainings, each a process of its own
def test_rows_of_a_data_set(
    tmp_path: Path,
    script: Script,
    encoder_path: Path,
    reviews: Reviews,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = script("reproduce_skim_rnn")
    experiment = module.Experiment(
        train=str(reviews(0, 320)),
        test=None,
        epochs=3,
        options=(
            *("--encoder", str(encoder_path), "--use_cpu", "true", "--learning_rate", "1e-2"),
            *("--warmup_steps", "0", "--per_device_train_batch_size", "16"),
        ),
        dense=module.Published(accuracy=82.5),
        skims=(module.skim(5, 0.05, 84.2, 52.0, 2.1, 1.3),),
    )
    monkeypatch.setitem(module.EXPERIMENTS, "made_up", experiment)
    dense, skims = module.reproduce("made_up", tmp_path, tmp_path / "out", 1)
    assert dense["texts"] == skims["texts"] == 32  # a tenth was held out
    assert dense["ours"]["skimmed"] == 0 and dense["ours"]["flop_reduction"] >= 1
    assert dense["ours"]["accuracy"] >= 90  # its words were learnt
    assert (skims["skim_size"], skims["gamma"]) == (5, 0.05)
    assert skims["paper"] == {
        "accuracy": 84.2,
        "skimmed": 52.0,
        "flop_reduction": 2.1,
        "speedup": 1.3,
    }
    assert 0 < skims["ours"]["skimmed"] <= 100
    assert skims["ours"]["speedup"] > 0

    # What is there is not trained again.
    monkeypatch.setattr(module.subprocess, "run", None)
    again = module.reproduce("made_up", tmp_path, tmp_path / "out", 1)
    assert [row["ours"]["accuracy"] for row in again] == [
        row["ours"]["accuracy"] for row in (dense, skims)
    ]
