"""Pipelines that read texts: texts to documents, in cohorts of similar length."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from temporal.checks import check_count
from temporal.data import Document, Item, TextError
from temporal.data.exact.exact_tokenizer import ExactTokenizer
from temporal.data.tokens import side_cut
from temporal.engine import Engine, Outcome

from ..ahead import made_ahead
from ..base import Pipeline
from ..inputs import how_many
from ..reading import ReadingError
from ..reading_errors import ItemError

_WINDOW_BATCHES = 8
"""Batches that are tokenized and sorted by length together, so that cohorts need little padding."""


_COHORTS_IN_FLIGHT = 8


def cohorts(documents: list[Document], size: int) -> Iterator[list[Document]]:
    """Group documents by length, longest first, into cohorts of at most `size`.

    A document shorter than half of its cohort's longest begins a new one: a batch is padded to its
    longest, and more than half of its row would be padding.
    """
    cohort: list[Document] = []
    for document in sorted(documents, key=len, reverse=True):
        if cohort and (len(cohort) == size or 2 * len(document) < len(cohort[0])):
            yield cohort
            cohort = []
        cohort.append(document)
    if cohort:
        yield cohort


def _is_pair(item: Item) -> bool:
    return isinstance(item.value, Mapping)


class TextPipeline(Pipeline):
    """Reads texts for any task; takes what transformers' pipelines take, and collections.

    Args:
        loaded: reader, tokenizer and name.
        max_length: tokens of a text that are read at most; default: what the model takes.
        truncation: as of a tokenizer. Texts are cut at the model's limit unless this is False; then
            a longer one is an error (`too_long`).
        padding: accepted as by transformers' pipelines, and of no effect: batches hold as little
            padding as the model's answers allow.
        **options: see `Pipeline`.
    """

    kind = "text"
    default_batch_size = 32
    call_options = Pipeline.call_options | {"truncation", "padding", "max_length"}
    may_be_empty = False
    """Whether a text without a token is answered, by the model's special tokens alone."""

    def __init__(
        self,
        loaded: Any,
        *,
        max_length: int | None = None,
        truncation: Any = True,
        padding: Any = True,
        **options: Any,
    ) -> None:
        super().__init__(loaded, **options)
        if self.tokenizer is None:
            raise ValueError("a text model needs its tokenizer: pass tokenizer=")
        self.adds_special_tokens = loaded.adds_special_tokens
        self.truncation = truncation
        self.max_length = max_length
        self.model_limit = loaded.max_tokens
        self.num_added_tokens = loaded.num_added_tokens
        self.reads_empty = loaded.reads_empty
        self.reads_pairs = loaded.reads_pairs
        self._exact = ExactTokenizer(self.tokenizer)
        self.check_options()

    def check_options(self) -> None:
        """As of `Pipeline`."""
        super().check_options()
        if self.max_length is not None:
            check_count("max_length", self.max_length, self.num_added_tokens + 1)
        cuts = (None, True, False, "longest_first", "only_first", "only_second", "do_not_truncate")
        if self.truncation not in cuts:
            raise ValueError(f"truncation ({self.truncation!r}) must be one of {cuts}")

    @property
    def exact_tokenizer(self) -> ExactTokenizer:
        """What tokenizes: `tokenizer`, or a faster library that says the very same."""
        if self._exact.reference is not self.tokenizer:
            self._exact = ExactTokenizer(self.tokenizer)
        return self._exact

    @property
    def tokenized_by(self) -> str:
        """What tokenizes, and why, for a person: it may change from run to run."""
        return self.exact_tokenizer.said

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a document that are kept; special tokens count where documents carry them."""
        asked = None if self.max_length is None else self.max_length - self.num_added_tokens
        limits = [limit for limit in (asked, self.model_limit) if limit is not None]
        return min(limits) if limits else None

    def __call__(
        self, inputs: Any, *, top_k: Any = "", column: str | None = None, **options: Any
    ) -> Any:
        """Answer for a text, a list of texts, or lazily a generator or dataset.

        A pair of texts is `{"text": ..., "text_pair": ...}`. `column` names the texts in tables and
        rows.

        Returns:
            For one text its predictions, the best first (of a task with a single one, that); for a
            list of texts, a column or an array of them, or a table in memory a list of these. For
            anything else iterable, a generator.

        Raises:
            TypeError: `inputs` are not inputs.
            ReadingFailed: an input is bad. Use `read` to go on past bad inputs.
        """
        call = self._for_call(**options)
        held = how_many(inputs, "text", column)
        given = [inputs] if held == "one" else inputs
        readings = call.read(given, on_error="raise", top_k=top_k, column=column)
        results = map(self._answer, readings)
        if held == "one":
            (result,) = results
            return result
        return list(results) if held == "list" else results

    def _engine(self) -> Engine:
        # Several cohorts in flight, so that the few rows of each that go on can be joined. To a
        # single text nothing can.
        cohorts_in_flight = _COHORTS_IN_FLIGHT if self.batch_size > 1 else 1
        return Engine(
            cohorts_in_flight * self.batch_size,
            max_batch_size=self.batch_size,
            deterministic=self.device.type == "cpu",
        )

    def _sources(
        self,
        items: Iterable[tuple[int, Item]],
        pair: Callable[[int, Any], Any],
        fail: Callable[[int, str, Exception], None],
    ) -> Iterator[list[Document] | Document]:
        stream = iter(items)
        size = self.batch_size * (_WINDOW_BATCHES if self.batch_size > 1 else 1)
        tokenizer = self.exact_tokenizer
        tokenizer.begin_run()
        windows = iter(lambda: list(itertools.islice(stream, size)), [])
        made = made_ahead(
            lambda window: (window, self._documents(window, tokenizer)),
            windows,
            lambda window: tokenizer.is_apart and not any(_is_pair(item) for _, item in window),
        )
        with closing(made):
            for window, documents in made:
                ready = []
                for position, item in window:
                    if item.error is not None:
                        fail(position, item.id, ItemError(item.error))
                good = [numbered for numbered in window if numbered[1].error is None]
                for (position, item), document in zip(good, documents, strict=True):
                    if isinstance(document, Document):
                        ready.append(pair(position, document))
                    else:
                        fail(position, item.id, document)
                groups = cohorts(ready, self.batch_size)
                one_by_one = not self.reader.reads_cohorts
                yield from itertools.chain.from_iterable(groups) if one_by_one else groups

    def _documents(
        self, window: list[tuple[int, Item]], tokenizer: ExactTokenizer
    ) -> list[Document | TextError]:
        """The documents of the items that have a value, each or why there is none."""
        good = [item for _, item in window if item.error is None]
        limit = self.max_tokens
        documents = Document.batch(
            [item.value for item in good],
            tokenizer,
            ids=[item.id for item in good],
            max_tokens=limit,
            add_special_tokens=self.adds_special_tokens,
            may_be_empty=self.may_be_empty,
            max_pair_tokens=None if limit is None else limit + self.num_added_tokens,
            truncation=self.truncation or True,
        )
        return [self._allowed(document) for document in documents]

    def _allowed(self, document: Document | TextError) -> Document | TextError:
        """The document, or why this reader must not read it."""
        if not isinstance(document, Document):
            return document
        if document.is_pair and not self.reads_pairs:
            return TextError(
                "not_text",
                f"{type(self.reader).__name__} reads no pairs of texts here: only a sequence "
                "classifier of transformers does, without budget=, policy= and chunk_size=",
            )
        if document.truncated and self.truncation in (False, "do_not_truncate"):
            return TextError(
                "too_long", f"the text has more than {self.max_tokens} tokens: pass truncation=True"
            )
        return document

    def _partial(self, outcome: Outcome) -> ReadingError | None:
        if outcome.trace is None or not outcome.trace.truncated:
            return None
        kept = "end" if side_cut(self.tokenizer) == "left" else "beginning"
        return ReadingError(
            stage="tokenize",
            reason="truncated",
            message=f"the text is longer than the model's limit; only its {kept} was read",
        )
