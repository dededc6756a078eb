"""Policies of a `ChunkReader`, from what all exits say of all chunks (`ChunkEvidence`)."""

from __future__ import annotations

from torch import Tensor

from ..models.chunks.chunk_reader import ChunkReader
from ..models.chunks.chunk_replay import ChunkAnswers as ChunkAnswers
from ..models.chunks.chunk_replay import ChunkReplay
from ..models.chunks.chunk_replay import answers_at_depth as answers_at_depth
from .calibration import PolicyGrid
from .chunk_evidence import ChunkEvidence
from .policy_grids import replayed_grid


def chunk_grid(
    reader: ChunkReader,
    evidence: ChunkEvidence,
    labels_N: Tensor | None,
    *,
    cost_unit: str,
    count: int = 10,
) -> PolicyGrid:
    """All combinations of a skim threshold, a chunk threshold and a depth threshold.

    Args:
        reader: in evaluation mode; its criteria are its own and its encoder's.
        evidence: of held-out documents, skimmed if the reader skims.
        labels_N: int64; None: the full reading's answers stand in for them.
        cost_unit: a word for the costs, which are in proportion to tokens times layers.
        count: thresholds of each kind, beside none.

    Returns:
        The full reading first.
    """
    policies = reader.policy_space().policies(num_levels=count)
    answers = ChunkReplay(reader=reader, evidence=evidence)
    return replayed_grid(answers, policies, labels_N, cost_unit)
