"""Fine-tuning exits over depth from files: every regime, several classes, and regression."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from temporal.models import EarlyExit
from temporal.pipelines import pipeline

from .conftest import BAD, FILLERS, GOOD

Run = Callable[..., dict[str, Any]]
Reviews = Callable[[int, int], Path]

QUICK = (
    *("--report_to", "none", "--save_strategy", "no", "--disable_tqdm", "true"),
    *("--per_device_train_batch_size", 16, "--learning_rate", 2e-3),
)


@pytest.fixture
def finetune(run_script: Run, encoder_path: Path) -> Run:
    """`finetune(out, train_file, *options)`: what the script printed."""

    def run(out: Path, train_file: Path, *options: object) -> dict[str, Any]:
        common = ("--encoder", encoder_path, "--train_file", train_file, "--output_dir", out)
        return run_script("finetune_text", *common, *QUICK, *options)

    return run


def write_rows(path: Path, label: Callable[[str], Any], count: int = 320) -> Path:
    """Texts with one word that is good, bad or (every third) neither, labelled by that word."""
    random = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for k in range(count):
            words = random.choice(FILLERS, 6).tolist()
            telling = str(random.choice((GOOD, BAD, FILLERS)[k % 3]))
            words.insert(int(random.integers(7)), telling)
            writer.writerow([" ".join(words), label(telling)])
    return path


@pytest.mark.parametrize("regime", ["alternating", "gradient_separated"])
def test_regimes_of_the_whole_reader_learn_the_task(
    regime: str, finetune: Run, reviews: Reviews, tmp_path: Path
) -> None:
    options = ("--regime", regime, "--num_train_epochs", 5)
    result = finetune(tmp_path, reviews(0, 320), *options)
    assert result["eval_accuracy"] >= 0.9
    assert EarlyExit.from_pretrained(tmp_path).config.regime == regime


def test_exits_are_trained_on_a_frozen_classifier_and_their_criteria_on_frozen_exits(
    finetune: Run, reviews: Reviews, tmp_path: Path
) -> None:
    texts = reviews(0, 320)
    first = finetune(tmp_path / "1", texts, "--regime", "last_exit", "--num_train_epochs", 5)
    assert first["eval_accuracy"] >= 0.9 > first["eval_accuracy_exit_0"]
    weights = load_file(tmp_path / "1" / "model.safetensors")

    unlabelled = tmp_path / "more.txt"
    lines = reviews(3000, 3064).read_text().splitlines()[1:]
    unlabelled.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    for regime, more in (("two_stage", ()), ("distillation", ("--unlabelled_files", unlabelled))):
        options = ("--model_name_or_path", tmp_path / "1", "--regime", regime, *more)
        result = finetune(tmp_path / regime, texts, *options, "--num_train_epochs", 5)
        assert result["eval_accuracy"] == first["eval_accuracy"]
        assert result["eval_accuracy_exit_0"] > first["eval_accuracy_exit_0"]
        now = load_file(tmp_path / regime / "model.safetensors")
        changed = {name for name in now if not torch.equal(now[name], weights[name])}
        assert changed == {name for name in now if name.startswith("exits.")}

    criteria = '{"learned_criteria": ["certainty", "consistency"], "criterion": "consistency"}'
    last = finetune(
        tmp_path / "criteria",
        texts,
        *("--model_name_or_path", tmp_path / "distillation", "--regime", "criteria"),
        *("--train_on_held_out", "--reader_options", criteria, "--num_train_epochs", 2),
    )
    assert last["eval_accuracy_exit_0"] == pytest.approx(result["eval_accuracy_exit_0"], abs=0.2)
    after = load_file(tmp_path / "criteria" / "model.safetensors")
    assert all(torch.equal(after[name], now[name]) for name in now)
    assert {name.split(".")[1] for name in set(after) - set(now)} == {"certainty", "consistency"}
    pipe = pipeline("text-classification", str(tmp_path / "criteria"), policy="consistency:0.0")
    assert all(reading.trace.exit == 0 for reading in pipe.read(["w1 good", "w2 bad"]))


def test_held_out_texts_are_those_that_the_training_before_held_out(
    script: Callable[[str], Any], reviews: Reviews
) -> None:
    data = script("temporal.pipelines.training.text_data")
    path = str(reviews(0, 200))
    trained, validated = data.load_data(data.DataArguments(train_file=path), 7)
    again = data.DataArguments(train_file=path, train_on_held_out=True)
    first, second = (set(rows["text"]) for rows in data.load_data(again, 7))
    assert first | second == set(validated["text"]) and not first & second and first and second
    assert not first & set(trained["text"])
    with pytest.raises(ValueError, match=r"--validation_file \(x\) must be left out"):
        data.DataArguments(train_file=path, train_on_held_out=True, validation_file="x")


def test_three_classes_keep_their_names(finetune: Run, tmp_path: Path) -> None:
    def name(word: str) -> str:
        return "praise" if word in GOOD else "blame" if word in BAD else "nothing"

    rows = write_rows(tmp_path / "rows.csv", name, 480)
    result = finetune(tmp_path / "out", rows, "--num_train_epochs", 6)
    assert result["eval_accuracy"] >= 0.9
    pipe = pipeline("text-classification", str(tmp_path / "out"), policy="margin:0.5", top_k=None)
    answers = pipe(["w1 lovely w3", "w2 awful w4", "w5 w6 w7"])
    assert [row[0]["label"] for row in answers] == ["praise", "blame", "nothing"]
    assert {row["label"] for row in answers[0]} == {"praise", "blame", "nothing"}


def test_a_regression_is_trained_halted_and_read_as_numbers(finetune: Run, tmp_path: Path) -> None:
    def score(word: str) -> float:
        return 2.5 if word in GOOD else -1.5 if word in BAD else 0.0

    rows = write_rows(tmp_path / "rows.csv", score, 480)
    options = '{"learned_criteria": ["certainty"], "window_size": 2}'
    result = finetune(
        tmp_path / "out",
        rows,
        *("--regression", "--reader_options", options, "--num_train_epochs", 8),
    )
    assert result["eval_mse"] < 0.3 and result["eval_pearson"] > 0.95
    assert result["eval_mse"] == result["eval_mse_exit_1"] != result["eval_mse_exit_0"]
    texts = ["w1 lovely w3", "w2 awful w4", "w5 w6 w7"]
    for policy in (None, "certainty:0.5"):
        answers = pipeline("text-classification", str(tmp_path / "out"), policy=policy)(texts)
        assert {answer["label"] for answer in answers} == {"LABEL_0"}
        scores = [answer["score"] for answer in answers]
        assert scores == pytest.approx([2.5, -1.5, 0.0], abs=0.8)
    saved = EarlyExit.from_pretrained(tmp_path / "out").config
    assert (saved.problem_type, saved.criterion) == ("regression", "window")


def test_recurrent_readers_have_no_regimes_and_no_regression(
    finetune: Run, reviews: Reviews
) -> None:
    with pytest.raises(ValueError, match=r"--regime \(joint\) needs --model early_exit"):
        finetune(Path("-"), Path("-"), "--model", "skim_rnn", "--regime", "joint")
    with pytest.raises(ValueError, match="--regression needs --model early_exit, not skim_rnn"):
        finetune(Path("-"), reviews(0, 64), "--model", "skim_rnn", "--regression")
