"""Questions about videos, answered by a video-language model that looks until it is certain."""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from temporal.data import Item
from temporal.data.item import InputError
from temporal.models.language.question import Asked, Question, chat_question, is_chat

from ..inputs import how_many, items_of
from ..reading import Reading
from ..reading_errors import ItemError
from .video_inputs import with_frames
from .videos import VideoPipeline

_COLUMNS = ("question", "text", "options")
_GENERATION = ("max_new_tokens", "generate_kwargs")


class VideoTextToTextPipeline(VideoPipeline):
    """Answers questions about videos; called as transformers' image-text-to-text.

    Args:
        loaded: reader and name.
        question: asked about every video that comes without one of its own.
        options: answers to choose from, of questions that come without; None: the model writes.
        max_new_tokens: tokens of an answer that is written; default: the model's own, else 256.
        generate_kwargs: others of `model.generate`. Without `do_sample` the likeliest tokens are
            written, whatever the model's own settings are.
        **others: see `VideoPipeline`.
    """

    task = "video-text-to-text"
    default_batch_size = 4

    def __init__(
        self,
        loaded: Any,
        *,
        question: str | None = None,
        options: str | Sequence[str] | None = None,
        max_new_tokens: int | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__(loaded, **others)
        self.question, self.options = question, _options_of(options)
        if question is not None:
            Question(question, self.options)  # refused now, and not at each video
        self._set_generation(max_new_tokens, generate_kwargs)

    def __call__(  # type: ignore[override]  # texts come beside the videos, as in transformers
        self,
        videos: Any = None,
        text: Any = None,
        *,
        options: str | Sequence[str] | None = None,
        return_full_text: bool | None = None,
        column: str | None = None,
        **others: Any,
    ) -> Any:
        """Answer for a chat or a video, for lists of them, or lazily for a generator or dataset.

        Args:
            videos: a video (see `VideoPipeline`) or several; or chats, or rows with a `question`.
            text: the question about it, or one for each; or chats, `{"role": ..., "content":
                [{"type": "video", "video": ...}, {"type": "text", "text": ...}]}` each.
            options: answers to choose from, a list or `"yes|no"`; None: the model writes one.
            return_full_text: `generated_text` holds the chat or text with the answer behind it, as
                in transformers; False: the answer alone.
            column: names the videos in tables and rows.
            **others: `max_new_tokens`, `generate_kwargs`, `batch_size`: for this call.

        Returns:
            For one a list with `{"input_text": ..., "generated_text": ...}`; for a list a list of
            such lists; for other iterables a generator.

        Raises:
            TypeError: there is no video or no question, or what is given goes not together.
            ReadingFailed: an input is bad. Use `read` to go on past bad inputs.
        """
        if videos is None:
            videos, text = text, None
        if videos is None:
            raise TypeError("give a chat with a video in it, or videos and text=")
        held, given = _paired(videos, text, column)
        asked: deque[Any] = deque()  # what was asked, of inputs whose answers are still to come
        full = return_full_text is not False
        call = self._for_call(**others)
        inputs = _noted(given, asked, column)
        readings = call.read(inputs, options=options, on_error="raise", column=column)
        results = (_result(asked.popleft(), one, full) for one in readings)
        if held == "one":
            (result,) = results
            return result
        return list(results) if held == "list" else results

    def read(
        self,
        inputs: Any,
        *,
        question: str | None = None,
        options: str | Sequence[str] | None = None,
        column: str | None = None,
        **others: Any,
    ) -> Iterator[Reading]:
        """Read a collection lazily, as `Pipeline.read` does.

        Args:
            inputs: videos, chats, or tables and rows with a column `question` (or `text`), and
                perhaps `options`: a list, or a text with one as JSON or with `|` between them.
            question: asked about every video that comes without one; default: the pipeline's.
            options: answers to choose from, of questions that come without; likewise.
            column: names the videos in tables and rows.
            **others: of `Pipeline.read`.
        """
        call = copy.copy(self)
        call.question = self.question if question is None else question
        call.options = self.options if options is None else _options_of(options)
        if is_chat(inputs):
            inputs = [inputs]
        is_list = isinstance(inputs, list | tuple) and any(map(is_chat, inputs))
        if is_list or (isinstance(inputs, Iterator) and not hasattr(inputs, "read")):
            inputs = _rows_of_chats(inputs, column)
        return super(VideoTextToTextPipeline, call).read(inputs, column=column, **others)

    def _for_call(self, **options: Any) -> Any:
        generation = {name: options.pop(name, None) for name in _GENERATION}
        call = super()._for_call(**options)
        if any(value is not None for value in generation.values()):
            call.reader = call.reader.apart()
            call._set_generation(**generation)
        return call

    def _set_generation(self, max_new_tokens: int | None, generate_kwargs: Any) -> None:
        given = dict(generate_kwargs or {})
        if max_new_tokens is not None:
            if "max_new_tokens" in given:
                raise ValueError("max_new_tokens is given twice, once in generate_kwargs: give one")
            given["max_new_tokens"] = max_new_tokens
        self.reader.answering.set_generation(**given)  # type: ignore[attr-defined]  # its readers

    def _sources(
        self,
        items: Iterable[tuple[int, Item]],
        pair: Callable[[int, Any], Any],
        fail: Callable[[int, str, Exception], None],
    ) -> Iterator[Any]:
        questions: dict[int, Question] = {}

        def noted() -> Iterator[tuple[int, Item]]:
            for position, item in items:
                if item.error is None:
                    try:
                        questions[position] = self.question_of(item)
                    except (ValueError, TypeError) as error:
                        why = InputError(reason="bad_row", message=str(error))
                        fail(position, item.id, ItemError(why))
                        continue
                yield position, item

        def asked(position: int, source: Any) -> Any:
            return pair(position, Asked(source, questions.pop(position)))

        yield from super()._sources(noted(), asked, fail)

    def question_of(self, item: Item) -> Question:
        """What an item asks, with the pipeline's question and options where it has none.

        Raises:
            ValueError, TypeError: nothing that can be asked.
        """
        found = item.extra.get("question", item.extra.get("text"))
        if isinstance(found, Question) and (found.options or not self.options):
            return found
        options = _options_of(item.extra.get("options")) or self.options
        content = found.content if isinstance(found, Question) else found
        content = self.question if content is None else content
        if content is None:
            raise ValueError(
                "nothing was asked about this video: give question= (--question), or a column "
                "`question`"
            )
        if not isinstance(content, str | tuple):
            raise ValueError(f"the question must be a text, not {type(content).__name__}")
        return Question(content, options)


def _paired(videos: Any, text: Any, column: str | None) -> tuple[str, Any]:
    """What a call holds, `"one"`, `"list"` or `"stream"`, and an iterable of its inputs."""
    if text is None:
        if is_chat(videos) or isinstance(videos, Mapping):
            return "one", [videos]
        if isinstance(videos, list | tuple) and any(map(_is_asked, videos)):
            return "list", videos
        held = how_many(videos, "video", column)
        return held, [videos] if held == "one" else videos
    if is_chat(text) or is_chat(videos):
        raise TypeError(
            "a chat has its video inside, {'type': 'video', 'video': ...}: give it alone"
        )
    held = how_many(videos, "video", column)
    if isinstance(text, str):
        if held == "one":
            return "one", [_row(videos, text, column)]
        named = items_of(with_frames(videos), "video", column)
        return held, (replace(one, extra={"question": text}) for one in named)
    texts = list(text)
    if held == "one" and len(texts) > 0:  # several questions about one video
        return "list", [_row(videos, one, column) for one in texts]
    if not isinstance(videos, list | tuple) or len(videos) != len(texts):
        raise TypeError(
            f"text ({len(texts)} questions) must be one, or one for each of a list of videos"
        )
    return "list", [_row(*one, column) for one in zip(videos, texts, strict=True)]


def _row(video: Any, text: str, column: str | None) -> dict[str, Any]:
    if isinstance(video, Mapping):
        return {**video, "question": text}
    return {column or "video": video, "question": text}


def _is_asked(one: Any) -> bool:
    return is_chat(one) or isinstance(one, Mapping)


def _noted(given: Any, asked: deque[Any], column: str | None) -> Any:
    """The inputs, each noted as it is taken; what holds many is noted by its items."""
    if not isinstance(given, list | tuple | Iterator):
        given = items_of(given, "video", column, other_columns=_COLUMNS)
    for one in given:
        asked.append(one)
        yield one


def _rows_of_chats(inputs: Iterable[Any], column: str | None) -> Iterator[Any]:
    """Chats as rows of their video and question; others as they are."""
    for position, one in enumerate(inputs):
        if not is_chat(one):
            yield one
            continue
        try:
            video, question = chat_question(one)
            if video is None:
                raise ValueError("the chat says where a video belongs, and not which: 'video': ...")
            yield {column or "video": video, "question": question}
        except ValueError as error:
            why = InputError(reason="bad_row", message=str(error))
            yield Item(id=f"video-{position:06d}", error=why)


def _options_of(value: Any) -> tuple[str, ...]:
    """Options as a list, or in one text, as a cell of a table holds them."""
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except ValueError as error:
                raise ValueError(f"options ({text!r}) must be a list as JSON: {error}") from None
        else:
            value = [part.strip() for part in text.split("|")]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"options ({value!r}) must be a list of texts")
    return tuple(value)


def _result(asked: Any, reading: Reading, full: bool) -> list[dict[str, Any]]:
    (answer,) = reading.predictions
    text = answer["generated_text"]
    if is_chat(asked):
        given: Any = list(asked)
        if full:
            text = _continued(given, text)
    else:
        given = answer["question"]
        text = given + text if full else text
    return [{"input_text": given, "generated_text": text}]


def _continued(messages: list[Any], text: str) -> list[Any]:
    """A chat with the answer behind it, or at the end of what the assistant had begun."""
    last = messages[-1]
    if last["role"] != "assistant":
        return [*messages, {"role": "assistant", "content": text}]
    content = last["content"]
    if isinstance(content, str):
        return [*messages[:-1], {**last, "content": content + text}]
    end = {**content[-1], "text": content[-1]["text"] + text}
    return [*messages[:-1], {**last, "content": [*content[:-1], end]}]
