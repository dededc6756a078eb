"""Tokens of clips that are there, packed without padding, and which of them see each other.

Linear layers, norms and activations compute token by token, on `[N, D]`. An attention sees the
tokens in a `View`: rows in groups, and each row sees its group. Groups of one size are computed
together, so nothing is padded and nothing is masked.

B clips, N tokens of all of them, R rows of a view, D model width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


@dataclass(frozen=True, kw_only=True)
class ClipTokens:
    """Which tokens there are, clip after clip, each clip in the order (time, place)."""

    lengths: tuple[int, ...]
    """Tokens of each clip, B numbers of at least 1 whose sum is N."""
    times_N: Tensor
    """The tubelet of each, from 0; -1: a first token, which stands for the whole clip. int64."""
    places_N: Tensor
    """Its row and column in the grid as one number; -1 for first tokens. int64."""
    sizes_N: Tensor | None = None
    """How many patches each stands for; None: none was merged."""
    has_first: bool = False
    """Whether each clip begins with a first token ("CLS")."""

    @cached_property
    def clips_N(self) -> Tensor:
        """The clip of each token."""
        lengths_B = torch.tensor(self.lengths, device=self.times_N.device)
        return torch.arange(len(self.lengths), device=lengths_B.device).repeat_interleave(lengths_B)

    @cached_property
    def starts_B(self) -> Tensor:
        """The number of each clip's first token."""
        lengths_B = torch.tensor(self.lengths, device=self.times_N.device)
        return lengths_B.cumsum(0) - lengths_B

    def mean(self, hidden_ND: Tensor) -> Tensor:
        """The mean over the patches that each clip's tokens stand for, `[B, D]`."""
        if self.sizes_N is None:
            weights_N = hidden_ND.new_ones(len(hidden_ND))
        else:
            weights_N = self.sizes_N.to(hidden_ND.dtype)
        weighted = (hidden_ND * weights_N[:, None]).split(self.lengths)
        totals = weights_N.split(self.lengths)
        return torch.stack([x.sum(0) / n.sum() for x, n in zip(weighted, totals, strict=True)])

    def keep(self, kept_N: Tensor, sizes_N: Tensor | None) -> ClipTokens:
        """Only some tokens, at least one of each clip, with new sizes of all that were there."""
        counts_B = self.clips_N[kept_N].bincount(minlength=len(self.lengths))
        return ClipTokens(
            lengths=tuple(counts_B.tolist()),
            times_N=self.times_N[kept_N],
            places_N=self.places_N[kept_N],
            sizes_N=None if sizes_N is None else sizes_N[kept_N],
            has_first=self.has_first,
        )

    def view(self, name: str) -> View:
        """How an attention sees them: `"clip"`, `"place"` (over time) or `"frame"` (over space)."""
        return getattr(self, f"_by_{name}")

    @cached_property
    def _by_clip(self) -> View:
        sizes_B = torch.tensor(self.lengths)
        runs: list[tuple[int, int]] = []
        for length in self.lengths:
            if runs and runs[-1][1] == length:
                runs[-1] = (runs[-1][0] + 1, length)
            else:
                runs.append((1, length))
        return View(
            tokens=self, runs=tuple(runs), rows_B=sizes_B, pairs_B=sizes_B**2, sizes_R=self.sizes_N
        )

    @cached_property
    def _by_place(self) -> View:
        patches_R = (self.times_N >= 0).nonzero()[:, 0]
        return self._grouped(patches_R, self._keys(self.places_N)[patches_R])

    @cached_property
    def _by_frame(self) -> View:
        keys_N = self._keys(self.times_N)
        patches_R = (self.times_N >= 0).nonzero()[:, 0]
        keys_R = keys_N[patches_R]
        if self.has_first:  # each frame sees a copy of it
            frames, per_clip = keys_R.unique(), int(self.times_N.max()) + 2
            patches_R = torch.cat([self.starts_B[frames // per_clip], patches_R])
            keys_R = torch.cat([frames, keys_R])
        return self._grouped(patches_R, keys_R)

    def _keys(self, numbers_N: Tensor) -> Tensor:
        return self.clips_N * (int(numbers_N.max()) + 2) + numbers_N

    def _grouped(self, index_R: Tensor, keys_R: Tensor) -> View:
        """A view of rows whose keys name their group, small groups first."""
        keys_R, order_R = keys_R.sort(stable=True)
        _, counts_G = keys_R.unique_consecutive(return_counts=True)
        sizes_R, by_size_R = counts_G.repeat_interleave(counts_G).sort(stable=True)
        index_R = index_R[order_R][by_size_R]
        clips_R, num_clips = self.clips_N[index_R], len(self.lengths)
        lengths, rows = sizes_R.unique_consecutive(return_counts=True)
        pairs_B = torch.zeros(num_clips, dtype=torch.long, device=index_R.device)
        runs = zip(rows.tolist(), lengths.tolist(), strict=True)
        return View(
            tokens=self,
            index_R=index_R,
            runs=tuple((count // length, length) for count, length in runs),
            rows_B=clips_R.bincount(minlength=num_clips).cpu(),
            pairs_B=pairs_B.index_add(0, clips_R, sizes_R).cpu(),
            sizes_R=None if self.sizes_N is None else self.sizes_N[index_R],
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """Rows in groups; a row is a token, or one of several copies of a first token."""

    tokens: ClipTokens
    index_R: Tensor | None = None
    """The token of each row; None: the tokens are the rows."""
    runs: tuple[tuple[int, int], ...]
    """(groups, rows of each), in the order of the rows."""
    rows_B: Tensor
    """Rows of each clip. On the CPU."""
    pairs_B: Tensor
    """Pairs of rows that see each other, of each clip. On the CPU."""
    sizes_R: Tensor | None
    """See `ClipTokens.sizes_N`."""

    def rows(self, hidden_ND: Tensor) -> Tensor:
        """Hidden states of the rows, `[R, D]`."""
        return hidden_ND if self.index_R is None else hidden_ND[self.index_R]

    def tokens_of_groups(self) -> Tensor:
        """The tokens of groups of one size, `[G, L]`."""
        ((count, length),) = self.runs
        index_R = self.index_R
        if index_R is None:
            index_R = torch.arange(count * length, device=self.tokens.times_N.device)
        return index_R.view(count, length)

    def add(self, hidden_ND: Tensor, residual_RD: Tensor) -> Tensor:
        """Hidden states plus what their rows found; copies of a first token give their mean."""
        if self.index_R is None:
            return hidden_ND + residual_RD
        tokens = self.tokens
        found_ND = torch.zeros_like(hidden_ND)
        found_ND[self.index_R] = residual_RD
        copies = (tokens.times_N[self.index_R] < 0).nonzero()[:, 0]
        if len(copies):
            clips = tokens.clips_N[self.index_R[copies]]
            sums_BD = hidden_ND.new_zeros(len(tokens.lengths), hidden_ND.shape[1])
            sums_BD = sums_BD.index_add(0, clips, residual_RD[copies])
            counts_B = clips.bincount(minlength=len(sums_BD)).to(sums_BD.dtype)
            found_ND[tokens.starts_B] = sums_BD / counts_B[:, None]
        return hidden_ND + found_ND


class Look:
    """The attention of one step: what the rows of a view see in their groups.

    Args:
        view: the rows.
        config: the model's, which names the attention's implementation and its heads.
        watched: keep the keys, by which tokens are merged.

    Attributes:
        keys_Rd: the mean of the keys over the heads, where it is watched.
    """

    def __init__(self, view: View, config: Any, *, watched: bool = False) -> None:
        self.view = view
        self.config = config
        self.watched = watched
        self.keys_Rd: Tensor | None = None

    def __call__(self, module: Any, query_RD: Tensor, key_RD: Tensor, value_RD: Tensor) -> Tensor:
        """Attention within the groups, `[R, D]`; a token that stands for n patches counts n times.

        Args:
            module: the model's attention.
            query_RD: and so on: all heads, end to end.
            key_RD: see above.
            value_RD: see above.
        """
        heads = self.config.num_attention_heads
        if self.watched:
            self.keys_Rd = key_RD.unflatten(1, (heads, -1)).mean(1)
        outs, row = [], 0
        for count, length in self.view.runs:
            part = slice(row, row := row + count * length)
            query, key, value = (
                x[part].view(count, length, heads, -1).transpose(1, 2)
                for x in (query_RD, key_RD, value_RD)
            )
            bias = None
            if self.view.sizes_R is not None:
                bias = self.view.sizes_R[part].log().to(query.dtype).view(count, 1, 1, length)
            outs.append(
                self._attend(module, query, key, value, bias).reshape(-1, query_RD.shape[1])
            )
        return outs[0] if len(outs) == 1 else torch.cat(outs)

    def _attend(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None
    ) -> Tensor:
        """`[groups, length, heads, d]`."""
        scale = query.shape[-1] ** -0.5
        dropout = self.config.attention_probs_dropout_prob if module.training else 0.0
        cap = getattr(self.config, "attn_logit_softcapping", None)
        if cap is not None:
            scores = cap * (query @ key.transpose(2, 3) * scale / cap).tanh()
            scores = scores if bias is None else scores + bias
            shares = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
            return (F.dropout(shares, dropout) @ value).transpose(1, 2)
        name = self.config._attn_implementation
        if bias is None and name not in ("eager", "sdpa", None):
            other = ALL_ATTENTION_FUNCTIONS[name]
            return other(
                module, query, key, value, None, scaling=scale, dropout=dropout, is_causal=False
            )[0]
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale
        )
        return out.transpose(1, 2)
