"""Tables of a reader's weights, kept for as long as the weights are what they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_KEPT = 3
"""Sets of weights whose tables are kept: a model's, and those of copies that went their own way."""
_SMALL = 1024
"""Weights with no more entries are watched in full."""
_SAMPLES = 64
"""Entries of a larger weight that are watched."""
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an entry


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of some weights."""

    places: tuple[int, ...]
    """Where the weights lie."""
    versions: tuple[int, ...]
    """How often they had changed, as far as torch counts."""
    watched: tuple[Any, ...]
    """Views of some of their entries. They keep the memory from being used for other weights."""
    entries: tuple[bytes, ...]
    """What these entries were."""
    tables: Any


class TableCache:
    """Tables that are made once and made anew when a weight has changed.

    A change is seen by torch's own count of changes and, as torch does not count those through
    `.data`, by a fused optimizer, or of weights that were created in inference mode, by the entries
    themselves: all of a small weight, and 64 of a large one, spread over it. **After a change that
    torch does not count and that leaves most of a large weight as it was (some rows of the word
    embeddings, say), call `forget`**: `reader.tables.forget()`. A `forward` that may be followed by
    an optimizer's step does so itself.

    Copies of a model share the cache, since the tables are a function of weights that copies may
    share; it keeps those of the last few sets of weights. Threads may share it, too. A pickled
    model leaves it behind.
    """

    def __init__(self) -> None:
        self._made: tuple[_Made, ...] = ()  # the last used first; replaced, never changed

    def get(self, module: nn.Module, make: Callable[[], Any]) -> Any:
        """What `make()` returned for these weights."""
        weights = _weights(module)
        places = tuple([weight.data_ptr() for weight in weights])
        versions = tuple([0 if w.is_inference() else w._version for w in weights])
        kept = self._made
        for made in kept:
            if made.places != places:
                continue
            if made.versions == versions and made.entries == _read(made.watched):
                if made is not kept[0]:
                    self._made = (made, *(other for other in kept if other is not made))
                return made.tables
        watched = tuple([_watch(weight) for weight in weights])
        # Read before the tables are made: what changes meanwhile is then seen next time.
        made = _Made(places, versions, watched, _read(watched), make())
        others = [other for other in self._made if other.places != places]
        self._made = (made, *others[: _KEPT - 1])
        return made.tables

    def forget(self) -> None:
        """Make them anew next time."""
        self._made = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> TableCache:
        return self

    def __reduce__(self) -> tuple[type[TableCache], tuple[()]]:
        return TableCache, ()


def _weights(module: nn.Module) -> list[Tensor]:
    """`list(module.parameters())` at a third of its time, which counts for short texts."""
    found: list[Tensor] = [weight for weight in module._parameters.values() if weight is not None]
    for child in module._modules.values():
        if child is not None:
            found += _weights(child)
    return found


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


def _read(watched: tuple[Any, ...]) -> tuple[bytes, ...]:
    return tuple([view.tobytes() for view in watched])
