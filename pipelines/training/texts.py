"""The training of a reader on texts, and how its processes part."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import TrainingArguments

from ...models import READERS
from ...training.exit_scores import exit_scores
from ...training.steps import TrainingStep
from ...training.text_batches import TextTrainer, collate
from .text_arguments import ModelArguments
from .text_data import DataArguments
from .text_models import build_model
from .text_streams import StreamedTexts


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
    special = READERS[model_args.model].reads_special_tokens  # an LSTM needs no [CLS]
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
        part.encoded(encode)
        if isinstance(part, StreamedTexts)
        else part.map(encode, batched=True, remove_columns=part.column_names)
        for part in rows
    )
    reader = build_model(model_args, names, tokenizer.pad_token_id)
    if model_args.pruning_learning_rate is not None and getattr(reader, "pruner", None) is None:
        raise ValueError(
            f"--pruning_learning_rate ({model_args.pruning_learning_rate}) needs a reader with "
            "something to prune by: give --pruning, too, or leave it out"
        )
    reader.learn_tokens(tokenizer)
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
