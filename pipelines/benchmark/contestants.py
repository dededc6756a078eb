"""What a reader is measured against, of any task: itself in full, cut to its cost, and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...data.item import Item
from ...training.exit_policies import NEVER
from ..reading import Reading
from .text_contestants import set_to

Answers = list[int | None]
"""Class of each input; None: it could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """Something that answers inputs with classes."""

    says: str
    """What it is, in a few words."""
    run: Callable[[Sequence[Item]], list[Reading]]


def in_full(pipe: Any) -> dict[str, Any]:
    """Policy fields with which a pipeline's reader skips nothing and never halts."""
    return dict(pipe.reader.policy_space().full)


def reads(pipe: Any, **fields: Any) -> Callable[[Sequence[Item]], list[Reading]]:
    """The readings of a pipeline, perhaps with other fields of its reader's configuration."""

    def run(items: Sequence[Item]) -> list[Reading]:
        with set_to(pipe.reader.config, **fields):
            return list(pipe.read(items, top_k=1))

    return run


def contestants(pipe: Any, share: float, mean_units: float, static: Any) -> dict[str, Contestant]:
    """The reader and its baselines.

    Args:
        pipe: of the reader, set to what is to be measured.
        share: of the full cost that it spends.
        mean_units: of an input.
        static: a pipeline of a smaller model that reads everything; None: there is none.
    """
    full = in_full(pipe)
    found = {
        "reader": Contestant(says="reads what it needs", run=reads(pipe)),
        "dense": Contestant(says="reads everything", run=reads(pipe, **full)),
    }
    exits = int(getattr(pipe.reader.config, "num_exits", 0) or 0)
    if exits > 1 and "thresholds" in full:
        k = min(range(exits), key=lambda k: abs((k + 1) / exits - share))
        fixed = {**full, "thresholds": [NEVER] * k + [-NEVER] * (exits - 1 - k)}
        says = f"always answers at exit {k + 1} of {exits}"
        found["fixed_exit"] = Contestant(says=says, run=reads(pipe, **fixed))
    if pipe.kind == "text":
        count = max(4, round(mean_units * share))
        found["truncated"] = Contestant(
            says=f"reads the first {count} tokens", run=first_tokens(pipe, count, full)
        )
    if static is not None:
        found["static"] = Contestant(says="the smaller static model", run=reads(static))
    return found


def first_tokens(
    pipe: Any, count: int, full: dict[str, Any]
) -> Callable[[Sequence[Item]], list[Reading]]:
    """Everything of the first tokens of each text, and nothing else."""
    dense = reads(pipe, **full)

    def run(items: Sequence[Item]) -> list[Reading]:
        with cut_to(pipe, count):
            return dense(items)

    return run


@contextmanager
def cut_to(pipe: Any, count: int) -> Iterator[None]:
    """A pipeline that cuts texts to so many tokens for a while."""
    kept = pipe.truncation, pipe.max_length
    pipe.truncation, pipe.max_length = True, count
    try:
        yield
    finally:
        pipe.truncation, pipe.max_length = kept
