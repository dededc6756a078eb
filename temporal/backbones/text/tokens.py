"""Which tokens a batch holds: padded to the longest text, or packed without padding.

An encoder's linear layers, norms and activations compute token by token, so they run on hidden
states `[B, T, D]` and `[1, N, D]` alike. What looks at several tokens of a text asks one of the two
classes below: the attention, and what an exit sees.

B texts, T tokens of the longest, N tokens of all texts, D model width, H heads, d width of a head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence


class PaddedTokens:
    """Tokens of texts that are padded to the longest; hidden states are `[B, T, D]`.

    Args:
        mask_BT: true where there is a token.
        watched: note what attention each token receives.
        weights_BT: how much each token is seen of, 0 to 1, with gradients; default: whole.
        places_BT: where in its text each token stands, from 0; default: one after another.

    Attributes:
        received: of the last attention that was watched, `[B, T]`: the mean, over heads and over
            the tokens that look, of the attention that each token got.
    """

    def __init__(
        self,
        mask_BT: Tensor,
        *,
        watched: bool = False,
        weights_BT: Tensor | None = None,
        places_BT: Tensor | None = None,
    ) -> None:
        self.mask_BT = mask_BT.bool()
        self.watched = watched
        self.weights_BT = weights_BT
        if places_BT is None:
            places_BT = torch.arange(mask_BT.shape[1], device=mask_BT.device)[None]
        self.places = places_BT
        """Where in its text each token stands, from 0: `[1, T]` or `[B, T]`."""

    def gathered(self, hidden_BTD: Tensor) -> tuple[Tensor, PaddedTokens]:
        """The tokens of the mask moved to the front, and what lies behind the longest cut off."""
        longest = int(self.mask_BT.sum(1).max())
        order_BT = (~self.mask_BT).long().argsort(stable=True, dim=1)[:, :longest]
        places_BT = self.places.expand(self.mask_BT.shape).gather(1, order_BT)
        index_BTD = order_BT[..., None].expand(-1, -1, hidden_BTD.shape[-1])
        mask_BT = self.mask_BT.gather(1, order_BT)
        return hidden_BTD.gather(1, index_BTD), PaddedTokens(mask_BT, places_BT=places_BT)

    def totals(self) -> Tensor:
        """Tokens of each text, those included that were dropped before its last: int64 `[B]`."""
        return (self.places * self.mask_BT).amax(1) + 1

    def ends(self) -> Tensor:
        """Which tokens are the first or the last of their text: bool `[B, T]`."""
        return (self.places == 0) | (self.places == self.totals()[:, None] - 1)

    def padded(self) -> PaddedTokens:
        """Itself: `pad` and `pack` leave values as they are."""
        return self

    def pad(self, values_BT: Tensor) -> Tensor:
        """Values `[B, T, ...]` as they are."""
        return values_BT

    pack = pad

    def first(self, hidden_BTD: Tensor) -> Tensor:
        """The first token of each text, `[B, D]`."""
        return hidden_BTD[:, 0]

    def firsts(self, hidden_BTD: Tensor) -> tuple[Tensor, PaddedTokens]:
        """Hidden states of the first tokens alone, `[B, 1, D]`, and the tokens that these are."""
        return hidden_BTD[:, :1], PaddedTokens(self.mask_BT[:, :1])

    def mean(self, hidden_BTD: Tensor) -> Tensor:
        """The mean over the tokens of each text, `[B, D]`."""
        weights_BT = self.mask_BT.to(hidden_BTD.dtype)
        if self.weights_BT is not None:
            weights_BT = weights_BT * self.weights_BT
        return ((weights_BT / weights_BT.sum(-1, keepdim=True))[:, None] @ hidden_BTD)[:, 0]

    def attend(
        self,
        query_BHTd: Tensor,
        key_BHTd: Tensor,
        value_BHTd: Tensor,
        *,
        scale: float,
        dropout: float = 0.0,
        window: int | None = None,
    ) -> Tensor:
        """Attention within each text, `[B, T, H, d]`.

        Args:
            scale: of the products of queries and keys.
            dropout: of the attention's weights.
            window: a token sees those at most so many places away; None: all.
        """
        mask = self.mask_BT[:, None, None]
        if window is not None:
            mask = mask & _near(self.places, window)[:, None]
        if not self.watched and self.weights_BT is None:
            out_BHTd = F.scaled_dot_product_attention(
                query_BHTd, key_BHTd, value_BHTd, attn_mask=mask, dropout_p=dropout, scale=scale
            )
            return out_BHTd.transpose(1, 2)
        out_BHTd, shares_BTT = _attention(
            query_BHTd, key_BHTd, value_BHTd, scale, dropout, mask, self.weights_BT
        )
        looks_BT = self.mask_BT.to(shares_BTT.dtype)
        looks_BT = looks_BT / looks_BT.sum(-1, keepdim=True)
        self.received = (looks_BT[:, None] @ shares_BTT)[:, 0]
        return out_BHTd.transpose(1, 2)


class PackedTokens:
    """Tokens of texts end to end; hidden states are `[1, N, D]`.

    Neighbours of equal length attend as one batch, so that a batch sorted by length needs few calls
    and no mask. On a CPU that was the fastest way at every batch size that was measured. An
    accelerator waits for each call, so there the attention alone is padded: one call, with a mask.

    Args:
        lengths: tokens of each text.
        device: of the hidden states.
        places_1N: where in its text each token stands, from 0; default: one after another.
        watched: note what attention each token receives.

    Attributes:
        received: as in `PaddedTokens`, `[1, N]`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        device: torch.device,
        *,
        places_1N: Tensor | None = None,
        watched: bool = False,
    ) -> None:
        self.lengths = list(lengths)
        self.mask_BT: Tensor | None = None  # every token exists
        self.device = device
        self.watched = watched
        self._places = places_1N

    @cached_property
    def runs(self) -> list[tuple[slice, int, int]]:
        """Neighbours of equal length: their tokens, how many texts, and of which length."""
        runs, end = [], 0
        for length, group in itertools.groupby(self.lengths):
            start, count = end, len(list(group))
            end = start + count * length
            runs.append((slice(start, end), count, length))
        return runs

    @cached_property
    def starts(self) -> list[int]:
        """The first token of each text."""
        return [0, *itertools.accumulate(self.lengths[:-1])]

    @property
    def places(self) -> Tensor:
        """Where in its text each token stands, from 0: `[1, N]`."""
        if self._places is None:
            if len(self.lengths) == 1:
                self._places = torch.arange(self.lengths[0], device=self.device)[None]
                return self._places
            parts = [torch.arange(n, device=self.device).repeat(count) for _, count, n in self.runs]
            self._places = torch.cat(parts)[None]
        return self._places

    def totals(self) -> Tensor:
        """As in `PaddedTokens`: int64 `[B]`."""
        lasts = [start - 1 for start in [*self.starts[1:], 0]]
        return self.places[0, lasts] + 1

    def ends(self) -> Tensor:
        """Which tokens are the first or the last of their text: bool `[1, N]`."""
        ends_1N = torch.zeros(1, sum(self.lengths), dtype=torch.bool, device=self.device)
        ends_1N[0, self.starts] = True
        ends_1N[0, [start - 1 for start in self.starts]] = True  # of the text before it
        return ends_1N

    def pad(self, values_1N: Tensor) -> Tensor:
        """Values `[1, N, ...]` as `[B, T, ...]`, zeros at the end."""
        return pad_sequence(list(values_1N[0].split(self.lengths)), batch_first=True)

    def pack(self, values_BT: Tensor) -> Tensor:
        """Undo `pad`."""
        rows = zip(values_BT, self.lengths, strict=True)
        return torch.cat([row[:length] for row, length in rows])[None]

    def padded(self) -> PaddedTokens:
        """The same texts padded: what `pad` makes of their values."""
        lengths_B1 = torch.tensor(self.lengths, device=self.device)[:, None]
        mask_BT = torch.arange(max(self.lengths), device=self.device) < lengths_B1
        places_BT = None if self._places is None else self.pad(self._places)
        return PaddedTokens(mask_BT, watched=self.watched, places_BT=places_BT)

    def first(self, hidden_1ND: Tensor) -> Tensor:
        """The first token of each text, `[B, D]`."""
        if len(self.lengths) == hidden_1ND.shape[1]:  # there is no other
            return hidden_1ND[0]
        if len(self.lengths) == 1:
            return hidden_1ND[:, 0]
        return hidden_1ND[0, self.starts]

    def firsts(self, hidden_1ND: Tensor) -> tuple[Tensor, PackedTokens]:
        """Hidden states of the first tokens alone, `[1, B, D]`, and the tokens that these are."""
        ones = PackedTokens([1] * len(self.lengths), self.device)
        return self.first(hidden_1ND)[None], ones

    def mean(self, hidden_1ND: Tensor) -> Tensor:
        """The mean over the tokens of each text, `[B, D]`."""
        if len(self.lengths) == 1:
            return hidden_1ND.mean(1)
        means = [
            hidden_1ND[0, run].unflatten(0, (count, length)).mean(1)
            for run, count, length in self.runs
        ]
        return torch.cat(means)

    def attend(
        self,
        query_1HNd: Tensor,
        key_1HNd: Tensor,
        value_1HNd: Tensor,
        *,
        scale: float,
        dropout: float = 0.0,
        window: int | None = None,
    ) -> Tensor:
        """Attention within each text, `[1, N, H, d]`; see `PaddedTokens.attend`."""
        if len(self.lengths) == 1 and window is None and not self.watched:
            out_1HNd = F.scaled_dot_product_attention(
                query_1HNd, key_1HNd, value_1HNd, dropout_p=dropout, scale=scale
            )
            return out_1HNd.transpose(1, 2)
        packed = [tensor.transpose(1, 2) for tensor in (query_1HNd, key_1HNd, value_1HNd)]
        if self.device.type != "cpu":
            return self._attend_padded(packed, scale, dropout, window)
        outs, received = [], []
        for run, count, length in self.runs:
            query, key, value = (
                tensor[0, run].unflatten(0, (count, length)).transpose(1, 2) for tensor in packed
            )
            mask = None
            if window is not None and (length > window or self._places is not None):
                mask = _near(self.places[0, run].view(count, length), window)[:, None]
            if self.watched:
                out, shares = _attention(query, key, value, scale, dropout, mask)
                received.append(shares.mean(1).flatten())
            else:
                out = F.scaled_dot_product_attention(
                    query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
                )
            outs.append(out.transpose(1, 2).flatten(0, 1))
        if self.watched:
            self.received = torch.cat(received)[None]
        return torch.cat(outs)[None]

    def _attend_padded(
        self, packed: list[Tensor], scale: float, dropout: float, window: int | None
    ) -> Tensor:
        tokens = self.padded()
        query, key, value = (self.pad(tensor).transpose(1, 2) for tensor in packed)
        out_BTHd = tokens.attend(query, key, value, scale=scale, dropout=dropout, window=window)
        if self.watched:
            self.received = self.pack(tokens.received)
        return self.pack(out_BTHd)


Tokens = PaddedTokens | PackedTokens


def _near(places_BT: Tensor, window: int) -> Tensor:
    """Which tokens see each other within a window: bool `[B, T, T]`."""
    return (places_BT[:, :, None] - places_BT[:, None, :]).abs() <= window


def _attention(
    query_BHTd: Tensor,
    key_BHTd: Tensor,
    value_BHTd: Tensor,
    scale: float,
    dropout: float,
    mask: Tensor | None,
    weights_BT: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention whose weights can be looked at, and can be weighed.

    Returns:
        What `F.scaled_dot_product_attention` does, and `[B, T, T]` the weights' mean over heads.
    """
    scores_BHTT = (query_BHTd * scale) @ key_BHTd.transpose(2, 3)
    if mask is not None:
        scores_BHTT = scores_BHTT.masked_fill(~mask, torch.finfo(scores_BHTT.dtype).min)
    shares_BHTT = scores_BHTT.softmax(-1)
    if weights_BT is not None:  # so that gradients say what it would change to see a token
        shares_BHTT = shares_BHTT * weights_BT[:, None, None]
        shares_BHTT = shares_BHTT / shares_BHTT.sum(-1, keepdim=True).clamp(min=1e-6)
    used_BHTT = F.dropout(shares_BHTT, dropout) if dropout else shares_BHTT
    return used_BHTT @ value_BHTd, shares_BHTT.mean(1)
