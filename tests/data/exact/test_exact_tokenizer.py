"""Ids by a faster library are the reference's, or the reference gives them."""

from __future__ import annotations

import importlib.util
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from temporal.data import Document, TextError
from temporal.data.exact import exact_tokenizer
from temporal.data.exact.exact_tokenizer import ExactTokenizer
from temporal.data.exact.reference import encode_by_reference
from temporal.data.exact.ugly_texts import ugly_texts
from temporal.data.exact.wordpiece import NotSupported

needs_nanotoken = pytest.mark.skipif(
    importlib.util.find_spec("nanotoken") is None, reason="of the extra `fast`"
)
PIECES = ["it", "was", "long", "good", "bad", "un", "##aff", "##able", "the", "film", "a", "e"]
MARKS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ".",
    "!",
    ",",
    "'",
    "-",
    "#",
    "\u6211",
    "##s",
]
TEXTS = [f"It was long. The film was UNAFFABLE, number {k}!" for k in range(50)]


def make_tokenizer(**normalizer: Any) -> Any:
    vocab = {piece: place for place, piece in enumerate([*MARKS, *PIECES])}
    inner = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(**normalizer)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", **names)


def ids_of(rows: list[tuple[Any, Any]]) -> list[list[int]]:
    return [np.asarray(ids).tolist() for ids, _ in rows]


def right(tokenizer: Any, texts: list[str], specials: bool = False) -> list[list[int]]:
    return ids_of(encode_by_reference(tokenizer, texts, specials))


def strange_texts(count: int) -> list[str]:
    """Random strings of characters of all planes, without lone surrogates."""
    rng = random.Random(0)
    known = ["It", " ", " ", "was", "[CLS]", "[SEP]", "##", "\n", "\u0301", "\u200d", "\x00", "un"]

    def character() -> str:
        kind = rng.random()
        if kind < 0.5:
            return rng.choice(known)
        if kind < 0.7:
            return chr(rng.randrange(0x250))
        if kind < 0.9:
            return chr(rng.choice((rng.randrange(0x300, 0xD800), rng.randrange(0xE000, 0x10000))))
        return chr(rng.randrange(0x10000, 0x110000))

    return ["".join(character() for _ in range(rng.randrange(1, 50))) for _ in range(count)]


@needs_nanotoken
@pytest.mark.parametrize(
    "options", [{}, {"lowercase": False}, {"strip_accents": False}, {"clean_text": False}]
)
@pytest.mark.parametrize("specials", [False, True])
def test_ids_and_spans_are_the_references(options: dict[str, Any], specials: bool) -> None:
    tokenizer = make_tokenizer(**options)
    exact = ExactTokenizer(tokenizer)
    texts = [*TEXTS, *ugly_texts(tokenizer), *strange_texts(300)]
    found = exact.encode(texts, specials)
    assert exact.library is not None and exact.library.startswith("nanotoken ")
    assert "checked" in exact.said and exact.reason is None
    wanted = encode_by_reference(tokenizer, texts, specials)
    assert ids_of(found) == ids_of(wanted)
    for (_, spans), (_, encoding) in list(zip(found, wanted, strict=True))[::7]:
        assert len(spans) == len(encoding) and spans.offsets == encoding.offsets


@needs_nanotoken
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("specials", [False, True])
@pytest.mark.parametrize("most", [1, 2, 3, 7, 30])
def test_documents_are_the_references(side: str, specials: bool, most: int) -> None:
    tokenizer = make_tokenizer()
    tokenizer.truncation_side = side
    texts: list[Any] = [*TEXTS, "", " \n", "x" * 900, "a" * 50_000, "It\ud800 was\0 good.", 3]
    texts += [{"text": "it was", "text_pair": "the film"}]
    options: dict[str, Any] = {"max_tokens": most, "add_special_tokens": specials}
    exact = ExactTokenizer(tokenizer)
    found = Document.batch(texts, exact, **options)
    assert exact.library is not None
    for mine, other in zip(found, Document.batch(texts, tokenizer, **options), strict=True):
        assert type(mine) is type(other)
        if isinstance(mine, TextError) or isinstance(other, TextError):
            assert str(mine) == str(other)
            continue
        assert mine.ids.tolist() == other.ids.tolist() and mine.ids.dtype == other.ids.dtype
        assert (mine.text, mine.truncated, len(mine)) == (other.text, other.truncated, len(other))
        if other.offsets is None:
            assert mine.offsets is None
        else:
            assert mine.offsets is not None
            assert mine.offsets.tolist() == other.offsets.tolist()
            assert mine.sentences() == other.sentences()


@needs_nanotoken
def test_the_last_calls_truncation_and_padding_are_left_out() -> None:
    tokenizer = make_tokenizer()
    tokenizer(TEXTS[:2], truncation=True, max_length=3, padding="max_length")
    exact = ExactTokenizer(tokenizer)
    assert ids_of(exact.encode(TEXTS, True)) == right(make_tokenizer(), TEXTS, True)
    assert exact.library is not None


def test_few_texts_are_not_worth_loading() -> None:
    exact = ExactTokenizer(make_tokenizer())
    assert ids_of(exact.encode(TEXTS[:3], False)) == right(exact.reference, TEXTS[:3])
    assert (exact.library, exact.reason) == (None, None)


class OwnCall(PreTrainedTokenizerFast):
    def __call__(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        lowered = [one.replace("bad", "good") for one in text] if isinstance(text, list) else text
        return super().__call__(lowered, *args, **kwargs)


def of_words(kind: Any) -> Any:
    inner = Tokenizer(kind({"it": 0, "was": 1, "[UNK]": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")


def with_own_call() -> Any:
    plain = make_tokenizer()
    return OwnCall(tokenizer_object=plain.backend_tokenizer, unk_token="[UNK]")


def patched() -> Any:
    tokenizer = make_tokenizer()
    whole = tokenizer._encode_plus
    tokenizer._encode_plus = lambda text, **kw: whole([one[::-1] for one in text], **kw)
    return tokenizer


def splitting() -> Any:
    tokenizer = make_tokenizer()
    tokenizer.split_special_tokens = True
    return tokenizer


@needs_nanotoken
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: of_words(models.WordLevel), "WordLevel"),
        (with_own_call, "own __call__"),
        (patched, "own _encode_plus"),
        (splitting, "split_special_tokens"),
    ],
)
def test_what_no_library_knows_is_the_references(make: Callable[[], Any], why: str) -> None:
    exact = ExactTokenizer(make())
    texts = [*TEXTS, "bad [CLS]"]
    assert ids_of(exact.encode(texts, False)) == right(make(), texts)
    assert exact.library is None and why in exact.said


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanotoken", None)
    exact = ExactTokenizer(make_tokenizer())
    assert ids_of(exact.encode(TEXTS, True)) == right(exact.reference, TEXTS, True)
    assert exact.library is None and "temporal-nn[fast]" in exact.said


def add_tokens(tokenizer: Any) -> None:
    tokenizer.add_tokens(["film was"])


def add_special(tokenizer: Any) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("UNAFF", lstrip=True)]})


def keep_case(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)


def split_less(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def shorter_words(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.model.max_input_chars_per_word = 3


def other_model(tokenizer: Any) -> None:
    words = tokenizer.get_vocab()
    words["long"], words["good"] = words["good"], words["long"]
    tokenizer.backend_tokenizer.model = models.WordPiece(words, unk_token="[UNK]")


def no_specials(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A")


@needs_nanotoken
@pytest.mark.parametrize(
    "change",
    [add_tokens, add_special, keep_case, split_less, shorter_words, other_model, no_specials],
)
def test_what_is_changed_after_loading_is_noticed(
    change: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    exact = ExactTokenizer(make_tokenizer())
    before = ids_of(exact.encode(TEXTS, True))
    assert exact.library is not None
    change(exact.reference)
    exact.begin_run()
    after = ids_of(exact.encode(TEXTS, True))
    assert after == right(exact.reference, TEXTS, True) and after != before
    assert exact.library is None and exact.reason is not None
    assert "the reference tokenizes from here on" in caplog.text


def lying(when: Callable[[str], bool]) -> Callable[[Any], tuple[str, Any]]:
    """A library that gives a wrong id for some texts."""

    def load(tokenizer: Any) -> tuple[str, Any]:
        def encode(texts: list[str], specials: bool) -> list[Any]:
            rows = [np.array(ids, np.int64) for ids in right(tokenizer, texts, specials)]
            return [row + when(text) for row, text in zip(rows, texts, strict=True)]

        return "quick 1.0", encode

    return load


def test_a_library_that_errs_on_ugly_texts_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", lying(lambda text: "\u0130" in text))
    exact = ExactTokenizer(make_tokenizer())
    texts = [*TEXTS, "\u0130t was"]
    assert ids_of(exact.encode(texts, False)) == right(exact.reference, texts)
    assert exact.library is None and "quick 1.0" in exact.said


def test_a_library_that_errs_on_the_first_texts_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", lying(lambda text: "zebra" in text))
    exact = ExactTokenizer(make_tokenizer())
    exact.begin_run()
    exact.encode(TEXTS, False)
    assert exact.library == "quick 1.0" and exact.is_apart
    exact.begin_run()
    assert not exact.is_apart
    texts = ["a zebra", *TEXTS]
    assert ids_of(exact.encode(texts, False)) == right(exact.reference, texts)
    assert exact.library is None and "of this run" in exact.said
    long_one = ["film " * 20_000 + "zebra"]  # compared as far as a run's first texts are
    again = ExactTokenizer(make_tokenizer())
    again.encode(TEXTS, False)
    again.begin_run()
    again.encode(long_one, False)
    assert again.library == "quick 1.0"


def test_of_many_short_runs_few_texts_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    load = lying(lambda text: False)
    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", load)
    exact = ExactTokenizer(make_tokenizer())
    exact.begin_run()
    exact.encode(TEXTS, False)
    compared: list[int] = []
    agrees = exact._agrees
    monkeypatch.setattr(
        exact,
        "_agrees",
        lambda encode, texts, specials: (
            compared.append(len(texts)) or agrees(encode, texts, specials)
        ),
    )
    for _ in range(60):
        exact.begin_run()
        exact.encode(TEXTS, False)
    assert max(compared) == 16 and set(compared) == {1, 16}
    assert 2 <= compared.count(16) <= 3  # one in some thousand texts


class PanicException(BaseException):
    """As of Rust."""


@pytest.mark.parametrize("error", [RuntimeError("no"), PanicException("index out of range")])
def test_a_library_that_fails(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(tokenizer: Any) -> tuple[str, Any]:
        name, encode = lying(lambda text: False)(tokenizer)

        def failing(texts: list[str], specials: bool) -> Any:
            if any("zebra" in text for text in texts):
                raise error
            return encode(texts, specials)

        return name, failing

    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", load)
    exact = ExactTokenizer(make_tokenizer())
    exact.encode(TEXTS, False)
    assert exact.library == "quick 1.0"
    texts = [*TEXTS, "zebra"]
    assert ids_of(exact.encode(texts, False)) == right(exact.reference, texts)
    assert exact.library is None and type(error).__name__ in exact.said

    def fails_at_once(tokenizer: Any) -> Any:
        raise error

    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", fails_at_once)
    exact = ExactTokenizer(make_tokenizer())
    assert ids_of(exact.encode(texts, False)) == right(exact.reference, texts)
    assert exact.library is None and type(error).__name__ in exact.said


def test_an_interruption_is_none_of_its_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(tokenizer: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", load)
    with pytest.raises(KeyboardInterrupt):
        ExactTokenizer(make_tokenizer()).encode(TEXTS, False)


def test_not_supported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(tokenizer: Any) -> Any:
        raise NotSupported("it has a step of its own")

    monkeypatch.setattr(exact_tokenizer, "load_nanotoken", load)
    exact = ExactTokenizer(make_tokenizer())
    exact.encode(TEXTS, False)
    assert exact.said == "TokenizersBackend: it has a step of its own"


@needs_nanotoken
def test_it_travels_to_another_process() -> None:
    exact = ExactTokenizer(make_tokenizer())
    before = ids_of(exact.encode(TEXTS, False))
    copy = pickle.loads(pickle.dumps(exact))
    assert copy.library is None
    assert ids_of(copy.encode(TEXTS, False)) == before and copy.library == exact.library


@needs_nanotoken
def test_spans_of_a_tokenizer_that_was_changed_are_refused() -> None:
    exact = ExactTokenizer(make_tokenizer())
    (document, *_) = Document.batch(TEXTS, exact)
    assert isinstance(document, Document)
    add_tokens(exact.reference)
    with pytest.raises(ValueError, match="was changed since"):
        _ = document.offsets


@needs_nanotoken
def test_the_cache_is_bounded() -> None:
    import nanotoken

    nanotoken.set_cache_entries(1 << 20)
    ExactTokenizer(make_tokenizer()).encode(TEXTS, False)
    assert nanotoken.get_cache_entries() <= 1 << 16
    nanotoken.set_cache_entries(100)  # whoever wants less gets less
    ExactTokenizer(make_tokenizer()).encode(TEXTS, False)
    assert nanotoken.get_cache_entries() <= 128


@needs_nanotoken
def test_the_tokenizer_of_the_bundled_reader() -> None:
    from pathlib import Path

    import temporal.pipelines

    folder = Path(temporal.pipelines.__file__).parent / "defaults" / "review-skim-rnn"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    exact = ExactTokenizer(tokenizer)
    texts = strange_texts(200)
    assert ids_of(exact.encode(texts, False)) == right(tokenizer, texts)
    assert exact.library is not None
