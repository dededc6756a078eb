"""What the pipeline says for an EarlyExit: what transformers' says for the classifier inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification

from temporal.models import EarlyExit
from temporal.pipelines import pipeline

from .conftest import VOCABULARY, save, spread


def make(**fields: Any) -> BertForSequenceClassification:
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        **fields,
    )
    return spread(BertForSequenceClassification(config))


@pytest.mark.parametrize(
    "fields",
    [
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 1},  # transformers takes that for a probability
        {"num_labels": 2},
        {"num_labels": 5},
    ],
    ids=["regression", "one", "two", "five"],
)
def test_answers_have_the_form_and_the_scores_of_transformers(
    fields: dict[str, Any], tmp_path: Path, tokenizer: Any, texts: list[str]
) -> None:
    classifier = make(**fields)
    save(classifier, tmp_path / "classifier", tokenizer)
    save(EarlyExit.from_classifier(classifier), tmp_path / "reader", tokenizer)
    task = "text-classification"
    theirs = transformers.pipeline(task, model=str(tmp_path / "classifier"), device="cpu")
    ours = pipeline(task, model=str(tmp_path / "reader"), device="cpu")
    for options in ({}, {"top_k": None}):
        got, want = ours(texts, **options), theirs(texts, **options)
        flat = [row for one in got for row in (one if isinstance(one, list) else [one])]
        expected = [row for one in want for row in (one if isinstance(one, list) else [one])]
        assert [row["label"] for row in flat] == [row["label"] for row in expected]
        scores = [row["score"] for row in expected]
        assert [row["score"] for row in flat] == pytest.approx(scores, abs=1e-4)
    if fields.get("problem_type") == "regression":
        assert min(scores) < 0 or max(scores) > 1  # an output, not a probability


def test_a_regression_that_halts_answers_with_the_output_of_its_exit(
    tmp_path: Path, tokenizer: Any, texts: list[str]
) -> None:
    reader = spread(EarlyExit.from_classifier(make(num_labels=1, problem_type="regression")))
    save(reader, tmp_path, tokenizer)
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs_BE = reader(encoded["input_ids"], encoded["attention_mask"]).exit_logits[..., 0]
    moved_B = (outputs_BE[:, 1] - outputs_BE[:, 0]).abs()
    reader.config.window_size = 2
    threshold = 1 / (1 + moved_B.median().item() + 1e-4)
    for policy in (f"window:{threshold}", "patience:2"):
        reader.config.tolerance = moved_B.median().item() + 1e-4
        readings = list(
            pipeline("text-classification", model=reader, tokenizer=tokenizer, policy=policy).read(
                texts
            )
        )
        exits = [reading.trace.exit for reading in readings if reading.trace]
        halts = moved_B < reader.config.tolerance
        assert [exit == 1 for exit in exits] == halts.tolist() and 0 not in exits
        assert any(halts) and not all(halts)
        want = outputs_BE[torch.arange(len(texts)), exits]
        scores = [reading.predictions[0]["score"] for reading in readings]
        torch.testing.assert_close(torch.tensor(scores), want, atol=1e-4, rtol=0)


def test_a_policy_that_means_nothing_in_regression_is_refused(tokenizer: Any) -> None:
    reader = EarlyExit.from_classifier(make(num_labels=1))
    with pytest.raises(ValueError, match=r"policy \('confidence'\) needs probabilities"):
        pipeline("text-classification", model=reader, tokenizer=tokenizer, policy="confidence:0.9")
