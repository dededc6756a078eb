"""Law 2 over every family of sequence classifiers that transformers lists.

A list of texts of unequal length gets the answers that transformers gives to one after another.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers.processors import TemplateProcessing
from transformers import BertForSequenceClassification

from temporal.pipelines import pipeline

from ..conftest import VOCABULARY, make_tokenizer
from ..small_classifiers import FAMILIES, small_classifier

NOT_BUILT = {"layoutlmv2": "needs detectron2"}
RANDOM = {"reformer": "hashes at random: it does not answer twice alike"}
NEEDS_PADDING_ID = ("modernbert-decoder", "nomic_bert")
ALWAYS = ("bert", "fnet", "gpt2", "mobilebert", "qwen2", "roberta", "t5gemma", "xlnet", "yoso")
WORDS = [word for word in VOCABULARY if word.startswith("w")]


def make_texts() -> list[str]:
    """Unequal lengths, two alike, in no order; some words repeat, one is the padding token."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=k)) for k in (5, 17, 9, 30, 6, 12, 30, 41, 6)]
    return [*texts, texts[0] + " [SEP] " + texts[4], texts[1] + " w7 [PAD]"]


def plain_tokenizer() -> Any:
    """It says nothing of types, and cuts nothing of the texts above."""
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 90
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def logits_by_label(reading: Any) -> torch.Tensor:
    assert reading.error is None
    found = {answer["label"]: answer["score"] for answer in reading.predictions}
    return torch.tensor([found[f"LABEL_{k}"] for k in range(3)])


def read(model: Any, tokenizer: Any, texts: list[str], **options: Any) -> list[Any]:
    """Readings whose scores are logits, of all classes."""
    options = {"device": "cpu", "function_to_apply": "none", **options}
    pipe = pipeline("text-classification", model, tokenizer=tokenizer, **options)
    return list(pipe.read(texts, top_k=None))


def theirs(model: Any, tokenizer: Any, text: str) -> torch.Tensor:
    """What transformers' own pipeline computes of one text: logits `[K]`."""
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0]


def is_answer(model: Any, tokenizer: Any, text: str) -> bool:
    try:
        return bool(theirs(model, tokenizer, text).isfinite().all())
    except Exception:
        return False


CASES = [
    pytest.param(
        family, pad, side, marks=() if family in ALWAYS and side == "right" else pytest.mark.slow
    )
    for family in FAMILIES
    if family not in {**NOT_BUILT, **RANDOM}
    for pad, side in ((0, "right"), (7, "left"), (7, "right"), (None, "right"))
]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("family", "pad", "side"), CASES)
def test_a_list_is_answered_as_its_texts_one_by_one(
    family: str, pad: int | None, side: str
) -> None:
    if pad is None and family in NEEDS_PADDING_ID:
        pytest.skip("its configuration takes none")
    model = small_classifier(family, pad_token_id=pad)
    tokenizer = plain_tokenizer()
    tokenizer.padding_side = side
    texts = make_texts()
    answered = [text for text in texts if is_answer(model, tokenizer, text)]
    if pad is not None:
        assert len(answered) >= 9  # some take no text with several ends
    readings = read(model, tokenizer, texts)
    for text, reading in zip(texts, readings, strict=True):
        assert (reading.error is None) == (text in answered), (text, reading.error)
        if reading.error is None:
            logits = theirs(model, tokenizer, text)
            torch.testing.assert_close(logits_by_label(reading), logits, rtol=1e-5, atol=2e-5)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in ("gpt2", "t5") else pytest.mark.slow)
        for family in FAMILIES
        if family not in {**NOT_BUILT, **RANDOM}
    ],
)
def test_a_saved_model_is_whole_and_read_as_transformers_reads_it(
    family: str, tmp_path: Path
) -> None:
    small_classifier(family).save_pretrained(tmp_path)
    plain_tokenizer().save_pretrained(tmp_path)
    texts = make_texts()[:4]
    ours = pipeline(model=tmp_path, device="cpu")
    theirs = transformers.pipeline("text-classification", str(tmp_path), device="cpu")
    for text, answers in zip(texts, ours(texts, top_k=None), strict=True):
        expected = {answer["label"]: answer["score"] for answer in theirs(text, top_k=None)}
        found = {answer["label"]: answer["score"] for answer in answers}
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("options", [{"budget": 0.5}, {"policy": "confidence:0.9"}])
@pytest.mark.parametrize("family", ["bert", "fnet", "mobilebert", "qwen2", "xlnet"])
def test_reading_in_pieces_answers_a_list_as_its_texts_alone(
    family: str, options: dict[str, Any]
) -> None:
    model, texts = small_classifier(family, pad_token_id=7), make_texts()
    options = {**options, "chunk_size": 8}
    together = read(model, plain_tokenizer(), texts, **options)
    alone = [read(model, plain_tokenizer(), [text], **options)[0] for text in texts]
    for ours, reading in zip(together, alone, strict=True):
        torch.testing.assert_close(logits_by_label(ours), logits_by_label(reading))
        assert ours.trace.read == reading.trace.read


def test_types_are_given_as_the_tokenizer_gives_them() -> None:
    model, tokenizer = small_classifier("xlnet"), plain_tokenizer()
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    template = {"single": "$A:0 [SEP]:0 [CLS]:2", "special_tokens": [("[CLS]", 2), ("[SEP]", 3)]}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(**template)
    texts = make_texts()[:5]
    for text, reading in zip(texts, read(model, tokenizer, texts), strict=True):
        logits = theirs(model, tokenizer, text)
        torch.testing.assert_close(logits_by_label(reading), logits, rtol=1e-5, atol=2e-5)


def test_a_short_text_does_not_change_how_later_ones_are_read() -> None:
    """BigBird keeps its whole attention after a text that is too short for blocks."""
    fields = {"block_size": 4, "num_random_blocks": 1}
    texts = [make_texts()[k] for k in (7, 0, 7)]
    first, _, last = read(
        small_classifier("big_bird", **fields), plain_tokenizer(), texts, batch_size=1
    )
    assert first.predictions == last.predictions
    logits = theirs(small_classifier("big_bird", **fields), plain_tokenizer(), texts[0])
    torch.testing.assert_close(logits_by_label(first), logits, rtol=1e-5, atol=2e-5)


class _Company(BertForSequenceClassification):
    """Another's class: its answers depend on what is in the batch."""

    def forward(self, *args: Any, **options: Any) -> Any:
        output = super().forward(*args, **options)
        output.logits = output.logits + 3 * output.logits.mean(0, keepdim=True)
        return output


def test_what_is_not_known_is_tried_before_it_is_batched() -> None:
    bert = small_classifier("bert")
    company = _Company(bert.config).eval()
    company.load_state_dict(bert.state_dict())
    texts = make_texts()
    texts.append(texts[0])
    for model, batching in (
        (bert, "padded"),
        (small_classifier("fnet"), "even"),
        (small_classifier("gpt2", pad_token_id=None), "alone"),
        (company, "alone"),
    ):
        pipe = pipeline("text-classification", model, tokenizer=plain_tokenizer(), device="cpu")
        alone = [pipe(text)[0] for text in texts]
        together = pipe(texts)
        assert pipe.reader.encoder.batching == batching
        for one, other in zip(alone, together, strict=True):
            assert one["label"] == other["label"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)


@pytest.mark.slow
def test_every_family_is_built_or_named() -> None:
    for family in FAMILIES:
        if family in NOT_BUILT:
            with pytest.raises(ImportError):
                small_classifier(family)
