"""What may be turned on a `ChunkReader`: answer from the skim, how deep, and after which chunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from ...checks import num_classes
from ...source import Source
from ..every_exit import shared_thresholds
from ..policy_space import Policy, PolicySpace
from ..saved_reader import SavedReader
from ..stored_points import NEVER
from .chunk_evidence import ask_exits, skim_chunks
from .chunk_replay import ChunkReplay


class ChunkKnobs(SavedReader):
    """Mixed into a reader of chunks."""

    wraps_classifier = True
    trains_on_units = False

    @property
    def plain_classifier(self) -> Any:
        """The one that reads a chunk."""
        return self.encoder.plain_classifier  # type: ignore[attr-defined]  # the model has it

    @property
    def depth_reader(self) -> Any:
        """What reads a chunk, if it has exits."""
        return self.encoder.depth_reader  # type: ignore[attr-defined]  # the model has it

    def policy_space(self) -> PolicySpace:
        """All combinations of a skim threshold, a chunk threshold and a depth threshold."""
        model: Any = self
        skims = model.skim is not None
        full = _policy(model.config, [NEVER] * (1 + skims), None)

        def cheaper(count: int) -> list[Policy]:
            levels = _levels(model.config, model.config.criterion, count)
            rows = [[level] for level in levels]
            if skims:
                rows = [list(pair) for pair in itertools.product(levels, levels)]
            depths: list[list[float] | None] = [None]
            exits = getattr(model.config.encoder_config(), "exit_layers", None) or [0]
            if len(exits) > 1:
                own = _levels(model.config, model.encoder.config.criterion, count)
                depths += [[level] * (len(exits) - 1) for level in own[1:]]
            policies = [_policy(model.config, row, depth) for depth in depths for row in rows]
            return policies[1:]  # the first is the full reading

        return PolicySpace(full=full, cheaper=cheaper, ordered=False)

    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> ChunkReplay:
        """What all exits say of all chunks of documents without special tokens."""
        model: Any = self
        documents = list(sources)
        evidence = ask_exits(model, documents)
        if model.skim is not None:
            texts = [document.read(range(len(document))) for document in documents]
            evidence = evidence.with_skim(skim_chunks(model.skim, texts, evidence.chunks()))
        return ChunkReplay(reader=model, evidence=evidence)


def _policy(config: Any, thresholds: Sequence[float], depth: Sequence[float] | None) -> Policy:
    return {
        "criterion": config.criterion,
        "thresholds": list(thresholds),
        "depth_thresholds": depth,
        "max_share": 1.0,
    }


def _levels(config: Any, criterion: str, count: int) -> list[float]:
    found = shared_thresholds(criterion, 2, num_classes(config), count=count)
    return [NEVER, *(row[0] for row in found)]
