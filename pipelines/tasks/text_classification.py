"""Text classification: class scores of texts, as transformers gives them."""

from __future__ import annotations

from typing import Any

from ..inputs import how_many
from ..reading import Reading, ReadingFailed
from .classes import ClassPipeline
from .texts import TextPipeline
from .texts import cohorts as cohorts


class TextClassificationPipeline(ClassPipeline, TextPipeline):
    """Classifies texts; takes what transformers' text-classification pipeline takes.

    Args: see `ClassPipeline`, `TextPipeline` and `Pipeline`.
    """

    task = "text-classification"
    default_top_k = 1
    call_options = TextPipeline.call_options | ClassPipeline.call_options

    def __call__(
        self, inputs: Any, *, top_k: Any = "", column: str | None = None, **options: Any
    ) -> Any:
        """Classify a text, a list of texts, or lazily a generator or dataset.

        A pair of texts is `{"text": ..., "text_pair": ...}`. A text without a word is answered as
        transformers answers it, by the special tokens alone. Where a reader has none, it is an
        error; among other texts its result is `{"label": None, "score": None, "error": why}`.
        `column` names the texts in tables and rows.

        Returns:
            For one text a list with one `{"label", "score"}`; for a list of texts, a column or an
            array of them, or a table in memory a list of them; with `top_k` (also None: all) a list
            of them for each text, as in transformers. For anything else iterable, a generator.

        Raises:
            TypeError: `inputs` are not inputs.
            ReadingFailed: an input is bad. Use `read` to go on past bad inputs.
        """
        call = self._for_call(**options)
        call.may_be_empty = self.reads_empty
        of_call = top_k == ""  # as in transformers: only a call's own top_k unwraps one text
        legacy = of_call and self.top_k == ""
        held = how_many(inputs, "text", column)
        one = held == "one"
        if isinstance(inputs, list | tuple) and any(isinstance(x, list | tuple) for x in inputs):
            raise ValueError(
                "lists of lists are not read: a pair of texts is {'text': ..., 'text_pair': ...}; "
                "or join both into one text"
            )
        readings = call.read(
            [inputs] if one else inputs,
            on_error="record",
            top_k=1 if legacy else top_k,
            column=column,
        )
        answers = (_answers(reading, alone=one) for reading in readings)
        results = (answer[0] if legacy else answer for answer in answers)
        if one:
            (result,) = results
            return [result] if of_call and isinstance(inputs, str) else result
        return list(results) if held == "list" else results


def _answers(reading: Reading, *, alone: bool) -> list[dict[str, Any]]:
    """The predictions of a reading for a call; a text among others that has no word loses none."""
    error = reading.error
    if error is None or error.reason == "truncated":
        return list(reading.predictions)
    if alone or error.reason != "empty_input":
        raise ReadingFailed(reading)
    return [{"label": None, "score": None, "error": f"{error.reason}: {error.message}"}]
