"""Whether weights are still what they were, when something was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SMALL = 1024
"""Weights with no more entries are watched in full."""
_SAMPLES = 64
"""Entries of a larger weight that are watched."""
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an entry


@dataclass(frozen=True, slots=True)
class Watched:
    """Some weights in memory, as they were once.

    A change is seen by torch's own count of changes and, as torch does not count those through
    `.data`, by a fused optimizer, or of weights that were created in inference mode, by the entries
    themselves: all of a small weight, and 64 of a large one, spread over it.
    """

    places: tuple[int, ...]
    """Where the weights lie."""
    versions: tuple[int, ...]
    """How often they had changed, as far as torch counts."""
    views: tuple[Any, ...]
    """Views of some of their entries. They keep the memory from being used for other weights."""
    entries: tuple[bytes, ...]
    """What these entries were."""

    @classmethod
    def of(cls, weights: Sequence[Tensor]) -> Watched:
        """Watch these from now on."""
        views = tuple([_watch(weight) for weight in weights])
        return cls(places_of(weights), _versions(weights), views, _read(views))

    def unchanged(self, weights: Sequence[Tensor]) -> bool:
        """Whether the weights in these places, which the caller compares, have not changed."""
        return self.versions == _versions(weights) and self.entries == _read(self.views)


def places_of(weights: Sequence[Tensor]) -> tuple[int, ...]:
    """Where weights lie in memory."""
    return tuple([weight.data_ptr() for weight in weights])


def _versions(weights: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple([0 if w.is_inference() else w._version for w in weights])


def _watch(weight: Tensor) -> Any:
    """A view of some of a weight's entries, as an array of whole numbers."""
    bits = weight.detach()
    if not bits.is_contiguous():  # its entries in a row would be a copy; the first row is not
        bits = bits[(0,) * (bits.ndim - 1)]
    bits = bits.view(-1) if bits.is_contiguous() else bits
    count = len(bits)
    # Odd, so that the entries are of all columns, of which the number is mostly even.
    step = 1 if count <= _SMALL else count // _SAMPLES | 1
    return bits[::step].view(_BITS[bits.element_size()]).numpy()


def _read(views: tuple[Any, ...]) -> tuple[bytes, ...]:
    return tuple([view.tobytes() for view in views])
