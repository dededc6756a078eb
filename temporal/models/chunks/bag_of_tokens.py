"""The cheapest look at a text: each token, and each pair of neighbours, has a say, and they add up.

Joulin et al., "Bag of Tricks for Efficient Text Classification" (EACL 2017, arXiv 1607.01759), with
word pieces for words and pairs hashed into buckets (their section 2.3). Their hidden layer is as
wide as there are classes here, which a linear classifier cannot tell from a wider one. A token or
pair that occurs again in a text says nothing new (Wang & Manning, "Baselines and Bigrams", ACL
2012, section 2.1, found that presence tells more of sentiment than counts).

B texts, N tokens of all texts, V vocabulary entries, H buckets, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ...packed import Packed

_PRIMES = (1_000_003, 7_919)


class BagOfTokens(nn.Module):
    """A linear classifier of token ids and of pairs of neighbours.

    Args:
        vocab_size: V.
        num_buckets: H, what pairs are hashed into; 0: tokens only.
        num_labels: K.
    """

    def __init__(self, vocab_size: int, num_buckets: int, num_labels: int) -> None:
        super().__init__()
        self.vocab_size, self.num_buckets = vocab_size, num_buckets
        self.scores = nn.Embedding(vocab_size + num_buckets, num_labels)
        self.bias = nn.Parameter(torch.zeros(num_labels))

    def entries(self, ids: Packed) -> tuple[Tensor, Tensor]:
        """What of the table speaks where: entry numbers and places, int64 `[M]` each.

        The entries of a text are its distinct tokens and pairs, each at the place where it occurs
        first; a pair stands where its second token does. Places count over all texts.
        """
        ids_N, text_N = ids.values, _rows(ids)
        places_N = torch.arange(len(ids_N), device=ids_N.device)
        keys, places = ids_N, places_N
        if self.num_buckets:
            pairs = (ids_N[:-1] * _PRIMES[0] + ids_N[1:] * _PRIMES[1]) % self.num_buckets
            inside = text_N[:-1] == text_N[1:]
            keys = torch.cat([keys, pairs[inside] + self.vocab_size])
            places = torch.cat([places, places_N[1:][inside]])
        order = (text_N[places] * self.scores.num_embeddings + keys).argsort(stable=True)
        keys, places = keys[order], places[order]
        texts = text_N[places]
        new = torch.ones_like(keys, dtype=torch.bool)
        new[1:] = (keys[1:] != keys[:-1]) | (texts[1:] != texts[:-1])
        return keys[new], places[new]

    def forward(self, ids: Packed) -> tuple[Tensor, Packed]:
        """Score texts.

        Args:
            ids: int64 `[N]`, without special tokens.

        Returns:
            Logits `[B, K]`, and what each token adds to them, `[N, K]`.
        """
        keys, places = self.entries(ids)
        text_M = _rows(ids)[places]
        counts_B = torch.bincount(text_M, minlength=len(ids))
        # The evidence for a class grows with the root of the text's length, as noise does.
        scores_MK = self.scores(keys) / counts_B[text_M, None].sqrt()
        scores_NK = scores_MK.new_zeros(len(ids.values), scores_MK.shape[1])
        scores_NK = scores_NK.index_add(0, places, scores_MK)
        logits_BK = scores_MK.new_zeros(len(ids), scores_MK.shape[1])
        return logits_BK.index_add(0, text_M, scores_MK) + self.bias, Packed(scores_NK, ids.lengths)

    def logits(self, entries: list[Tensor]) -> Tensor:
        """The logits `[B, K]` of texts whose distinct entries are known: what training repeats."""
        counts_B = torch.tensor([len(keys) for keys in entries])
        starts_B = counts_B.cumsum(0) - counts_B
        summed_BK = F.embedding_bag(torch.cat(entries), self.scores.weight, starts_B, mode="sum")
        return summed_BK / counts_B[:, None].sqrt() + self.bias


class Skim(NamedTuple):
    """What skimming found."""

    logits_BK: Tensor
    """Of each document."""
    chunks_BCK: Tensor
    """What each chunk adds to them, chunks in the order of the text; zeros where there is none."""


def chunk_sums(scores: Packed, chunks: Sequence[Sequence[range]]) -> Tensor:
    """What the tokens of each chunk add to the logits: `[B, C, K]`, zeros where there is no chunk.

    Args:
        scores: `[N, K]`, as `BagOfTokens` returns them.
        chunks: of each text, ranges of its tokens.
    """
    sums = [
        torch.stack([scores_TK[chunk.start : chunk.stop].sum(0) for chunk in parts])
        for scores_TK, parts in zip(scores.sequences(), chunks, strict=True)
    ]
    return pad_sequence(sums, batch_first=True)


def _rows(ids: Packed) -> Tensor:
    """Which text each token belongs to, int64 `[N]`."""
    lengths_B = torch.tensor(ids.lengths, device=ids.values.device)
    return torch.repeat_interleave(torch.arange(len(ids), device=lengths_B.device), lengths_B)
