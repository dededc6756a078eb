"""A question about a video, and the video with its question: the source of a language reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...trace import Cost

_VIDEO_KEYS = ("video", "path", "url")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, as text or as a chat."""

    content: str | tuple[Mapping[str, Any], ...]
    """A text, or messages of a chat with one video in them (`chat_question`)."""

    options: tuple[str, ...] = ()
    """The answers to choose from, as the model would write them; none: it writes one itself."""

    @property
    def text(self) -> str:
        """The texts of it, those of a chat line by line."""
        if isinstance(self.content, str):
            return self.content
        parts = [part for message in self.content for part in message["content"]]
        return "\n".join(part["text"] for part in parts if part["type"] == "text")

    def __post_init__(self) -> None:
        if len(self.options) == 1 or len(set(self.options)) != len(self.options):
            raise ValueError(
                f"options {list(self.options)} must be two or more answers that differ, or none"
            )
        if any(not isinstance(one, str) or not one for one in self.options):
            raise ValueError(f"options {list(self.options)} must be texts, none of them empty")
        if isinstance(self.content, str) and not self.content.strip():
            raise ValueError("the question must be a text, and is empty")


def is_chat(value: Any) -> bool:
    """Whether a value is the messages of one chat."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(one, Mapping) and "role" in one and "content" in one for one in value)
    )


def chat_question(
    messages: Sequence[Mapping[str, Any]], options: Sequence[str] = ()
) -> tuple[Any, Question]:
    """Take the video out of a chat of transformers.

    Args:
        messages: `{"role": ..., "content": ...}`; one content is `{"type": "video", "video": ...}`
            (or `"path"`, `"url"`).
        options: see `Question`.

    Returns:
        The video, as it was given (None: the chat only says where one belongs), and the question.

    Raises:
        ValueError: there is not one video, or something that is neither video nor text.
    """
    videos: list[Any] = []
    kept: list[Mapping[str, Any]] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            kept.append({**message, "content": [{"type": "text", "text": content}]})
            continue
        parts: list[Mapping[str, Any]] = []
        for part in content or ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "video":
                videos.append(next((part[key] for key in _VIDEO_KEYS if key in part), None))
                parts.append({"type": "video"})
            elif kind == "text" and isinstance(part.get("text"), str):
                parts.append({"type": "text", "text": part["text"]})
            else:
                raise ValueError(
                    f"content of a chat must be a video or a text, not {part!r}: "
                    "{'type': 'video', 'video': ...} and {'type': 'text', 'text': ...}"
                )
        kept.append({**message, "content": parts})
    if len(videos) != 1:
        raise ValueError(f"a chat must hold one video, and this one holds {len(videos)}")
    return videos[0], Question(tuple(kept), tuple(options))


class Asked:
    """A source of frames with a question: it does all that the source does.

    Args:
        video: `temporal.data.Video` or another source of frames.
        question: about it; a text is one.
    """

    def __init__(self, video: Any, question: Question | str) -> None:
        self.video = video
        self.question = Question(question) if isinstance(question, str) else question

    @property
    def id(self) -> str:
        """The video's."""
        return self.video.id

    @property
    def unit(self) -> str:
        """The video's."""
        return self.video.unit

    @property
    def in_memory(self) -> bool:
        """The video's."""
        return self.video.in_memory

    @property
    def spent(self) -> Cost:
        """What reads of the video have cost so far."""
        return self.video.spent

    def __len__(self) -> int:
        return len(self.video)

    def read(self, units: Sequence[int], **options: Any) -> Any:
        """Frames of the video."""
        return self.video.read(units, **options)

    def cost(self, units: Sequence[int]) -> Cost:
        """What reading these frames would cost."""
        return self.video.cost(units)

    def __getattr__(self, name: str) -> Any:
        if name == "video":  # not made yet: while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.video, name)


def prompt_of(processor: Any, question: Question) -> str:
    """The text of a prompt, with the processor's placeholder where the video belongs.

    A text that has no placeholder becomes a chat where the processor knows one.

    Raises:
        ValueError: the processor's template leaves the video out.
    """
    mark = processor.video_token
    content = question.content
    if isinstance(content, str):
        if mark in content:
            return content
        if not getattr(processor, "chat_template", None):
            return f"{mark}\n{content}"
        parts = [{"type": "video"}, {"type": "text", "text": content}]
        content = ({"role": "user", "content": parts},)
    messages = [dict(message) for message in content]
    goes_on = messages[-1]["role"] == "assistant"
    text: str = processor.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=not goes_on,
        continue_final_message=goes_on,
    )
    if mark not in text:
        raise ValueError(f"the chat template must write {mark!r} for a video, and did not")
    return text
