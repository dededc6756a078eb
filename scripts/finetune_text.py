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
refused (temporal.pipelines.training.flags). What was trained on is saved with the reader. Prints
one JSON line with the accuracy of every exit on the validation file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import List
from transformers import AutoTokenizer, HfArgumentParser, TrainingArguments, set_seed

from temporal.data.labelled.digests import digest_text
from temporal.models import READERS
from temporal.pipelines.training.chunks import build_chunk_reader, chunk_trainer
from temporal.pipelines.training.flags import (
    IGNORED_FOR_TEXTS,
    check_flags,
    check_processes,
    given_options,
)
from temporal.pipelines.training.text_arguments import ModelArguments, check_together, json_options
from temporal.pipelines.training.text_data import DataArguments, load_data, rows_shown
from temporal.pipelines.training.text_models import encoder_path, shown_before
from temporal.pipelines.training.text_streams import load_streamed
from temporal.pipelines.training.texts import leave_together, text_trainer
from temporal.training.exit_scores import exit_scores


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
    in_batches_of_texts = READERS[model_args.model].trains_on_units
    if in_batches_of_texts and args.train_sampling_strategy != "group_by_length":
        ignored["train_sampling_strategy"] = "texts of like length share a batch; leave it out"
    check_flags(args, given, ignored)
    check_processes(args)
    check_together(model_args, data_args)
    set_seed(args.seed)
    train: Any
    if data_args.streaming:
        train, validation = load_streamed(data_args)
        labels = train.labels
    else:
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
        if data_args.regression:
            return float(label)
        return ids[str(label) if data_args.streaming else label]

    args.remove_unused_columns = False
    args.dataloader_pin_memory &= torch.cuda.is_available()
    trainer: Any
    if not in_batches_of_texts:
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
