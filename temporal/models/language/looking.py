"""The looks of a `VideoLanguageReader` at one video: prompts, features that are kept, answers.

T tokens of a prompt, V visual ones among them, A axes of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.video_utils import VideoMetadata

from ...backbones.video_language import chosen_inputs
from ...checks import check_finite
from ...handle import Handle
from ...packed import Packed
from ..selection.clock import metadata_fields
from .answering import NO_OPTIONS
from .encoding import Pixels, num_ends, repeats
from .plan import Unit
from .question import Question, prompt_of
from .said import Said, of_options, of_words, words_of


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoAnswer:
    """What a reading answers."""

    text: str
    """An option, or what the model wrote."""

    certainty: float
    """Of the last look, by the reader's criterion."""

    frames: tuple[int, ...]
    """Those that the model saw in its last look, in the order of time."""

    visual_tokens: int
    """Of the last look's prompt."""

    looks: tuple[Said, ...]
    """What each look said."""

    look_frames: tuple[int, ...]
    """How many frames each look saw."""

    question: Question
    """What was asked."""


class Looking:
    """The looks at one video so far."""

    def __init__(self, reader: Any, video: Handle, question: Any) -> None:
        if not isinstance(question, Question):
            raise ValueError(f"{video.id} must come with a question: Asked(video, 'What happens?')")
        self.reader = reader
        self.video = video
        self.question = question
        self.prompt = prompt_of(reader.processor, question)
        self.options = _option_tokens(reader.processor.tokenizer, question.options)
        self.units: dict[Unit, tuple[Unit, Tensor]] = {}
        self.features: dict[tuple[Any, ...], Tensor] = {}
        self.said: list[Said] = []
        self.look_frames: list[int] = []
        self.visual_tokens = 0

    def add(self, units: Sequence[Unit], group: Any) -> None:
        """Take frames that were read; the nearest stands for one that could not be."""
        read = torch.tensor(group.frames)
        for unit in units:
            at = [int((read - frame).abs().argmin()) for frame in unit]
            frames = tuple(group.frames[place] for place in at)
            self.units.setdefault(frames, (frames, group.pixels[at]))

    @property
    def frames(self) -> list[int]:
        """All frames so far, in the order of time."""
        return [frame for unit in sorted(self.units) for frame in unit]

    async def look(self) -> bool:
        """Ask the question of all frames so far. Returns whether no more would fit the budget."""
        reader, encoder = self.reader, self.reader.encoder
        inputs, is_full = self._inputs()
        order = sorted(self.units)
        pixels = encoder.pixels_of(inputs, len(order))
        encoder.check_units(pixels)
        await self._encode(order, pixels)
        units = [self.features[unit, pixels.form] for unit in order]
        ids_T = inputs["input_ids"][0]
        is_visual_T = ids_T == encoder.token_id
        features = encoder.joined(units, int(is_visual_T.sum()))
        positions_TA = reader.answering.positions_of(inputs)
        kept_T = self._kept(units, is_visual_T)
        if kept_T is not None:
            features = features[kept_T[is_visual_T]]
            ids_T, positions_TA = ids_T[kept_T], positions_TA[kept_T]
        self.visual_tokens = len(features)
        self.video.note(visual_tokens=self.visual_tokens)
        answer = await reader.answer(
            Packed.of([ids_T]),
            Packed.of([positions_TA]),
            Packed.of([features]),
            Packed.of([NO_OPTIONS if self.options is None else self.options]),
        )
        self.said.append(self._said(answer.values))
        self.look_frames.append(len(set(self.frames)))
        return is_full

    def answer(self, certainty: float) -> VideoAnswer:
        """What the last look said."""
        return VideoAnswer(
            text=self.said[-1].text,
            certainty=certainty,
            frames=tuple(dict.fromkeys(self.frames)),
            visual_tokens=self.visual_tokens,
            looks=tuple(self.said),
            look_frames=tuple(self.look_frames),
            question=self.question,
        )

    def _inputs(self) -> tuple[dict[str, Any], bool]:
        """A processor's inputs; units are left out again until the budget is kept."""
        most = self.reader.config.max_visual_tokens
        is_full = False
        while True:
            frames = self.frames
            pixels = torch.cat([self.units[unit][1] for unit in sorted(self.units)])
            fields = metadata_fields(self.video.index, frames)
            inputs = chosen_inputs(
                self.reader.processor, [self.prompt], [pixels], [VideoMetadata(**fields)]
            )
            count = int((inputs["input_ids"] == self.reader.encoder.token_id).sum())
            if most is None or count <= most or len(self.units) == 1:
                return inputs, is_full
            is_full = True
            excess = len(self.units) - max(1, len(self.units) * most // count)
            for unit in list(self.units)[-excess:]:  # those that came last
                del self.units[unit]

    async def _encode(self, order: Sequence[Unit], pixels: Pixels) -> None:
        form = pixels.form
        new = [at for at, unit in enumerate(order) if (unit, form) not in self.features]
        if not new:
            return
        values = Packed.of([pixels.values[at] for at in new])
        grids = torch.tensor([pixels.grid or (0, 0)] * len(new))
        encoded = await self.reader.encode(values, grids)
        for at, features in zip(new, encoded.sequences(), strict=True):
            self.features[order[at], form] = features

    def _kept(self, units: Sequence[Tensor], is_visual_T: Tensor) -> Tensor | None:
        """The tokens that do not repeat the frame before; None: all."""
        threshold = self.reader.config.repeat_threshold
        if threshold is None:
            return None
        own = len(units[0]) - num_ends(units, int(is_visual_T.sum()))
        same_V = repeats([unit[:own] for unit in units], threshold)
        kept_T = torch.ones_like(is_visual_T)
        kept_T[is_visual_T.nonzero()[: len(same_V), 0]] = ~same_V
        return kept_T

    def _said(self, rows_K3: Tensor) -> Said:
        check_finite(rows_K3[:, 1])
        if self.options is not None:
            return of_options(self.question.options, rows_K3[:, 1])
        tokens, logs, leads = words_of(rows_K3)
        text = self.reader.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return of_words(text, tokens, logs, leads)


def _option_tokens(tokenizer: Any, options: Sequence[str]) -> Tensor | None:
    if not options:
        return None
    rows = [
        (token, number)
        for number, option in enumerate(options)
        for token in tokenizer(option, add_special_tokens=False)["input_ids"]
    ]
    if len({number for _, number in rows}) < len(options):
        raise ValueError(f"options {list(options)} must each have a token, and one has none")
    return torch.tensor(rows)
