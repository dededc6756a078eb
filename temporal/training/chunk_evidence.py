"""Documents as what a pooling over chunks sees of them, for a Trainer.

What the exits say of all chunks is in `temporal.models.chunks.chunk_evidence`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..models.chunks.chunk_evidence import ChunkEvidence as ChunkEvidence
from ..models.chunks.chunk_evidence import ask_exits as ask_exits
from ..models.chunks.chunk_evidence import first_certain as first_certain
from ..models.chunks.chunk_evidence import skim_chunks as skim_chunks

_FULL_DEPTH_SHARE = 0.3
"""Share of training batches in which every chunk goes through all layers."""


class ChunkedTexts(Dataset):
    """Documents as what a pooling sees of them, for a Trainer.

    Args:
        evidence: of N documents.
        labels: `[N]`.
        draws: in each batch read to the depths of another policy, whose threshold is drawn among
            the certainties in the batch: the pooling then serves any depth policy.
    """

    def __init__(self, evidence: ChunkEvidence, labels: Tensor, *, draws: bool) -> None:
        if len(evidence) != len(labels):
            raise ValueError(f"evidence ({len(evidence)}) and labels ({len(labels)}) must match")
        self.evidence, self.labels, self.draws = evidence, labels, draws

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, document: int) -> dict[str, Tensor]:
        return self.__getitems__([document])

    def __getitems__(self, documents: list[int]) -> dict[str, Tensor]:
        """A whole batch at once, which leaves nothing to collate."""
        batch = self.evidence.batch(documents)
        if self.draws and torch.rand(()) >= _FULL_DEPTH_SHARE:
            certainties_BCE = self.evidence.padded(self.evidence.certainties_ME, documents)
            there_M = certainties_BCE[batch["chunk_mask"]].flatten()
            level = there_M[torch.randint(len(there_M), ())].item() if len(there_M) else 0.0
            thresholds = [level] * certainties_BCE.shape[-1]
            batch["exits"] = first_certain(certainties_BCE, thresholds)
        return {**batch, "labels": self.labels[documents]}
