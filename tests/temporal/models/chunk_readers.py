"""Small random ChunkReaders, and what all their exits say of documents."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from temporal.models import ChunkReader, EarlyExit
from temporal.training.chunk_evidence import ChunkEvidence, ask_exits, skim_chunks

SIZES = {
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
}
CLS, SEP = 1, 2
LENGTHS = (35, 3, 10, 11, 62, 1)
CHUNKS = (4, 1, 1, 2, 7, 1)  # of 10 tokens, beside [CLS] and [SEP]


@torch.no_grad()
def shaken(module: Any, scale: float = 0.3) -> Any:
    """With weights that make answers differ."""
    for parameter in module.parameters():
        parameter.add_(scale * torch.randn_like(parameter))
    return module.eval()


def classifier(**sizes: Any) -> Any:
    """A random BERT of three classes and twelve positions."""
    return shaken(BertForSequenceClassification(BertConfig(num_labels=3, **{**SIZES, **sizes})))


def plain(**config: Any) -> ChunkReader:
    """Training-free, around any classifier."""
    return ChunkReader.from_classifier(classifier(), ([CLS], [SEP]), **config).eval()


def make(*, positions: int = 12, **config: Any) -> ChunkReader:
    """Around an EarlyExit, with a pooling and a skim whose weights are random."""
    torch.manual_seed(0)
    early_exit = EarlyExit.from_classifier(classifier(max_position_embeddings=positions))
    shaken(early_exit.exits)
    reader = ChunkReader.from_classifier(early_exit, ([CLS], [SEP]), **config)
    shaken(reader.pooling)
    if reader.skim is not None:
        shaken(reader.skim)
    return reader.eval()


def evidence_of(reader: ChunkReader, documents: list[Any]) -> ChunkEvidence:
    """What all exits say of all chunks, and the skim if there is one."""
    evidence = ask_exits(reader, documents, batch_tokens=40)
    if reader.skim is None:
        return evidence
    ids = [document.read(range(len(document))) for document in documents]
    return evidence.with_skim(skim_chunks(reader.skim, ids, evidence.chunks()))


@torch.no_grad()
def dense(reader: ChunkReader, documents: list[Any], **options: Any) -> Any:
    """The dense reference: `forward` on everything."""
    return reader(**evidence_of(reader, documents).batch(range(len(documents))), **options)
