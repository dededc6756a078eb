"""Tables of a reader's weights, kept for as long as the weights are what they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..watched import Watched, places_of

_KEPT = 3
"""Sets of weights whose tables are kept: a model's, and those of copies that went their own way."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of some weights."""

    watched: Watched
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
        places = places_of(weights)
        kept = self._made
        for made in kept:
            if made.watched.places == places and made.watched.unchanged(weights):
                if made is not kept[0]:
                    self._made = (made, *(other for other in kept if other is not made))
                return made.tables
        # Watched before the tables are made: what changes meanwhile is then seen next time.
        made = _Made(Watched.of(weights), make())
        others = [other for other in self._made if other.watched.places != places]
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
