"""What a `ChunkReader` would answer under any policy, from what all exits said of all chunks.

One pass over the chunks (`ChunkEvidence`) tells what any thresholds would do, over depth and over
chunks at once. N documents, A answers (the skim's, and one after each chunk), E exits, K classes,
P policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...policies.halt import criterion
from ..every_exit import exits_taken
from ..policy_space import Policy
from .bag_of_tokens import Skim
from .chunk_evidence import ChunkEvidence, first_certain

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
    reader: Any, evidence: ChunkEvidence, depth_thresholds: Sequence[float] | None
) -> ChunkAnswers:
    """Replay the reading of all chunks at some depth thresholds."""
    encoder = reader.config.encoder_config()  # a whole classifier counts as one layer
    layers = torch.tensor(getattr(encoder, "exit_layers", None) or [1])
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkReplay:
    """The `Answers` of a `ChunkReader`."""

    reader: Any
    """In evaluation mode; its criteria are its own and its encoder's."""
    evidence: ChunkEvidence
    """Of N documents, skimmed if the reader skims."""
    faults: Mapping[int, Exception] = field(default_factory=dict)
    """None: texts that are not read fail before."""

    @property
    def rows(self) -> Sequence[int]:
        """All documents."""
        return range(len(self.evidence))

    def under(self, policies: Sequence[Policy]) -> tuple[Tensor, Tensor]:
        """As `Answers.under`; costs are tokens that layers computed, added up over the layers."""
        depths: dict[Any, ChunkAnswers] = {}
        said, costs = [], []
        for policy in policies:
            depth, thresholds = policy["depth_thresholds"], policy["thresholds"]
            key = None if depth is None else tuple(depth)
            if key not in depths:
                depths[key] = answers_at_depth(self.reader, self.evidence, depth)
            answers = depths[key]
            num_answers = answers.costs_NA.shape[1]
            row = [thresholds[0], *[thresholds[-1]] * num_answers][: num_answers - 1]
            taken_N1 = exits_taken(answers.certainties_NA[:, :-1], row)[:, None]
            said.append(answers.logits_NAK.argmax(-1).gather(1, taken_N1)[:, 0])
            costs.append(answers.costs_NA.gather(1, taken_N1)[:, 0].double())
        return torch.stack(said), torch.stack(costs)
