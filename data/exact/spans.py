"""Character spans of tokens that were made without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class LaterSpans:
    """Spans that the reference tokenizer tells when they are first asked for: reading needs none.

    Args:
        text: what was tokenized.
        reference: a fast tokenizer of transformers.
        add_special_tokens: whether its own tokens are among them.
        count: how many tokens there are.
        specials: how many of them at the start and at the end are the tokenizer's own.
    """

    __slots__ = ("_kept", "_with_specials", "count", "reference", "specials", "text")

    def __init__(
        self,
        text: str,
        reference: Any,
        add_special_tokens: bool,
        count: int,
        specials: tuple[int, int],
    ) -> None:
        self.text, self.reference, self.count = text, reference, count
        self.specials = specials
        self._with_specials = add_special_tokens
        self._kept: Sequence[int] | None = None

    def __len__(self) -> int:
        return self.count if self._kept is None else len(self._kept)

    def keep(self, places: Sequence[int]) -> None:
        """Be the spans of these tokens alone, of all that there were."""
        self._kept = places

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """First and last character of each token, half-open.

        Raises:
            ValueError: the tokenizer gives other tokens than it gave: it was changed.
        """
        spans: list[tuple[int, int]] = self.reference(
            self.text,
            add_special_tokens=self._with_specials,
            return_offsets_mapping=True,
            verbose=False,
        )["offset_mapping"]
        if len(spans) != self.count:
            raise ValueError(
                f"the tokenizer gives {len(spans)} tokens for a text that it gave {self.count}: it "
                "was changed since, and spans can no longer be told"
            )
        return spans if self._kept is None else [spans[place] for place in self._kept]


def num_specials(reference: Any) -> tuple[int, int]:
    """How many tokens a fast tokenizer puts before and after a text."""
    encoded = reference("a", return_offsets_mapping=True, verbose=False)
    empty = [start == end for start, end in encoded["offset_mapping"]]
    if all(empty):
        return 0, len(empty)
    return empty.index(False), empty[::-1].index(False)
