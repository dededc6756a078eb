"""Policies of a `ChunkReader`: when to answer from the skim, how deep, and after which chunk.

One pass that asks all exits about all chunks (`ChunkEvidence`) tells what any thresholds would do,
over depth and over chunks at once. N documents, A answers (the skim's, and one after each chunk),
E exits, K classes, P policies.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import num_classes
from ..models.chunks.chunk_reader import ChunkReader, Skim
from ..policies.halt import criterion
from .calibration import PolicyGrid
from .chunk_evidence import ChunkEvidence, first_certain
from .exit_policies import NEVER, exits_taken, shared_thresholds

_BATCH = 256
"""Documents that are pooled at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkAnswers:
    """What a reader would answer after each chunk, with every chunk read to the same depth policy.

    Documents with fewer chunks than the longest repeat their last answer and its cost.
    """

    logits_NAK: Tensor
    """The skim's, if it skims, and one after each chunk."""
    certainties_NA: Tensor
    """How certain the reader's criterion calls each answer, given those before it."""
    costs_NA: Tensor
    """Tokens that layers computed until then, added up over the layers."""


@torch.inference_mode()
def answers_at_depth(
    reader: ChunkReader, evidence: ChunkEvidence, depth_thresholds: Sequence[float] | None
) -> ChunkAnswers:
    """Replay the reading of all chunks at some depth thresholds."""
    layers = _layers_of_exits(reader)
    longest = int(evidence.counts_N.max())
    parts: list[tuple[Tensor, Tensor]] = []
    numbers = range(len(evidence))
    for start in range(0, len(evidence), _BATCH):
        documents = numbers[start : start + _BATCH]
        batch = evidence.batch(documents)
        exits_BC = first_certain(
            evidence.padded(evidence.certainties_ME, documents), depth_thresholds
        )
        there = {name: value.to(reader.device) for name, value in batch.items()}
        logits_BAK = reader(**there, exits=exits_BC.to(reader.device)).exit_logits.cpu()
        costs_BC = evidence.padded(evidence.tokens_M, documents) * layers[exits_BC]
        counts = batch["chunk_mask"].sum(1).tolist()
        skim = None
        if "skim_logits" in batch:
            skim = Skim(batch["skim_logits"], batch["skim_scores"])
        for row, order in enumerate(reader.order(counts, skim)):
            costs_BC[row, : len(order)] = costs_BC[row, order]
        costs_BA = costs_BC.cumsum(1)
        if skim is not None:
            costs_BA = F.pad(costs_BA, (1, 0))  # the skim itself has no layers
        missing = longest - exits_BC.shape[1]
        parts.append(
            (
                torch.cat([logits_BAK, *[logits_BAK[:, -1:]] * missing], 1),
                torch.cat([costs_BA, *[costs_BA[:, -1:]] * missing], 1),
            )
        )
    logits_NAK, costs_NA = (torch.cat(column) for column in zip(*parts, strict=True))
    rule = criterion(reader.config.criterion, **vars(reader.config))
    past_ANK = logits_NAK.transpose(0, 1)
    certainties = [rule(past_ANK[: k + 1]) for k in range(len(past_ANK))]
    return ChunkAnswers(
        logits_NAK=logits_NAK, certainties_NA=torch.stack(certainties, 1), costs_NA=costs_NA
    )


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
    num_labels = num_classes(reader.config)
    levels = _levels(reader.config.criterion, num_labels, count)
    depths: list[list[float] | None] = [None]
    num_before = evidence.certainties_ME.shape[1]
    if num_before:
        of_encoder = _levels(reader.encoder.config.criterion, num_labels, count)[1:]
        depths += [[level] * num_before for level in of_encoder]
    policies, losses, costs = [], [], []
    for depth in depths:
        answers = answers_at_depth(reader, evidence, depth)
        said_NA = answers.logits_NAK.argmax(-1)
        if labels_N is None:
            labels_N = said_NA[:, -1]
        wrong_NA = said_NA != labels_N[:, None]
        for thresholds in _thresholds(levels, skims=reader.skim is not None):
            num_answers = wrong_NA.shape[1]
            row = [thresholds[0], *[thresholds[-1]] * num_answers][: num_answers - 1]
            taken_N1 = exits_taken(answers.certainties_NA[:, :-1], row)[:, None]
            policies.append(
                {
                    "criterion": reader.config.criterion,
                    "thresholds": thresholds,
                    "depth_thresholds": depth,
                }
            )
            losses.append(wrong_NA.gather(1, taken_N1)[:, 0])
            costs.append(answers.costs_NA.gather(1, taken_N1)[:, 0].double())
    return PolicyGrid(
        policies=policies,
        losses_PN=torch.stack(losses),
        costs_PN=torch.stack(costs),
        cost_unit=cost_unit,
    )


def _levels(criterion: str, num_classes: int, count: int) -> list[float]:
    found = shared_thresholds(criterion, 2, num_classes, count=count)
    return [NEVER, *(row[0] for row in found)]


def _thresholds(levels: Sequence[float], *, skims: bool) -> Iterator[list[float]]:
    if skims:
        yield from ([first, later] for first, later in itertools.product(levels, levels))
    else:
        yield from ([level] for level in levels)


def _layers_of_exits(reader: ChunkReader) -> Tensor:
    """Layers under each exit of the encoder; a whole classifier counts as one."""
    config = reader.encoder.config if hasattr(reader.encoder, "config") else None
    return torch.tensor(getattr(config, "exit_layers", None) or [1])
