"""Values that mean nothing are refused at the boundary, in words that say what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from temporal.models import LSTMJump, LSTMJumpConfig
from temporal.pipelines import pipeline


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("model", ["bert_path", "early_exit_path", "vit_path", "video_mae_path"])
def test_a_threshold_is_a_finite_number(model, number, request: pytest.FixtureRequest) -> None:
    task = "text" if model in ("bert_path", "early_exit_path") else "video"
    path = request.getfixturevalue(model)
    with pytest.raises(ValueError, match=rf"threshold \({number}\) of policy 'confidence' must"):
        pipeline(f"{task}-classification", path, policy=f"confidence:{number}")


@pytest.mark.parametrize("number", ["nan", "inf", "1.5", "-1"])
@pytest.mark.parametrize("name", ["max_jumps", "tokens_between_jumps"])
def test_jumps_are_counted_in_whole_numbers(name, number, tokenizer: Any) -> None:
    reader = LSTMJump(LSTMJumpConfig(vocab_size=100, embedding_size=4, hidden_size=4))
    message = rf"{name} \(-1.0\) must be between" if number == "-1" else "needs a whole number"
    with pytest.raises(ValueError, match=message):
        pipeline("text-classification", reader, tokenizer=tokenizer, policy=f"{name}:{number}")


@pytest.mark.parametrize("batch_size", [1.5, 0, -2, "3"])
def test_batches_are_counted_in_whole_numbers(batch_size, bert_path: Path) -> None:
    message = r"batch_size \(.*\) must be a whole number >= 1"
    with pytest.raises(ValueError, match=message):
        pipeline("text-classification", bert_path, batch_size=batch_size)
    pipe: Any = pipeline("text-classification", bert_path)
    with pytest.raises(ValueError, match=message):
        pipe("w1", batch_size=batch_size)


@pytest.mark.parametrize("top_k", [-1, 0, 1.5])
def test_predictions_are_counted_in_whole_numbers(top_k, bert_path: Path) -> None:
    message = r"top_k \(.*\) must be a whole number >= 1"
    with pytest.raises(ValueError, match=message):
        pipeline("text-classification", bert_path, top_k=top_k)
    pipe: Any = pipeline("text-classification", bert_path)
    for call in (pipe, pipe.read):
        with pytest.raises(ValueError, match=message):
            call("w1", top_k=top_k)
    assert len(pipe("w1", top_k=None)) == 3
