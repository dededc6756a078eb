"""Fit the bag of tokens that a `ChunkReader` skims with: seconds, not minutes.

N texts, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.bag_of_tokens import BagOfTokens
from ..packed import Packed
from .chunk_evidence import ChunkEvidence, with_skim


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
        labels_N: int64, or floats in regression.
        num_epochs, batch_size, learning_rate, weight_decay: as usual; 22,500 reviews liked these.
        seed: of the order.
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
    evidence: ChunkEvidence,
    skim: BagOfTokens,
    texts: Sequence[Tensor],
    labels_N: Tensor,
    *,
    num_folds: int = 5,
    seed: int = 0,
) -> ChunkEvidence:
    """The evidence with what skims say that were fitted on the other texts.

    A skim is surer of the texts that it was fitted on than of others, and a pooling that was
    trained on such scores would trust it too much.

    Args:
        evidence: of the same N documents.
        skim: its sizes count.
        texts: the documents' ids.
        labels_N: of the documents.
        num_folds: parts, each of which is skimmed by a bag fitted on the others.
        seed: of the folds.
    """
    fold_N = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)) % num_folds
    scored = None
    chunk_fold_M = fold_N.repeat_interleave(evidence.counts_N)
    for fold in range(num_folds):
        rest = (fold_N != fold).nonzero().squeeze(1)
        bag = fit_skim(
            copy.deepcopy(skim), [texts[k] for k in rest.tolist()], labels_N[rest], seed=seed
        )
        said = with_skim(evidence, bag, texts)
        if scored is None:
            scored = said
            continue
        assert said.skim_logits_NK is not None and said.skim_scores_MK is not None
        assert scored.skim_logits_NK is not None and scored.skim_scores_MK is not None
        here_N1, here_M1 = (fold_N == fold)[:, None], (chunk_fold_M == fold)[:, None]
        scored = replace(
            scored,
            skim_logits_NK=torch.where(here_N1, said.skim_logits_NK, scored.skim_logits_NK),
            skim_scores_MK=torch.where(here_M1, said.skim_scores_MK, scored.skim_scores_MK),
        )
    assert scored is not None
    return scored
