"""What a text reader is measured against: what a user would run otherwise, with the same weights.

A contestant answers a list of texts with a label for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers
from transformers import AutoTokenizer

from ...models.operating_points import set_to
from ...training.exit_policies import NEVER
from .. import pipeline

Contestant = Callable[[list[str]], list[str]]


def adaptive(pipe: Any, **fields: Any) -> Contestant:
    """The reader in our pipeline, perhaps with other settings of its policy."""

    def run(texts: list[str]) -> list[str]:
        with set_to(pipe.model.config, **fields):
            return [row["label"] for row in pipe(texts)]

    return run


def dense_classifier(pipe: Any) -> Any:
    """The plain classifier inside a reader; None: it has none that transformers can run."""
    return pipe.reader.plain_classifier


def transformers_pipeline(classifier: Any, path: str, **options: Any) -> Contestant:
    """Transformers' own pipeline.

    Args:
        classifier: of `dense_classifier`.
        path: of its tokenizer.
        **options: of the call, e.g. `batch_size` and `max_length`.
    """
    tokenizer = AutoTokenizer.from_pretrained(path)
    pipe = transformers.pipeline(
        "text-classification", model=classifier, tokenizer=tokenizer, device="cpu"
    )
    return lambda texts: [row["label"] for row in pipe(texts, truncation=True, **options)]


def sorted_by_length(run: Contestant) -> Contestant:
    """A contestant that gets the texts in the order of their length."""

    def sorted_run(texts: list[str]) -> list[str]:
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        labels = run([texts[k] for k in order])
        back = dict(zip(order, labels, strict=True))
        return [back[k] for k in range(len(texts))]

    return sorted_run


def all_of_it(pipe: Any) -> Contestant:
    """The reader itself in our engine, with nothing skipped and nothing halted.

    A pruner that drops tokens between layers cannot be turned off, and goes on dropping them.
    """
    return adaptive(pipe, **pipe.reader.policy_space().full)


def with_exits(pipe: Any) -> Any:
    """A pipeline around the reader with exits over its layers that a reader is or has inside.

    One inside a `ChunkReader` reads as many of the first tokens as it has positions for. None:
    there is none.
    """
    inside = pipe.reader.depth_reader
    if inside is None or inside is pipe.reader:
        return inside and pipe
    return pipeline(
        "text-classification", inside, tokenizer=pipe.tokenizer, batch_size=pipe.batch_size
    )


def fixed_depth(pipe: Any, number: int) -> Contestant:
    """Everything answers at one exit of `with_exits`: a smaller static model, trained as a part."""
    count = len(pipe.model.config.exit_layers) - 1
    return adaptive(pipe, thresholds=[NEVER] * number + [-NEVER] * (count - number))


def skim_alone(pipe: Any) -> Contestant:
    """A `ChunkReader` that answers whatever its skim says."""
    return adaptive(pipe, thresholds=[-NEVER])
