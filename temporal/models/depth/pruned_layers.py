"""Run an encoder's layers while a pruner drops tokens between them.

At inference dropped tokens are gone, and what follows computes on those that are left, packed. In
training (`PrunedRun`) they are masked, or weighed; in eval mode that is the dense reference of
inference. The first and the last token of a text always stay: they are the tokenizer's own, which
answers look at. An exit sees what is left: its mean is over these tokens.

B texts, T tokens of the longest, N tokens of all texts, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...backbones.text import PackedTokens, PaddedTokens, Tokens, family_of
from ...macs import count_macs_by_length
from ...packed import Packed
from .token_pruning import Pruner


class PrunedState(NamedTuple):
    """What goes from one segment of layers to the next, for a batch of texts."""

    hidden: Packed
    """States of the tokens that are left, `[N, D]`."""
    places: Packed
    """Where in its text each of them stands, from 0: int64 `[N]`."""
    token_layers_B: Tensor
    """Tokens that layers computed so far, added up over the layers: int64."""


class PrunedLayers:
    """The layers of a classifier under a pruner.

    Args:
        model: a classifier of transformers.
        pruner: decides which tokens stay.
        loss_weight: what the training loss pays for tokens that stay.

    Raises:
        ValueError: the layers of the model's family cannot be taken apart.
    """

    counts_macs = True
    pads = False

    def __init__(self, model: Any, pruner: Pruner, loss_weight: float) -> None:
        self.model = model
        self.pruner = pruner
        self.loss_weight = loss_weight
        self.family = family_of(model)
        if self.family.attend is None or self.family.feed is None:
            raise ValueError(
                f"pruning needs layers that can be taken apart, and those of model_type "
                f"{model.config.model_type!r} cannot: choose another encoder or pruning=None"
            )
        self.layers: Any = self.family.layers(model)
        self._macs: dict[Any, Callable[[int], int]] = {}

    def attend(self, k: int, hidden_BTD: Tensor, tokens: Tokens) -> Tensor:
        """Layer k up to its feed-forward part."""
        assert self.family.attend is not None
        return self.family.attend(self.model, self.layers[k], hidden_BTD, tokens)

    def feed(self, k: int, hidden_BTD: Tensor) -> Tensor:
        """The feed-forward part of layer k."""
        assert self.family.feed is not None
        return self.family.feed(self.layers[k], hidden_BTD)

    def drops_within(self, k: int) -> bool:
        """Whether tokens are dropped between the two parts of layer k."""
        return self.pruner.reads_attention and k < len(self.layers) - 1

    def ends_with_first(self, k: int) -> bool:
        """Whether layer k is the last one, and the answer looks at the first token alone."""
        return k == len(self.layers) - 1 and self.family.answers_by_first(self.model.config)

    def padded(self, tokens: PaddedTokens) -> PrunedRun:
        """One pass of padded texts."""
        return PrunedRun(self, tokens)

    def start(self, embed: Callable[[Packed], Packed], ids: Packed) -> tuple[Any, ...]:
        """Embed texts and drop the tokens that no layer needs: a stage that counts its MACs.

        Returns:
            The fields of a `PrunedState`, and the MACs of each text.
        """
        hidden = embed(ids)
        places = PackedTokens(ids.lengths, ids.values.device).places[0]
        none_B = torch.zeros(len(ids), dtype=torch.long, device=places.device)
        state = PrunedState(hidden, Packed(places, ids.lengths), none_B)
        one = ids.values[:1]
        macs_B = self._count("embed", ids.lengths, lambda n: embed(Packed(one.expand(n), (n,))))
        if not self.pruner.reads_attention:
            state, more_B = self._skim(0, state)
            macs_B = macs_B + more_B
        return *state, macs_B

    def segment(
        self, layers: range, answer: Callable[[Tensor, Tokens], tuple[Tensor, ...]], *parts: Any
    ) -> tuple[Any, ...]:
        """Compute consecutive layers and an exit: a stage that counts its MACs.

        Args:
            layers: their numbers.
            answer: `(hidden_1ND, tokens) -> tensors [B, ...]`.
            *parts: the fields of a `PrunedState`.

        Returns:
            What `answer` does, the fields of the next state, and the MACs of each text.
        """
        state = PrunedState(*parts)
        macs_B = torch.zeros(len(state.hidden), dtype=torch.long)
        for k in layers:
            if k and not self.pruner.reads_attention:  # `start` did it for the first layer
                state, more_B = self._skim(k, state)
                macs_B = macs_B + more_B
            state, more_B = self._layer(k, state)
            macs_B = macs_B + more_B
        said = answer(state.hidden.values[None], _tokens(state))
        more_B = self._count(("answer", layers), state.hidden.lengths, self._alone(answer))
        return *said, *state, macs_B + more_B

    def skimmed(self, lengths: Sequence[int], state: Sequence[Any]) -> list[tuple[int, ...]]:
        """Which tokens of texts of these lengths no layer computes, given what `start` returned."""
        left = (set(places.tolist()) for places in PrunedState(*state).places.sequences())
        return [
            tuple(k for k in range(length) if k not in places)
            for length, places in zip(lengths, left, strict=True)
        ]

    def token_layers(self, lengths: Sequence[int], depth: int, state: Sequence[Any]) -> list[int]:
        """Tokens that layers computed so far for each text, added up over the layers."""
        return PrunedState(*state).token_layers_B.tolist()

    def _layer(self, k: int, state: PrunedState) -> tuple[PrunedState, Tensor]:
        watched = self.drops_within(k)
        tokens = _tokens(state, watched=watched)
        lengths = state.hidden.lengths
        hidden_1ND = self.attend(k, state.hidden.values[None], tokens)
        macs_B = self._count(
            ("attend", k),
            lengths,
            self._alone(lambda hidden, tokens: self.attend(k, hidden, tokens), watched=watched),
        )
        computed_B = state.token_layers_B.new_tensor(lengths)
        state = PrunedState(
            Packed(hidden_1ND[0], lengths), state.places, state.token_layers_B + computed_B
        )
        if watched:
            scores_1N = tokens.received.masked_fill(tokens.ends(), torch.inf)
            state = _left(state, self.pruner.hard(k, scores_1N, tokens)[0] | tokens.ends()[0])
        if self.ends_with_first(k):
            first_N = torch.zeros_like(state.places.values, dtype=torch.bool)
            first_N[tokens.starts] = True
            state = _left(state, first_N)
        hidden_1ND = self.feed(k, state.hidden.values[None])
        hidden = Packed(hidden_1ND[0], state.hidden.lengths)
        more_B = self._count(
            ("feed", k), hidden.lengths, self._alone(lambda hidden, _: self.feed(k, hidden))
        )
        return state._replace(hidden=hidden), macs_B + more_B

    def _skim(self, k: int, state: PrunedState) -> tuple[PrunedState, Tensor]:
        """Drop what layer k and those after it need not see."""
        tokens = _tokens(state)
        kept_1N = self.pruner.hard(k, state.hidden.values[None], tokens) | tokens.ends()
        decide = self._alone(lambda hidden, tokens: self.pruner.hard(k, hidden, tokens))
        return _left(state, kept_1N[0]), self._count(("skim", k), state.hidden.lengths, decide)

    def _count(self, part: Any, lengths: tuple[int, ...], run: Callable[[int], Any]) -> Tensor:
        """The MACs of a part of the computation for texts of some lengths: int64 `[B]`."""
        if part not in self._macs:
            self._macs[part] = count_macs_by_length(run)
        return torch.tensor([self._macs[part](length) for length in lengths])

    def _alone(
        self, run: Callable[[Tensor, PackedTokens], Any], **options: Any
    ) -> Callable[[int], Any]:
        """A computation on some text of a length."""
        weight = self.model.get_input_embeddings().weight

        def alone(length: int) -> Any:
            tokens = PackedTokens([length], weight.device, **options)
            return run(weight.new_ones(1, length, self.model.config.hidden_size), tokens)

        return alone


class PrunedRun:
    """One pass of padded texts through pruned layers.

    Args:
        layers: with the pruner, which decides softly while it is in training mode and `is_soft`.
        tokens: of the texts.
    """

    def __init__(self, layers: PrunedLayers, tokens: PaddedTokens) -> None:
        self.layers = layers
        self.pruner = layers.pruner
        self.tokens = tokens
        self.shares: list[Tensor] = []
        """The share of tokens that each soft decision kept, scalars."""

    def run(self, layers: range, hidden_BTD: Tensor) -> tuple[Tensor, PaddedTokens]:
        """Compute consecutive layers. Returns hidden states, and the tokens that an exit sees."""
        for k in layers:
            if not self.pruner.reads_attention:
                hidden_BTD = self._drop(k, hidden_BTD, hidden_BTD)
            elif self.tokens.weights_BT is not None:
                hidden_BTD = hidden_BTD * self.tokens.weights_BT[..., None]
            watched = self.layers.drops_within(k)
            tokens = PaddedTokens(
                self.tokens.mask_BT,
                watched=watched,
                weights_BT=None if self.pruner.reads_attention else self.tokens.weights_BT,
                places_BT=self.tokens.places,
            )
            hidden_BTD = self.layers.attend(k, hidden_BTD, tokens)
            if watched:
                scores_BT = tokens.received.masked_fill(tokens.ends(), torch.inf)
                hidden_BTD = self._drop(k, scores_BT, hidden_BTD)
            if self.layers.ends_with_first(k):
                hidden_BTD, self.tokens = self.tokens.firsts(hidden_BTD)
            hidden_BTD = self.layers.feed(k, hidden_BTD)
        return hidden_BTD, self.tokens

    def _drop(self, k: int, evidence: Tensor, hidden_BTD: Tensor) -> Tensor:
        """Weigh tokens in soft training, mask them in eval mode. Returns the hidden states.

        Training with hard decisions gathers the tokens that are left, for speed.
        """
        tokens = self.tokens
        if self.pruner.training and self.pruner.is_soft:
            weights_BT = self.pruner.soft(k, evidence, tokens).masked_fill(tokens.ends(), 1.0)
            if not self.pruner.reads_attention and tokens.weights_BT is not None:
                weights_BT = weights_BT * tokens.weights_BT  # what was skimmed stays skimmed
            self.shares.append(weights_BT[tokens.mask_BT].mean())
            self.tokens = PaddedTokens(tokens.mask_BT, weights_BT=weights_BT)
            return hidden_BTD
        kept_BT = self.pruner.hard(k, evidence, tokens) | tokens.ends()
        self.tokens = PaddedTokens(tokens.mask_BT & kept_BT, places_BT=tokens.places)
        if self.pruner.training:
            hidden_BTD, self.tokens = self.tokens.gathered(hidden_BTD)
        return hidden_BTD

    @property
    def penalty(self) -> Tensor | None:
        """What the loss pays for kept tokens, a scalar; None where nothing was decided softly."""
        if not self.shares:
            return None
        return self.layers.loss_weight * self.pruner.penalty(self.shares)


def _tokens(state: PrunedState, *, watched: bool = False) -> PackedTokens:
    places_1N = state.places.values[None]
    return PackedTokens(
        state.hidden.lengths, places_1N.device, places_1N=places_1N, watched=watched
    )


def _left(state: PrunedState, kept_N: Tensor) -> PrunedState:
    return state._replace(hidden=state.hidden.keep(kept_N), places=state.places.keep(kept_N))
