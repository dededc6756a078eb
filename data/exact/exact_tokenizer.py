"""`ExactTokenizer`: a reference tokenizer, and a faster library where it says the very same."""

from __future__ import annotations

import logging
from typing import Any

from .reference import encode_by_reference
from .settings import settings_of, why_unsupported
from .spans import LaterSpans, num_specials
from .ugly_texts import ugly_texts
from .wordpiece import Encode, NotSupported, load_nanotoken

_log = logging.getLogger(__name__)

_WORTHWHILE_TEXTS = 32
"""For so many texts no library is loaded, which takes 0.1 s."""

_SAMPLE_TEXTS, _SAMPLE_CHARACTERS = 16, 20_000
"""Of a run's first texts so many are compared: some 10 ms of the reference."""

_SHORT_SAMPLE_TEXTS, _SHORT_SAMPLE_CHARACTERS = 1, 2_000
_SHORT_FOR_TEXTS = 1024
"""For so many texts after that, only the first one of a run is: jobs read in many short runs."""


class ExactTokenizer:
    """Ids of texts, always those of the reference.

    A faster library stands in for it where one knows such a tokenizer, says the same on texts that
    tokenizers get wrong, and goes on saying the same on the first texts of each run. Otherwise, and
    once anything was changed about the tokenizer, the reference does the work.

    Args:
        reference: a tokenizer of transformers.
    """

    def __init__(self, reference: Any) -> None:
        self.reference = reference
        self.library: str | None = None
        """Name and version of the library that stands in; None: the reference is at work."""
        self.reason: str | None = None
        """Why it is the reference; None while that has not been asked."""
        self._encode: Encode | None = None
        self._settings: tuple[Any, ...] = ()
        self._specials = (0, 0)
        self._texts_before = 0
        self._texts_since_sample: int | None = None
        self._left_to_compare = 0
        self._characters_left = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reference,)  # a library is loaded again where it is wanted

    @property
    def said(self) -> str:
        """What tokenizes, and why, for a person."""
        if self.library is not None:
            return f"{self.library} (checked against {type(self.reference).__name__})"
        name = type(self.reference).__name__
        return name if self.reason is None else f"{name}: {self.reason}"

    @property
    def is_apart(self) -> bool:
        """Whether texts are encoded without the reference, which others may be using meanwhile."""
        return self.library is not None and not self._left_to_compare

    def stay_with_reference(self, why: str) -> None:
        """Let the reference tokenize from here on, for a reason that `said` tells."""
        self.library = self._encode = None
        self.reason = why

    def begin_run(self) -> None:
        """Compare the next texts with the reference again: a run begins.

        Of the first run, and again after a thousand texts, 16 are compared; of others one.
        """
        since = self._texts_since_sample
        if since is not None and since < _SHORT_FOR_TEXTS:
            self._left_to_compare = _SHORT_SAMPLE_TEXTS
            self._characters_left = _SHORT_SAMPLE_CHARACTERS
        else:
            self._left_to_compare, self._characters_left = _SAMPLE_TEXTS, _SAMPLE_CHARACTERS

    def encode(self, texts: list[str], add_special_tokens: bool) -> list[tuple[Any, Any]]:
        """Token ids of each text, and what their character spans can be taken from, if anything.

        Args:
            texts: without lone surrogates.
            add_special_tokens: let the tokenizer add its own.
        """
        if self._is_wanted(len(texts)):
            self._load()
        if self._encode is not None:
            if settings_of(self.reference) == self._settings:
                found = self._checked(self._encode, texts, add_special_tokens)
                if found is not None:
                    return found
            else:
                self._give_up("the tokenizer was changed after it was loaded")
        return encode_by_reference(self.reference, texts, add_special_tokens)

    def _is_wanted(self, num_texts: int) -> bool:
        if self.library is not None or self.reason is not None:
            return False
        self._texts_before += num_texts
        return self._texts_before > _WORTHWHILE_TEXTS

    def _load(self) -> None:
        """Find a library, and compare it with the reference on texts that are easy to get wrong."""
        why = why_unsupported(self.reference)
        if why is not None:
            self.reason = why
            return
        try:
            library, encode = load_nanotoken(self.reference)
            texts = ugly_texts(self.reference)
            for add_special_tokens in (False, True):
                if not self._agrees(encode, texts, add_special_tokens):
                    raise NotSupported(f"{library} gives other ids for texts made to tell")
        except NotSupported as error:
            self.reason = str(error)
            return
        except BaseException as error:
            if not _is_fault(error):
                raise
            self.reason = f"a library that was tried failed ({type(error).__name__}: {error})"
            return
        self._settings = settings_of(self.reference)
        self._specials = num_specials(self.reference)
        self.library, self._encode = library, encode

    def _checked(
        self, encode: Encode, texts: list[str], add_special_tokens: bool
    ) -> list[tuple[Any, Any]] | None:
        """What `encode` gives; None where it cannot be trusted any more."""
        try:
            if not self._agrees(encode, self._sample(texts), add_special_tokens):
                self._give_up(f"{self.library} gave other ids for a text of this run")
                return None
            rows = encode(texts, add_special_tokens)
        except BaseException as error:
            if not _is_fault(error):
                raise
            self._give_up(f"{self.library} failed ({type(error).__name__}: {error})")
            return None
        specials = self._specials if add_special_tokens else (0, 0)
        return [
            (row, LaterSpans(text, self.reference, add_special_tokens, len(row), specials))
            for text, row in zip(texts, rows, strict=True)
        ]

    def _sample(self, texts: list[str]) -> list[str]:
        """Those of these texts that are among the first of the run, as far as they are compared."""
        if self._left_to_compare == _SAMPLE_TEXTS:
            self._texts_since_sample = 0
        if self._texts_since_sample is not None:
            self._texts_since_sample += len(texts)
        sample = []
        for text in texts[: self._left_to_compare]:
            sample.append(text[: self._characters_left])
            self._characters_left -= len(sample[-1])
        self._left_to_compare -= len(sample)
        return [text for text in sample if text]

    def _agrees(self, encode: Encode, texts: list[str], add_special_tokens: bool) -> bool:
        """Whether a library and the reference give the same ids for texts."""
        if not texts:
            return True
        found = encode(texts, add_special_tokens)
        right = encode_by_reference(self.reference, texts, add_special_tokens)
        return len(found) == len(right) and all(
            row.tolist() == list(ids) for row, (ids, _) in zip(found, right, strict=True)
        )

    def _give_up(self, why: str) -> None:
        _log.warning("%s: the reference tokenizes from here on", why)
        self.stay_with_reference(why)


def _is_fault(error: BaseException) -> bool:
    """Whether an exception is a library's own; one of Rust that panics is no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
