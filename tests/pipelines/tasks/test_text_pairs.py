"""Pairs of texts: one input and one result, the one that transformers gives."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import transformers

from temporal.pipelines import pipeline

from ..conftest import make_tokenizer
from ..small_classifiers import small_classifier

PAIRS = [
    {"text": "w1 w2 w3", "text_pair": "w4"},
    {"text": "w9", "text_pair": "w8 w7 w6 w5 w4 w3"},
    {"text": " ".join(f"w{k % 50}" for k in range(80)), "text_pair": "w5 w6 " * 20},
    {"text": "w4", "text_pair": "w1 w2 w3"},
]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet", "qwen2", "fnet"])
@pytest.mark.parametrize("types", [True, False])
def test_pairs_are_answered_as_transformers_answers_them(family: str, types: bool) -> None:
    model, tokenizer = small_classifier(family), make_tokenizer()
    tokenizer.model_input_names = ["input_ids", *["token_type_ids"] * types, "attention_mask"]
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    tokenizer.model_max_length = 90
    theirs = transformers.pipeline("text-classification", model, tokenizer=tokenizer, device="cpu")
    ours = pipeline("text-classification", model, tokenizer=tokenizer, device="cpu")
    if types and not takes:
        theirs.tokenizer = make_tokenizer()
        theirs.tokenizer.model_input_names = ["input_ids", "attention_mask"]
        theirs.tokenizer.model_max_length = 90
    inputs = [*PAIRS, "w1 w2", {"text": "w3"}]
    expected = [theirs(one, truncation=True, top_k=None) for one in inputs]
    for answers in (ours(inputs, top_k=None), [ours(one, top_k=None) for one in inputs]):
        for one, other in zip(answers, expected, strict=True):
            assert [answer["label"] for answer in one] == [answer["label"] for answer in other]
            assert [answer["score"] for answer in one] == pytest.approx(
                [answer["score"] for answer in other], abs=1e-5
            )
    assert [r.error and r.error.reason for r in ours.read(PAIRS)] == [None, None, "truncated", None]


def test_a_pair_alone_is_one_result(bert_path: Path) -> None:
    ours = pipeline("text-classification", bert_path, device="cpu")
    theirs = transformers.pipeline("text-classification", str(bert_path), device="cpu")
    assert ours(PAIRS[0])["label"] == theirs(PAIRS[0])["label"]
    assert len(ours([PAIRS[0]])) == 1


@pytest.mark.parametrize("options", [{}, {"budget": 0.5}, {"chunk_size": 20}])
@pytest.mark.parametrize("model", ["skim_path", "early_exit_path", "bert_path"])
def test_who_reads_no_pairs_says_so(
    model: str, options: Any, request: pytest.FixtureRequest
) -> None:
    if (model == "bert_path") != bool(options):
        return
    pipe = pipeline("text-classification", request.getfixturevalue(model), **options)
    pair, text = pipe.read([PAIRS[0], "w1 w2"])
    assert pair.error is not None and "reads no pairs of texts here" in pair.error.message
    assert pair.status == "error" and text.status == "ok"
