"""`Document`: a text as a sequence of tokens that can be read in part."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from .exact.spans import LaterSpans
from .tokens import CHARACTERS_PER_TOKEN as CHARACTERS_PER_TOKEN
from .tokens import side_cut, tokenize, tokenize_pair

if TYPE_CHECKING:
    import torch

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)\]]*\s+|(?:<br\s*/?>\s*)+|\n+")


class TextError(Exception):
    """A text cannot be read.

    Args:
        reason: `"empty_input"` (no token), `"not_text"`, or `"too_long"` for its reader.
        message: A sentence for a person.
    """

    reason: Literal["empty_input", "not_text", "too_long"]
    """Why, as one word of a closed list."""

    def __init__(
        self, reason: Literal["empty_input", "not_text", "too_long"], message: str
    ) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: {self.args[1]}"


class Document:
    """A source of tokens.

    Args:
        text: The text. Lone surrogates, which no tokenizer takes, are replaced.
        tokenizer: A Hugging Face tokenizer; or give `ids`.
        ids: Token ids [T] when the text is tokenized already.
        offsets: [T, 2] character span of each token in `text` (half-open), for showing and for
            `sentences`; a fast tokenizer gives them.
        id: The document's name in results.
        max_tokens: Keep so many tokens, of the end that the tokenizer's `truncation_side` leaves;
            `truncated` says whether there was more.
        add_special_tokens: Let the tokenizer add its own ([CLS] and so on).

    Raises:
        TextError: `empty_input`: no token (also for white space). It is a `not_text` error in
            `batch`; here another type than str is a TypeError.

    Example:
        >>> document = Document("It was long. It was good.", tokenizer)
        >>> [document.read(sentence) for sentence in document.sentences()]
    """

    unit = "token"
    in_memory = True
    truncated = False
    is_pair = False
    """Whether this is a pair of texts; then `ids` hold all special tokens."""
    token_types: torch.Tensor | None = None
    """`token_type_ids` of a pair, int64 [T], where its tokenizer gives them."""

    def __init__(
        self,
        text: str,
        tokenizer: Any = None,
        *,
        ids: Sequence[int] | torch.Tensor | None = None,
        offsets: Sequence[tuple[int, int]] | NDArray[np.int64] | None = None,
        id: str | None = None,
        max_tokens: int | None = None,
        add_special_tokens: bool = False,
    ) -> None:
        if not isinstance(text, str):
            raise TypeError(f"text ({type(text).__name__}) must be a str")
        if (tokenizer is None) == (ids is None):
            raise ValueError("give either tokenizer or ids")
        start = time.perf_counter()
        side = "right"
        self.text = text
        if tokenizer is not None:
            if not text.strip():
                raise TextError("empty_input", "the text is empty or white space")
            side = side_cut(tokenizer)
            ((self.text, ids, offsets),) = tokenize(
                [text], tokenizer, max_tokens, add_special_tokens
            )
        seconds = time.perf_counter() - start
        self._set(ids, offsets, id or "<text>", max_tokens, seconds, side=side)

    def _set(
        self,
        ids: Any,
        offsets: Any,
        id: str,
        max_tokens: int | None,
        seconds: float,
        *,
        side: str = "right",
        may_be_empty: bool = False,
    ) -> None:
        import torch  # here: decode workers import this package and never need it

        self.id = id
        self.ids = torch.as_tensor(ids, dtype=torch.int64)
        self._offsets = offsets
        if self.ids.ndim != 1:
            raise ValueError(f"ids must have one dimension, not {self.ids.ndim}")
        total = len(self)
        if total == 0 and not may_be_empty:
            raise TextError("empty_input", "the text has no token")
        if offsets is not None and len(offsets) != total:
            raise ValueError(f"offsets ({len(offsets)}) must be as many as ids ({total})")
        if max_tokens is not None and total > max_tokens:
            # The tokenizer's own at both ends stay there, as where it truncates itself.
            if isinstance(offsets, LaterSpans):
                opening, closing = offsets.specials
            else:
                opening, closing = _num_specials(self.offsets)
            inner = max(max_tokens - opening - closing, 0)
            first = total - closing - inner if side == "left" else opening
            kept = [*range(opening), *range(first, first + inner), *range(total - closing, total)]
            kept = kept[:max_tokens]
            if isinstance(offsets, LaterSpans):
                offsets.keep(kept)
            elif self.offsets is not None:
                self._offsets = self.offsets[kept]
            self.ids, self.truncated = self.ids[kept], True
        self._spent = Cost(decode_seconds=seconds)

    @property
    def offsets(self) -> NDArray[np.int64] | None:
        """`[T, 2]` character span of each token in `text`, half-open; None: not known.

        Made when they are first asked for: reading needs none.
        """
        if self._offsets is not None and not isinstance(self._offsets, np.ndarray):
            spans = getattr(self._offsets, "offsets", self._offsets)  # a tokenizer's encoding
            self._offsets = np.asarray(spans, dtype=np.int64).reshape(-1, 2)
        return self._offsets

    @classmethod
    def batch(
        cls,
        texts: Sequence[object],
        tokenizer: Any,
        *,
        ids: Sequence[str] | None = None,
        max_tokens: int | None = None,
        add_special_tokens: bool = False,
        may_be_empty: bool = False,
        max_pair_tokens: int | None = None,
        truncation: Any = True,
    ) -> list[Document | TextError]:
        """Tokenize many texts in one call; the time is shared by length.

        Args:
            texts: The texts; or pairs of texts, `{"text": ..., "text_pair": ...}`.
            tokenizer: A Hugging Face tokenizer, or an `ExactTokenizer` around one.
            ids: The documents' names (not token ids), as many as texts.
            max_tokens: Keep so many tokens of each.
            add_special_tokens: Let the tokenizer add its own.
            may_be_empty: A text without a token is a document of no tokens, no error.
            max_pair_tokens: Keep so many tokens of a pair, with its special ones.
            truncation: The tokenizer's own strategy for pairs.

        Returns:
            One entry per text: a document, or for a bad text the `TextError` that says why
            (`not_text`, `empty_input`). A bad text does not touch the others.
        """
        if ids is not None and len(ids) != len(texts):
            raise ValueError(f"ids ({len(ids)}) must be as many as texts ({len(texts)})")
        start = time.perf_counter()
        names = [f"text-{k:06d}" for k in range(len(texts))] if ids is None else ids
        results: list[Document | TextError | None] = [None] * len(texts)
        clean: list[tuple[int, str]] = []
        for place, text in enumerate(texts):
            if isinstance(text, Mapping):
                results[place] = cls._pair(
                    text, tokenizer, names[place], max_pair_tokens, truncation
                )
            elif not isinstance(text, str):
                kind = type(text).__name__
                results[place] = TextError("not_text", f"text ({kind}) must be a str")
            elif may_be_empty or text.strip():
                clean.append((place, text))
            else:
                results[place] = TextError("empty_input", "the text is empty or white space")
        side = side_cut(tokenizer)
        found = tokenize([text for _, text in clean], tokenizer, max_tokens, add_special_tokens)
        seconds = time.perf_counter() - start
        total = max(sum(len(text) for text, _, _ in found), 1)
        for (place, _), (part, tokens, spans) in zip(clean, found, strict=True):
            document = cls.__new__(cls)
            document.text = part
            share = seconds * len(part) / total
            try:
                document._set(
                    tokens,
                    spans,
                    names[place],
                    max_tokens,
                    share,
                    side=side,
                    may_be_empty=may_be_empty,
                )
                results[place] = document
            except TextError as error:
                results[place] = error
        assert all(result is not None for result in results)
        return results  # type: ignore[return-value]  # every place is filled

    @classmethod
    def _pair(
        cls,
        pair: Mapping[str, Any],
        tokenizer: Any,
        id: str,
        max_tokens: int | None,
        truncation: Any,
    ) -> Document | TextError:
        if set(pair) != {"text", "text_pair"} or not all(
            isinstance(text, str) for text in pair.values()
        ):
            return TextError("not_text", "a pair must be {'text': str, 'text_pair': str}")
        import torch

        start = time.perf_counter()
        ids, types, cut = tokenize_pair(pair, tokenizer, max_tokens, truncation)
        document = cls.__new__(cls)
        document.text, document.is_pair = f"{pair['text']}\n{pair['text_pair']}", True
        document.token_types = None if types is None else torch.as_tensor(types)
        try:
            document._set(ids, None, id, None, time.perf_counter() - start)
        except TextError as error:
            return error
        document.truncated = cut
        return document

    def __len__(self) -> int:
        return self.ids.shape[0]

    def read(self, units: Sequence[int], **options: Any) -> torch.Tensor:
        """Return the token ids at these places, int64 [K], in the order asked for.

        Raises:
            IndexError: A place is not in 0..len - 1.
        """
        if options:
            raise TypeError(f"a Document takes no read options, got {', '.join(options)}")
        if isinstance(units, range) and units.step == 1:
            start, stop = units.start, units.stop
            if 0 <= start <= stop <= len(self):
                return self.ids[start:stop]
        import torch

        places = torch.as_tensor([int(unit) for unit in units], dtype=torch.int64)
        outside = places[(places < 0) | (places >= len(self))]
        if len(outside):
            raise IndexError(
                f"token index ({int(outside[0])}) must be in 0..{len(self) - 1}: "
                f"{self.id} has {len(self)} tokens"
            )
        return self.ids[places]

    @property
    def spent(self) -> Cost:
        """What tokenizing cost; reading tokens that are in memory costs nothing."""
        return self._spent

    def cost(self, units: Sequence[int]) -> Cost:
        """What reading these tokens costs: nothing, they are in memory."""
        return Cost()

    def chunks(self, size: int, overlap: int = 0) -> list[range]:
        """Cut the document into ranges of `size` tokens that share `overlap` tokens.

        The ranges cover every token; the last may be shorter.
        """
        if size < 1:
            raise ValueError(f"size ({size}) must be >= 1")
        if not 0 <= overlap < size:
            raise ValueError(f"overlap ({overlap}) must be in 0..size - 1 ({size - 1})")
        last_start = max(len(self) - overlap, 1)
        starts = range(0, last_start, size - overlap)
        return [range(start, min(start + size, len(self))) for start in starts]

    def sentences(self) -> list[range]:
        """Cut the document into sentences: token ranges, in order, that cover every token.

        Sentences end at . ! ? followed by space, at line ends and at `<br>`.

        Raises:
            ValueError: The document has no `offsets` (use a fast tokenizer).
        """
        if self.offsets is None:
            raise ValueError(
                "sentences need offsets; tokenize with a fast tokenizer or pass offsets"
            )
        matches = _SENTENCE_END.finditer(self.text)
        ends = np.array([match.end() for match in matches], dtype=np.int64)
        # Special tokens have the empty span (0, 0): they stay with the sentence before them.
        starts = np.maximum.accumulate(self.offsets[:, 0])
        sentence = np.searchsorted(ends, starts, side="right")
        cuts = [0, *(np.flatnonzero(np.diff(sentence)) + 1).tolist(), len(self)]
        return [range(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]

    def __repr__(self) -> str:
        return f"Document({self.id!r}, {len(self)} tokens)"


def _num_specials(spans: NDArray[np.int64] | None) -> tuple[int, int]:
    """How many tokens at the start and the end stand for no characters: the tokenizer's own."""
    if spans is None:
        return 0, 0
    empty = spans[:, 0] == spans[:, 1]
    if empty.all():
        return 0, len(empty)
    return int(np.argmin(empty)), int(np.argmin(empty[::-1]))
