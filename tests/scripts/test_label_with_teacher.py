"""Labels from a teacher: what they are made of, and training on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer, BertForSequenceClassification

from temporal.models import EarlyExit, SkimRNN, SkimRNNConfig

Script = Callable[[str], Any]
Run = Callable[..., dict[str, Any]]
Reviews = Callable[[int, int], Path]


@pytest.fixture
def teacher(tmp_path: Path, encoder_path: Path) -> Path:
    folder = tmp_path / "teacher"
    classifier = BertForSequenceClassification.from_pretrained(encoder_path)
    EarlyExit.from_classifier(classifier).save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder_path).save_pretrained(folder)
    return folder


def test_chunks_are_equal_and_cover_the_text(script: Script) -> None:
    chunk_bounds = script("label_with_teacher").chunk_bounds
    assert chunk_bounds(5, 5) == [(0, 5)]
    assert chunk_bounds(7, 5) == [(0, 3), (3, 7)]
    assert chunk_bounds(0, 5) == [(0, 0)]


def test_labels_mix_the_text_s_own_with_the_teacher_s(
    tmp_path: Path, run_script: Run, teacher: Path, reviews: Reviews
) -> None:
    out = tmp_path / "soft"
    data = ("--data_file", reviews(0, 40), "--validation_share", 0.25)
    options = ("--hard_share", 0.3, "--chunk_size", 4, "--output_dir", out)
    result = run_script("label_with_teacher", "--teacher", teacher, *data, *options)
    assert (result["texts"], result["held_out"]) == (30, 10)

    rows = Dataset.from_parquet(str(out / "train.parquet"))
    held_out = Dataset.from_parquet(str(out / "validation.parquet"))
    assert len(rows) == 30 + result["chunks"]
    assert not set(rows["text"]) & set(held_out["text"])
    lines = [line.rsplit(",", 1) for line in reviews(0, 40).read_text().splitlines()[1:]]
    own = {text: int(label) for text, label in lines}
    assert set(held_out["label"]) == {0, 1}

    # One by one and in float32; the script's batches are in bfloat16.
    tokenizer, model = AutoTokenizer.from_pretrained(teacher), EarlyExit.from_pretrained(teacher)
    right = 0
    for k, row in enumerate(rows):
        inputs = tokenizer(row["text"], return_tensors="pt")
        with torch.no_grad():
            probabilities = model.eval()(inputs["input_ids"]).logits.softmax(-1)[0]
        expected = probabilities
        if k < 30:
            expected = 0.7 * probabilities + 0.3 * torch.eye(2)[own[row["text"]]]
            right += int(probabilities.argmax()) == own[row["text"]]
        torch.testing.assert_close(torch.tensor(row["label"]), expected, atol=0.01, rtol=0)
    assert result["teacher_right"] == pytest.approx(right / 30, abs=0.07)
    words = " ".join(rows["text"][30:]).split()
    assert sorted(words) == sorted(" ".join(rows["text"][:30]).split())


def test_a_recurrent_teacher_reads_no_special_tokens_and_names_its_own_classes(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    """The texts call the teacher's second class first, so its columns change places."""
    tokenizer = AutoTokenizer.from_pretrained(encoder_path)
    names = {0: "pos", 1: "neg"}
    torch.manual_seed(0)
    config = SkimRNNConfig(
        vocab_size=len(tokenizer),
        embedding_size=8,
        hidden_size=8,
        skim_size=2,
        id2label=names,
        label2id={label: k for k, label in names.items()},
    )
    model = SkimRNN(config).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    folder = tmp_path / "teacher"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    data = tmp_path / "named.csv"
    data.write_text(reviews(0, 20).read_text().replace(",0\n", ",neg\n").replace(",1\n", ",pos\n"))
    command = ("label_with_teacher", "--teacher", folder, "--output_dir", tmp_path / "soft")
    run_script(*command, "--data_file", data, "--hard_share", 0)
    for row in Dataset.from_parquet(str(tmp_path / "soft" / "train.parquet")):
        ids = tokenizer(row["text"], add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = model(ids).logits.softmax(-1)[0].flip(0)  # sorted: neg, pos
        torch.testing.assert_close(torch.tensor(row["label"]), expected, atol=0.01, rtol=0)
    with pytest.raises(ValueError, match=r"--hard_share \(1.5\) must be between 0"):
        run_script(*command, "--data_file", data, "--hard_share", 1.5)
    other = tmp_path / "other.csv"
    other.write_text("text,label\nw1 w2,sad\nw3 w4,pos\nw5,7\n")
    with pytest.raises(ValueError, match=r"labels \['7', 'sad'\] must be among the reader's"):
        run_script(*command, "--data_file", other)


def test_what_is_held_out_of_one_block_is_not_taught_in_another(
    tmp_path: Path, run_script: Run, teacher: Path
) -> None:
    lines = [f"w{k // 2},{k % 2},{100 * (k // 2 + 50 * (k % 2))}" for k in range(40)]
    data, out = tmp_path / "blocks.csv", tmp_path / "soft"
    data.write_text("\n".join(["text,label,number", *lines]) + "\n")
    command = ("label_with_teacher", "--teacher", teacher, "--output_dir", out)
    options = ("--block_column", "number", "--validation_share", 0.25)
    result = run_script(*command, "--data_file", data, *options)
    taught = Dataset.from_parquet(str(out / "train.parquet"))["text"]
    held_out = Dataset.from_parquet(str(out / "validation.parquet"))["text"]
    assert len(held_out) == result["held_out"] == 10 and not set(taught) & set(held_out)
    assert len(taught) == 40 - 2 * len(set(held_out))


def test_a_class_number_is_one_of_the_reader_s(script: Script) -> None:
    class_numbers = script("temporal.pipelines.held_out.rows").class_numbers
    assert class_numbers(["b", 0], {"a": 0, "b": 1}) == [1, 0]
    with pytest.raises(ValueError, match=r"labels \['2'\] must be among"):
        class_numbers([2], {"a": 0, "b": 1})


def test_a_folder_without_a_reader_is_no_teacher(
    tmp_path: Path, script: Script, encoder_path: Path
) -> None:
    load = script("label_with_teacher").load_teacher
    with pytest.raises(ValueError, match=r"--teacher \(.*\) has no config.json, and must be"):
        load(str(tmp_path))
    with pytest.raises(ValueError, match=r"has model_type 'bert', and must be a folder"):
        load(str(encoder_path))


def test_a_reader_learns_from_probabilities_beside_class_numbers(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    """What the probabilities say is the reverse of the truth, so they and nothing else taught it.

    The extra texts have class numbers, of other words.
    """
    lines = [line.rsplit(",", 1) for line in reviews(0, 320).read_text().splitlines()[1:]]
    soft = [[0.1, 0.9] if label == "0" else [0.9, 0.1] for _, label in lines]
    train = tmp_path / "soft.parquet"
    Dataset.from_dict({"text": [text for text, _ in lines], "label": soft}).to_parquet(train)
    extra = tmp_path / "extra.csv"
    extra.write_text("text,label\n" + "w1 w2 w3,1\nw4 w5,0\n" * 4)
    command = ("finetune_text", "--model", "skim_rnn", "--encoder", encoder_path)
    command += ("--train_file", train, "--output_dir", tmp_path / "reader", "--report_to", "none")
    with pytest.raises(ValueError, match="give texts with class names as --validation_file"):
        run_script(*command)
    options = {"hidden_size": 16, "skim_size": 2, "pooling": "max", "read_threshold": 0}
    result = run_script(
        *(*command, "--validation_file", reviews(1000, 1060), "--extra_train_files", extra),
        *("--reader_options", json.dumps(options), "--disable_tqdm", "true"),
        *("--learning_rate", 2e-2, "--per_device_train_batch_size", 32, "--num_train_epochs", 3),
        *("--save_strategy", "no"),
    )
    assert result["eval_accuracy"] <= 0.1
