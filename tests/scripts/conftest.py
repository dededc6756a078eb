"""Run the scripts as a user does, and the made-up data that they can learn from in seconds."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from temporal.models import READERS

SCRIPTS = Path(__file__).parents[2] / "scripts"
FILLERS = [f"w{k}" for k in range(20)]
GOOD, BAD = ["good", "fine", "lovely"], ["bad", "dull", "awful"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """`script("calibrate")`: the module, found as it is when it is run."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.syspath_prepend(str(SCRIPTS / "benchmarks"))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


@pytest.fixture
def run_script(
    script: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., dict[str, Any]]:
    """`run_script("calibrate", "--model", path)`: the JSON of the last line that it printed."""

    def run(name: str, *arguments: object) -> dict[str, Any]:
        module = script(name)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        capsys.readouterr()
        module.main()
        lines = capsys.readouterr().out.strip().splitlines()
        start = max(k for k, line in enumerate(lines) if line.startswith("{"))
        return json.loads("\n".join(lines[start:]))

    return run


@pytest.fixture(scope="session")
def encoder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained two-layer BERT over the words of `reviews`, with its tokenizer."""
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLERS, *GOOD, *BAD]
    vocabulary = {word: k for k, word in enumerate(words)}
    raw = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = WhitespaceSplit()
    raw.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=64, **names)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=104,  # a SkimRNN takes its 100 embedding columns from these
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    folder = tmp_path_factory.mktemp("encoder")
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def review(seed: int) -> tuple[str, int]:
    """A text whose label is that of its only word that is no filler."""
    random = np.random.default_rng(seed)
    label = seed % 2
    words = random.choice(FILLERS, int(random.integers(4, 12))).tolist()
    words.insert(int(random.integers(len(words) + 1)), str(random.choice((BAD, GOOD)[label])))
    return " ".join(words), label


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """`reviews(start, stop)`: a CSV file of the reviews with these numbers."""
    folder = tmp_path_factory.mktemp("reviews")

    def write(start: int, stop: int) -> Path:
        path = folder / f"{start}-{stop}.csv"
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(review(seed) for seed in range(start, stop))
        return path

    return write


OPTIONS = {
    "skim_rnn": {"skim_size": 2},
    "jumper": {"tokens_between_decisions": 2},
}


@pytest.fixture
def saved_reader(tmp_path: Path, encoder_path: Path) -> Callable[[str], Any]:
    """`saved_reader("skim_rnn")`: an untrained recurrent reader, in `tmp_path`."""

    def save(name: str) -> Any:
        tokenizer = AutoTokenizer.from_pretrained(encoder_path)
        torch.manual_seed(0)
        reader_class = READERS[name]
        names = {0: "negative", 1: "positive"}
        reader = reader_class(
            reader_class.config_class(
                vocab_size=len(tokenizer),
                embedding_size=8,
                hidden_size=8,
                **OPTIONS.get(name, {}),
                id2label=names,
                label2id={label: k for k, label in names.items()},
            )
        )
        with torch.no_grad():
            for parameter in reader.parameters():
                parameter.add_(torch.randn_like(parameter))
        reader.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return reader

    return save
