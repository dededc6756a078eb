"""`LoadedModel`: a reader and what its pipeline needs beside it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A reader and what its pipeline needs beside it."""

    reader: Any
    """The reader."""
    module: Any
    """The torch module inside it, with `.config`, to move between devices."""
    name: str
    """Path, id or class, for manifests and messages."""
    task: str = ""
    """What it was loaded for."""
    tokenizer: Any = None
    """For texts."""
    adds_special_tokens: bool = False
    """Whether documents carry the tokenizer's special tokens."""
    max_tokens: int | None = None
    """Tokens that the reader takes of a document."""
    num_added_tokens: int = 0
    """Special tokens that the reader itself puts around what it takes."""
    is_placed: bool = False
    """Its parts are on devices of a `device_map` already."""
    reads_empty: bool = False
    """Whether it can answer for a text without a token, by the special ones alone."""
    reads_pairs: bool = False
    """Whether it can answer for a pair of texts."""


def with_own_policy(loaded: LoadedModel) -> LoadedModel:
    """The same reader with a policy and configuration of its own; weights are shared."""
    module = loaded.module
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    reader, copied = copy.deepcopy((loaded.reader, module), memo=tensors)
    return replace(loaded, reader=reader, module=copied)
