"""Fit the bag of tokens that a `ChunkReader` skims with: seconds, not minutes.

N texts, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.chunks.bag_of_tokens import BagOfTokens
from ..packed import Packed
from .chunk_evidence import skim_chunks


def fit_skim(
    skim: BagOfTokens,
    texts: Sequence[Tensor],
    labels_N: Tensor,
    *,
    num_epochs: int = 3,
    batch_size: int = 64,
    learning_rate: float = 0.03,
    weight_decay: float = 2e-5,
    seed: int = 0,
) -> BagOfTokens:
    """Train a bag of tokens from zero, by Adam with a learning rate that falls to zero.

    Args:
        skim: it is changed and returned.
        texts: ids without special tokens.
        labels_N: int64, probabilities `[N, K]`, or floats in regression.
        num_epochs, batch_size, learning_rate, weight_decay: as usual; these suited 22,500 reviews.
        seed: of the order.

    Returns:
        `skim`.
    """
    entries = [skim.entries(Packed.of([text]))[0] for text in texts]
    for parameter in skim.parameters():
        torch.nn.init.zeros_(parameter)
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(skim.parameters(), lr=learning_rate, weight_decay=weight_decay)
    chance = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(entries), generator=chance) for _ in range(num_epochs)]
    batches = [batch for order in orders for batch in order.split(batch_size)]
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(batches))
    for batch in batches:
        logits_BK = skim.logits([entries[k] for k in batch.tolist()])
        if logits_BK.shape[1] == 1:
            loss = F.mse_loss(logits_BK.squeeze(1), labels_N[batch])
        else:
            loss = F.cross_entropy(logits_BK, labels_N[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return skim.requires_grad_(False)


def cross_fitted(
    skim: BagOfTokens,
    texts: Sequence[Tensor],
    labels_N: Tensor,
    chunks: Sequence[Sequence[range]],
    *,
    num_folds: int = 5,
    seed: int = 0,
) -> list[tuple[Tensor, Tensor]]:
    """What is said of each text, and of its chunks, by a skim that was fitted on other texts.

    A skim is surer of the texts that it was fitted on than of others, and a pooling that was
    trained on such scores would trust it too much.

    Args:
        skim: its sizes count.
        texts: ids without special tokens.
        labels_N: of the texts.
        chunks: of each text, ranges of its tokens.
        num_folds: parts, each of which is skimmed by a bag fitted on the others.
        seed: of the folds.

    Returns:
        As `skim_chunks` does.
    """
    fold_N = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)) % num_folds
    said: list[tuple[Tensor, Tensor]] = [(torch.empty(0), torch.empty(0))] * len(texts)
    for fold in range(num_folds):
        inside, rest = (fold_N == fold).nonzero()[:, 0], (fold_N != fold).nonzero()[:, 0]
        bag = fit_skim(
            copy.deepcopy(skim), [texts[k] for k in rest.tolist()], labels_N[rest], seed=seed
        )
        here = inside.tolist()
        found = skim_chunks(bag, [texts[k] for k in here], [chunks[k] for k in here])
        for k, what in zip(here, found, strict=True):
            said[k] = what
    return said
