"""Run an encoder's layers on all tokens of all texts: packed at inference, padded in training.

`PrunedLayers` has the same members, and drops tokens on the way.

B texts, T tokens of the longest, N tokens of all texts, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ...backbones.text import PackedTokens, PaddedTokens, Tokens, family_of
from ...packed import Packed


class WholeLayers:
    """The layers of a classifier, all tokens through all of them.

    Args:
        model: a classifier of transformers.
    """

    counts_macs = False
    """Whether the stages below say themselves how many MACs each text took."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.family = family_of(model)
        self.pads = self.family.pads
        """Whether the layers pad packed texts."""

    def padded(self, tokens: PaddedTokens) -> PaddedRun:
        """One pass of padded texts."""
        return PaddedRun(self, tokens)

    def start(self, embed: Callable[[Packed], Packed], ids: Packed) -> tuple[Packed]:
        """Embed texts. Returns the state for the first segment: hidden states `[N, D]`."""
        return (embed(ids),)

    def segment(
        self,
        layers: range,
        answer: Callable[[Tensor, Tokens], tuple[Tensor, ...]],
        hidden: Packed,
    ) -> tuple[Any, ...]:
        """Compute consecutive layers and an exit.

        Args:
            layers: their numbers.
            answer: `(hidden_1ND, tokens) -> tensors [B, ...]`.
            hidden: the state, `[N, D]`.

        Returns:
            What `answer` does, and the state for the next segment.
        """
        tokens = PackedTokens(hidden.lengths, hidden.values.device)
        hidden_1ND, left = self.family.run(self.model, layers, hidden.values[None], tokens)
        assert isinstance(left, PackedTokens)
        return *answer(hidden_1ND, left), Packed(hidden_1ND[0], tuple(left.lengths))

    def skimmed(self, lengths: Sequence[int], state: Sequence[Any]) -> list[tuple[int, ...]]:
        """Which tokens of texts of these lengths no layer computes: none."""
        return [()] * len(lengths)

    def token_layers(self, lengths: Sequence[int], depth: int, state: Sequence[Any]) -> list[int]:
        """Tokens that layers computed for texts of these lengths, added up over `depth` layers."""
        return [length * depth for length in lengths]


class PaddedRun:
    """One pass of padded texts through layers."""

    penalty: Tensor | None = None
    """What the loss pays for tokens that are computed; None: nothing."""

    def __init__(self, layers: WholeLayers, tokens: PaddedTokens) -> None:
        self.layers = layers
        self.tokens: Tokens = tokens

    def run(self, layers: range, hidden_BTD: Tensor) -> tuple[Tensor, Tokens]:
        """Compute consecutive layers. Returns hidden states, and the tokens that an exit sees."""
        family = self.layers.family
        hidden_BTD, self.tokens = family.run(self.layers.model, layers, hidden_BTD, self.tokens)
        return hidden_BTD, self.tokens
