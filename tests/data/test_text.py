"""Documents: tokens, where they lie in the text, and what bad text gets."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from temporal.data import Document, TextError
from temporal.source import Source


@pytest.fixture(scope="module")
def tokenizer():
    """One token per word or mark; [UNK] for what it does not know."""
    words = ["it", "was", "long", "good", "bad", ".", "!", "?", "[UNK]", "[CLS]", "a", "b"]
    inner = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", cls_token="[CLS]")


def test_tokens_and_their_places(tokenizer):
    document = Document("it was good.", tokenizer, id="x")
    assert document.ids.tolist() == [0, 1, 3, 5] and document.ids.dtype == torch.int64
    assert document.offsets.tolist() == [[0, 2], [3, 6], [7, 11], [11, 12]]
    assert (len(document), document.truncated, document.id) == (4, False, "x")
    assert document.read([3, 0, 0]).tolist() == [5, 0, 0]
    assert document.read(range(1, 3)).tolist() == [1, 3]
    assert isinstance(document, Source) and document.in_memory and document.unit == "token"


@pytest.mark.parametrize("units", [[4], [-1], range(2, 5)])
def test_places_out_of_range(tokenizer, units):
    with pytest.raises(IndexError, match="0..3"):
        Document("it was good.", tokenizer).read(units)


def test_chunks_cover_every_token(tokenizer):
    document = Document("a b a b a b a", tokenizer)
    assert document.chunks(3) == [range(0, 3), range(3, 6), range(6, 7)]
    assert document.chunks(4, overlap=1) == [range(0, 4), range(3, 7)]
    assert document.chunks(100) == [range(0, 7)]
    for size, overlap in ((0, 0), (2, 2), (2, -1)):
        with pytest.raises(ValueError, match="must be"):
            document.chunks(size, overlap)


def test_sentences_cover_every_token(tokenizer):
    document = Document("it was long. was it good? <br /><br />bad!\na b", tokenizer)
    pieces = [document.text[slice(*document.offsets[[s.start, s.stop - 1], [0, 1]])]
              for s in document.sentences()]  # fmt: skip
    assert pieces == ["it was long.", "was it good?", "<br /><br />", "bad!", "a b"]
    whole = [token for sentence in document.sentences() for token in sentence]
    assert whole == list(range(len(document)))
    with pytest.raises(ValueError, match="offsets"):
        Document("a b", ids=[9, 10]).sentences()


def test_given_ids(tokenizer):
    document = Document("a b", ids=[9, 10], offsets=[(0, 1), (2, 3)], max_tokens=1)
    assert document.ids.tolist() == [9] and document.truncated
    with pytest.raises(ValueError, match="either"):
        Document("a b")
    with pytest.raises(ValueError, match="offsets"):
        Document("a b", ids=[9, 10], offsets=[(0, 1)])


def test_long_texts_are_cut_before_tokenizing(tokenizer):
    seen = []

    def spy(texts, **options):
        seen.extend(map(len, texts))
        return tokenizer(texts, **options)

    spy.is_fast = True
    document = Document("good " * 2_000_000, spy, max_tokens=10)
    assert seen == [160]
    assert len(document) == 10 and document.truncated
    assert not Document("good", tokenizer, max_tokens=10).truncated


def test_spent_counts_the_time_of_tokenizing_once(tokenizer):
    def slow(texts, **options):
        time.sleep(0.05)
        return tokenizer(texts, **options)

    slow.is_fast = True
    documents = Document.batch(["a", "a b a b a b"], slow)
    spent = [document.spent.decode_seconds for document in documents]
    assert sum(spent) >= 0.05 and spent[1] == pytest.approx(11 * spent[0])
    before = documents[0].spent
    documents[0].read([0])
    assert documents[0].spent == before
    assert documents[0].cost([0]).decode_seconds == 0


@pytest.mark.parametrize("text", ["", "  \n\t", "\u2003"])
def test_empty_texts(tokenizer, text):
    with pytest.raises(TextError) as caught:
        Document(text, tokenizer)
    assert caught.value.reason == "empty_input"


@pytest.mark.parametrize("text", [None, 5, b"bytes", float("nan")])
def test_other_types(tokenizer, text):
    with pytest.raises(TypeError, match="must be a str"):
        Document(text, tokenizer)


def test_a_bad_text_does_not_touch_the_others(tokenizer):
    results = Document.batch(
        ["it was good", "", None, "\ud800 bad", "a"], tokenizer, ids=list("vwxyz"), max_tokens=2
    )
    assert [getattr(result, "reason", "ok") for result in results] == [
        "ok", "empty_input", "not_text", "ok", "ok",
    ]  # fmt: skip
    assert results[0].ids.tolist() == Document("it was good", tokenizer).ids[:2].tolist()
    assert results[0].truncated and not results[4].truncated
    assert [results[place].id for place in (0, 3, 4)] == ["v", "y", "z"]
    assert results[3].text == "? bad"
    assert Document.batch([], tokenizer) == []


def test_a_batch_equals_one_by_one(tokenizer):
    texts = ["it was long. good", "a", "bad! ? b " * 30]
    for one, many in zip(texts, Document.batch(texts, tokenizer, max_tokens=20), strict=True):
        single = Document(one, tokenizer, max_tokens=20)
        assert torch.equal(single.ids, many.ids)
        assert np.array_equal(single.offsets, many.offsets)
        assert single.truncated == many.truncated
