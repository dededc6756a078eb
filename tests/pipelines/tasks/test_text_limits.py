"""Which tokens of a long text are read: those that transformers reads with `truncation=True`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from temporal.pipelines import pipeline
from temporal.pipelines.pipeline import ReadingFailed

from ..conftest import make_bert, make_tokenizer

LONG = " ".join(f"w{7 * k % 60}" for k in range(100))
PADDED = " " * 5000


@pytest.fixture(scope="module")
def model() -> Any:
    return make_bert()


def tokenizer_with(**settings: Any) -> Any:
    tokenizer = make_tokenizer()
    for name, value in settings.items():
        setattr(tokenizer, name, value)
    return tokenizer


@pytest.mark.parametrize(
    "settings",
    [
        {"model_max_length": 16},
        {"model_max_length": 64, "truncation_side": "left"},
        {"model_max_length": 9, "truncation_side": "left"},
        {"model_max_length": 10**30},
    ],
)
@pytest.mark.parametrize("text", [LONG, f"{PADDED}{LONG}{PADDED}", f"w1 {PADDED} w2 w3 {LONG}"])
def test_a_tokenizers_limit_and_side(model: Any, settings: dict[str, Any], text: str) -> None:
    tokenizer = tokenizer_with(**settings)
    ours = pipeline("text-classification", model, tokenizer=tokenizer, device="cpu")
    theirs = transformers.pipeline("text-classification", model, tokenizer=tokenizer, device="cpu")
    limit = min(settings["model_max_length"], 64)
    expected = theirs(text, top_k=None, truncation=True, max_length=limit)
    assert ours(text, top_k=None) == [
        {"label": answer["label"], "score": pytest.approx(answer["score"], abs=1e-5)}
        for answer in expected
    ]
    (reading,) = ours.read(text)
    assert reading.error is not None and reading.error.reason == "truncated"
    assert reading.trace is not None and reading.trace.units_total == limit - 2


@pytest.mark.parametrize("limit", [2, -1, "16"])
def test_a_limit_that_leaves_nothing_is_named(model: Any, limit: Any) -> None:
    with pytest.raises(ValueError, match="model_max_length .* must be a number of at least"):
        pipeline("text-classification", model, tokenizer=tokenizer_with(model_max_length=limit))


def test_an_encoder_with_exits_reads_what_its_tokenizer_allows(early_exit_path: Path) -> None:
    for settings, kept in (
        ({"model_max_length": 8}, LONG.split()[:6]),
        ({"model_max_length": 8, "truncation_side": "left"}, LONG.split()[-6:]),
    ):
        pipe = pipeline(
            "text-classification",
            early_exit_path,
            tokenizer=tokenizer_with(**settings),
            device="cpu",
        )
        assert pipe(LONG, top_k=None) == pipe(" ".join(kept), top_k=None)


def test_pieces_are_no_longer_than_the_tokenizer_allows(model: Any) -> None:
    tokenizer = tokenizer_with(model_max_length=12)
    pipe = pipeline("text-classification", model, tokenizer=tokenizer, budget=0.5, device="cpu")
    assert pipe.reader.chunk_tokens == 10
    (reading,) = pipe.read(LONG)
    assert reading.error is None and reading.trace is not None
    assert (reading.trace.units_total, len(reading.trace.read)) == (100, 50)


def test_white_space_before_a_text_is_no_empty_text(early_exit_path: Path, skim_path: Path) -> None:
    for path in (early_exit_path, skim_path):
        pipe = pipeline("text-classification", path, device="cpu", max_length=4)
        assert pipe(f"{PADDED}w1 w2", top_k=None) == pipe("w1 w2", top_k=None)


def test_without_truncation_a_longer_text_is_an_error(model: Any) -> None:
    pipe = pipeline("text-classification", model, tokenizer=make_tokenizer(), device="cpu")
    (reading,) = pipe.read(LONG)
    assert reading.status == "partial"
    with pytest.raises(ReadingFailed, match="too_long: the text has more than 62 tokens"):
        pipe([LONG], truncation=False)
    assert pipe("w1 w2", truncation=False) == pipe("w1 w2")
    with pytest.raises(ValueError, match=r"truncation \('often'\) must be one of"):
        pipe("w1 w2", truncation="often")
    with pytest.raises(ValueError, match=r"max_length \(2\) must be a whole number >= 3"):
        pipe("w1 w2", max_length=2)
