"""What all exits of a chunk's encoder say of all chunks of some documents, computed once.

The encoder of a `ChunkReader` is frozen when its pooling is trained and when it is calibrated, so
each chunk needs to go through it only once: everything else is a matter of which exit would have
answered, and in which order the chunks would have been read.

N documents, M chunks of all documents, B documents of a batch, C chunks of its longest, E exits, D
width of what an exit sees, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...packed import Packed
from ...source import Source
from .bag_of_tokens import BagOfTokens, chunk_sums
from .chunk_dress import is_pair, types_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkEvidence:
    """Chunks of documents, in the order of their texts, document after document."""

    counts_N: Tensor
    """Chunks of each document, int64."""
    stops_M: Tensor
    """Where each chunk ends, a place in its document, int64."""
    tokens_M: Tensor
    """Tokens of each chunk, special tokens included, int64."""
    logits_MEK: Tensor
    """Float32."""
    certainties_ME: Tensor
    """How certain the encoder's criterion calls each exit but the last (E - 1 columns)."""
    states_MED: Tensor
    """What the exits saw."""
    skim_logits_NK: Tensor | None = None
    """What skimming says of each document; None: there was none."""
    skim_scores_MK: Tensor | None = None
    """What each chunk adds to them."""

    def __len__(self) -> int:
        return len(self.counts_N)

    def padded(self, values_M: Tensor, documents: Sequence[int]) -> Tensor:
        """Values of some documents' chunks, `[B, C, ...]`, zeros where there is no chunk."""
        counts = self.counts_N[list(documents)]
        starts = (self.counts_N.cumsum(0) - self.counts_N)[list(documents)]
        spans = zip(starts.tolist(), (starts + counts).tolist(), strict=True)
        return pad_sequence([values_M[a:b] for a, b in spans], batch_first=True)

    def batch(self, documents: Sequence[int]) -> dict[str, Tensor]:
        """Arguments of `ChunkReader.forward` for some documents, padded to their longest."""
        counts_B = self.counts_N[list(documents)]
        arguments = {
            "chunk_logits": self.padded(self.logits_MEK, documents),
            "chunk_states": self.padded(self.states_MED, documents),
            "chunk_mask": torch.arange(int(counts_B.max())) < counts_B[:, None],
        }
        if self.skim_logits_NK is not None and self.skim_scores_MK is not None:
            arguments["skim_logits"] = self.skim_logits_NK[list(documents)]
            arguments["skim_scores"] = self.padded(self.skim_scores_MK, documents)
        return arguments

    def chunks(self) -> list[list[range]]:
        """The chunks of each document, ranges of its tokens."""
        chunks = []
        for stops_C in self.stops_M.split(self.counts_N.tolist()):
            starts = [0, *stops_C[:-1].tolist()]
            chunks.append([range(a, b) for a, b in zip(starts, stops_C.tolist(), strict=True)])
        return chunks

    def with_skim(self, said: Sequence[tuple[Tensor, Tensor]]) -> ChunkEvidence:
        """The same with what skimming says of each document and its chunks (`skim_chunks`)."""
        logits, sums = zip(*said, strict=True)
        return replace(self, skim_logits_NK=torch.stack(logits), skim_scores_MK=torch.cat(sums))

    def save(self, path: Path) -> None:
        """Write it to a file of safetensors."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        save_file({k: v.contiguous() for k, v in tensors.items() if v is not None}, path)

    @classmethod
    def load(cls, path: Path) -> ChunkEvidence:
        """Read what `save` wrote."""
        return cls(**load_file(path))


@torch.inference_mode()
def ask_exits(
    reader: Any,
    documents: Sequence[Source],
    *,
    batch_tokens: int = 8192,
    autocast: torch.dtype | None = None,
    state_dtype: torch.dtype = torch.float32,
) -> ChunkEvidence:
    """Run all exits on all chunks; the skim is asked apart (`skim_chunks`).

    Args:
        reader: a `ChunkReader` in evaluation mode.
        documents: with no special tokens of their own.
        batch_tokens: tokens computed at a time, about.
        autocast: what the encoder computes in, e.g. `torch.bfloat16`; default: its own dtype.
        state_dtype: what the states are kept in; there are E x D numbers of them for each chunk.
    """
    device = next(reader.encoder.parameters()).device
    cuts = [reader.cut(document) for document in documents]
    where = [(k, chunk) for k, parts in enumerate(cuts) for chunk in parts]
    special = len(reader.before) + len(reader.after)
    tokens = [len(chunk) + special for _, chunk in where]
    order = sorted(range(len(where)), key=lambda m: tokens[m])
    rows: list[int] = []
    logits, certainties, states = [], [], []
    while len(rows) < len(order):
        batch = order[len(rows) : len(rows) + max(1, batch_tokens // tokens[order[len(rows)]])]
        rows += batch
        here = [documents[where[m][0]] for m in batch]
        chunks = [documents[k].read(chunk) for k, chunk in (where[m] for m in batch)]
        ids = [
            chunk if is_pair(document) else reader.dress(chunk)
            for document, chunk in zip(here, chunks, strict=True)
        ]
        types = types_of(here, ids, reader.config)
        kinds = {}
        if types is not None:
            kinds["token_type_ids"] = pad_sequence(types, batch_first=True).to(device)
        lengths_B = torch.tensor([len(row) for row in ids])
        mask_BT = torch.arange(int(lengths_B.max())) < lengths_B[:, None]
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            outputs = reader.encoder(
                input_ids=pad_sequence(ids, batch_first=True).to(device),
                attention_mask=mask_BT.long().to(device),
                **kinds,
            )
        logits.append(outputs.exit_logits.float().cpu())
        certainties.append(outputs.certainties.float().cpu())
        states.append(outputs.exit_states.to("cpu", state_dtype))
    back = torch.tensor(rows).argsort()
    return ChunkEvidence(
        counts_N=torch.tensor([len(parts) for parts in cuts]),
        stops_M=torch.tensor([chunk.stop for _, chunk in where]),
        tokens_M=torch.tensor(tokens),
        logits_MEK=torch.cat(logits)[back],
        certainties_ME=torch.cat(certainties)[back],
        states_MED=torch.cat(states)[back],
    )


@torch.inference_mode()
def skim_chunks(
    skim: BagOfTokens, texts: Sequence[Tensor], chunks: Sequence[Sequence[range]]
) -> list[tuple[Tensor, Tensor]]:
    """What skimming says of each text, logits `[K]`, and what each chunk adds to them, `[C, K]`."""
    said = []
    for text, parts in zip(texts, chunks, strict=True):
        logits_1K, scores = skim(Packed.of([text.to(skim.bias.device)]))
        said.append((logits_1K[0].cpu(), chunk_sums(scores, [parts])[0].cpu()))
    return said


def first_certain(certainties_BCE: Tensor, thresholds: Sequence[float] | None) -> Tensor:
    """The exit that answers for each chunk under depth thresholds: int64 `[B, C]`.

    Args:
        certainties_BCE: of each exit but the last.
        thresholds: one for each of these; None: the last exit always answers.
    """
    if thresholds is None:
        return torch.full(certainties_BCE.shape[:-1], certainties_BCE.shape[-1])
    reached_BCE = certainties_BCE >= certainties_BCE.new_tensor(list(thresholds))
    last_BC1 = reached_BCE.new_ones(*reached_BCE.shape[:-1], 1)
    return torch.cat([reached_BCE, last_BC1], -1).int().argmax(-1)
