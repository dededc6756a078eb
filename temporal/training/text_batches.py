"""Batches of tokenized texts for finetune_text.py, and how they are varied in training."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers import Trainer

from .block_shuffle import own_order


def crop(ids: list[int], size: int, num_special: int) -> list[int]:
    """A random chunk of `size` tokens, between the special tokens that begin and end the text.

    [CLS] a b c d e f [SEP], size 5   ->   [CLS] c d e [SEP]
    """
    if len(ids) <= size:
        return ids
    body = size - num_special
    first = num_special // 2
    start = int(torch.randint(first, len(ids) - num_special + first - body + 1, ()))
    return [*ids[:first], *ids[start : start + body], *ids[len(ids) - num_special + first :]]


def collate(
    rows: list[dict],
    tokenizer: Any,
    *,
    max_length: int,
    unknown_share: float = 0.0,
    crop_size: int | None = None,
    crop_share: float = 0.0,
    num_special: int = 0,
) -> dict[str, torch.Tensor]:
    """Pad a batch, each text cut to `max_length`; or in training a random chunk of each.

    A share of the tokens is replaced by [UNK] (word dropout). A batch has labels if all of its
    rows have one.
    """
    ids = [row["input_ids"] for row in rows]
    if crop_size and torch.rand(()) < crop_share:
        ids = [crop(row, crop_size, num_special) for row in ids]
    else:
        closing = num_special - num_special // 2
        ids = [
            row
            if len(row) <= max_length
            else [*row[: max_length - closing], *row[len(row) - closing :]]
            for row in ids
        ]
    batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    if unknown_share:
        drop = torch.rand(batch["input_ids"].shape) < unknown_share
        batch["input_ids"] = batch["input_ids"].masked_fill(
            drop & batch["attention_mask"].bool(), tokenizer.unk_token_id
        )
    labels = [row["labels"] for row in rows]
    if None not in labels:
        batch["labels"] = torch.tensor(labels)
    return dict(batch)


class TextTrainer(Trainer):
    """A Trainer whose training batches drop words and whose evaluation batches do not.

    Args:
        augment: options of `collate` for training batches.
        pruning_learning_rate: of the reader's `pruner`; None: as of everything.
        *args, **kwargs: of `Trainer`.
    """

    def __init__(
        self,
        *args: Any,
        augment: dict[str, Any],
        pruning_learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.augment = augment
        self.pruning_learning_rate = pruning_learning_rate

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer, with a learning rate of its own for what the pruning learns by."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self.pruning_learning_rate is not None:
            pruner: Any = getattr(self.model, "pruner")  # noqa: B009  # of some readers
            own = [p for p in pruner.parameters() if p.requires_grad]
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if all(p is not q for q in own)]
            rate = {"lr": self.pruning_learning_rate, "weight_decay": 0.0}
            optimizer.add_param_group({"params": own, **rate})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        order = own_order(self, train_dataset)
        return super()._get_train_sampler(train_dataset) if order is None else order

    def get_train_dataloader(self) -> Any:
        """Batches as the training changes them: chunks, unknown words."""
        whole = self.data_collator
        self.data_collator = partial(whole, **self.augment)
        loader = super().get_train_dataloader()
        self.data_collator = whole
        return loader
