"""Train what a ChunkReader adds to an encoder that is trained already: its skim and its pooling.

For finetune_text.py. The encoder is frozen, so all its exits are asked about all chunks once, and
the answers are kept in the output folder: a second training with the same encoder and the same cuts
starts from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, Trainer, TrainingArguments

from ...data import Document
from ...models import ChunkReader, EarlyExit
from ...training.chunk_evidence import ChunkedTexts, ChunkEvidence, ask_exits, skim_chunks
from ...training.skim import cross_fitted, fit_skim
from ..loading.load import special_tokens


def build_chunk_reader(
    encoder: str, tokenizer: Any, options: dict[str, Any], num_labels: int
) -> ChunkReader:
    """A reader with an untrained pooling around a saved `EarlyExit`.

    Args:
        encoder: its folder.
        tokenizer: its tokenizer.
        options: fields of `ChunkReaderConfig`.
        num_labels: classes of the texts, 1 for a regression.

    Raises:
        ValueError: the encoder has no exits or other labels, or the pooling has nothing to learn.
    """
    model_type = AutoConfig.from_pretrained(encoder).model_type
    if model_type != "early_exit":
        raise ValueError(
            f"--encoder ({encoder}) must be a folder that --model early_exit saved, and its "
            f"model_type is {model_type!r}"
        )
    options = {"pooling": "recurrent", **options}
    if options["pooling"] == "mean":
        raise ValueError(
            'pooling ("mean") learns nothing: put an encoder into ChunkReader.from_classifier and '
            "save it, no training is needed"
        )
    trained = EarlyExit.from_pretrained(encoder, use_safetensors=True)
    if trained.config.num_labels != num_labels:
        raise ValueError(
            f"--encoder ({encoder}) answers with {trained.config.num_labels} labels, and the texts "
            f"have {num_labels} (1 with --regression): they must be the same; name an encoder that "
            "was trained on texts of these labels"
        )
    return ChunkReader.from_classifier(trained, special_tokens(tokenizer), **options)


def chunk_trainer(
    reader: ChunkReader,
    tokenizer: Any,
    train: tuple[Sequence[str], Tensor],
    validation: tuple[Sequence[str], Tensor],
    args: TrainingArguments,
    **options: Any,
) -> Trainer:
    """Fit the skim, ask the encoder, and set up the training of the pooling.

    Args:
        reader: its encoder and skim are frozen.
        tokenizer: the encoder's.
        train, validation: texts, and their class numbers (or numbers, in regression).
        args: of the training.
        **options: of `Trainer`.
    """
    reader.eval().encoder.to(args.device)
    # One process computes, and the others read what it kept.
    with args.main_process_first(desc="exits of all chunks"):
        documents, evidence = zip(
            *(_evidence(reader, tokenizer, texts, args) for texts, _ in (train, validation)),
            strict=True,
        )
    of_train, of_validation = evidence
    if reader.skim is not None:
        texts = [document.ids for document in documents[0]]
        said = cross_fitted(reader.skim, texts, train[1], of_train.chunks(), seed=args.seed)
        fit_skim(reader.skim, texts, train[1], seed=args.seed)
        of_train = of_train.with_skim(said)
        of_validation = of_validation.with_skim(
            skim_chunks(
                reader.skim, [document.ids for document in documents[1]], of_validation.chunks()
            )
        )
    reader.encoder.requires_grad_(False)
    return Trainer(
        model=reader,
        args=args,
        train_dataset=ChunkedTexts(of_train, train[1], draws=True),
        eval_dataset=ChunkedTexts(of_validation, validation[1], draws=False),
        data_collator=dict,  # batches come collated
        **options,
    )


def _evidence(
    reader: ChunkReader, tokenizer: Any, texts: Sequence[str], args: TrainingArguments
) -> tuple[list[Any], ChunkEvidence]:
    documents: list[Any] = Document.batch(texts, tokenizer)
    for document in documents:
        if not isinstance(document, Document):
            raise document
    folder = Path(str(args.output_dir), "chunk_evidence")
    file = folder / f"{_digest(reader, documents)}.safetensors"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        evidence = ask_exits(
            reader,
            documents,
            autocast=torch.bfloat16 if args.bf16 else None,
            state_dtype=torch.float16,
        )
        evidence.save(file)
    return documents, ChunkEvidence.load(file)


def _digest(reader: ChunkReader, documents: Sequence[Any]) -> str:
    """A name for what the exits say: it changes with the encoder, the cuts and the texts."""
    digest = hashlib.sha256()
    config = reader.config
    settings = [config.encoder, config.special_tokens, config.split, reader.chunk_tokens]
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for tensor in reader.encoder.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    for document in documents:
        digest.update(document.ids.numpy().data)
    return digest.hexdigest()[:16]
