"""`Contestant`: something that answers inputs with classes; a pipeline under some policy is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...data.item import Item
from ...models.operating_points import set_to
from ..reading import Reading

Run = Callable[[Sequence[Item]], list[Reading]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """Something that answers inputs with classes."""

    says: str
    """What it is, in a few words."""
    run: Run
    facts: Mapping[str, Any] | None = None
    """More of it, in plain values."""
    shares_units: bool = True
    """Whether it reads the same units as the reader: not those of another tokenizer."""


def in_full(pipe: Any) -> dict[str, Any]:
    """Policy fields with which a pipeline's reader skips nothing and never halts."""
    return dict(pipe.reader.policy_space().full)


def reads(pipe: Any, **fields: Any) -> Run:
    """The readings of a pipeline, perhaps with other fields of its reader's configuration."""

    def run(items: Sequence[Item]) -> list[Reading]:
        with set_to(pipe.reader.config, **fields):
            return list(pipe.read(items, top_k=1))

    return run
