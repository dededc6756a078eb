"""A reader of long documents from files: its encoder, its skim and pooling, then its budget."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import BertForSequenceClassification

from temporal.models import ChunkReader, EarlyExit
from temporal.pipelines import pipeline

from .conftest import BAD, FILLERS, GOOD

QUICK = ("--report_to", "none", "--save_strategy", "no", "--disable_tqdm", "true")
OPTIONS = {"skim_buckets": 64, "order": "skim", "chunk_size": 10, "hidden_size": 8}


@pytest.fixture(scope="module")
def long_reviews(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """`long_reviews(start, stop)`: a CSV file; one telling word among up to forty others."""
    folder = tmp_path_factory.mktemp("long")

    def write(start: int, stop: int) -> Path:
        path = folder / f"{start}-{stop}.csv"
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for seed in range(start, stop):
                random = np.random.default_rng(seed)
                label = seed % 2
                words = random.choice(FILLERS, int(random.integers(2, 40))).tolist()
                place = int(random.integers(len(words) + 1))
                words.insert(place, str(random.choice((BAD, GOOD)[label])))
                writer.writerow([" ".join(words), label])
        return path

    return write


def test_a_chunk_reader_from_files_to_a_budget(
    tmp_path: Path,
    run_script: Callable[..., dict[str, Any]],
    encoder_path: Path,
    long_reviews: Callable[[int, int], Path],
) -> None:
    files = ("--train_file", long_reviews(0, 320), "--validation_file", long_reviews(1000, 1060))
    run_script(
        "finetune_text",
        *(*files, *QUICK, "--encoder", encoder_path, "--output_dir", tmp_path / "encoder"),
        *("--num_train_epochs", 5, "--learning_rate", 2e-3, "--per_device_train_batch_size", 16),
        *("--crop_size", 10),
    )
    train = (
        *("finetune_text", "--model", "chunk_reader", *files, *QUICK),
        *("--encoder", tmp_path / "encoder", "--output_dir", tmp_path / "reader"),
        *("--reader_options", json.dumps(OPTIONS), "--learning_rate", 1e-2),
        *("--num_train_epochs", 8, "--per_device_train_batch_size", 16),
    )
    result = run_script(*train)
    assert result["eval_accuracy"] >= 0.95
    # The encoder is as it was, and what it said of the chunks is kept for the next training.
    before = load_file(tmp_path / "encoder" / "model.safetensors")
    after = load_file(tmp_path / "reader" / "model.safetensors")
    assert all(after[f"encoder.{name}"].equal(value) for name, value in before.items())
    kept = sorted((tmp_path / "reader" / "chunk_evidence").iterdir())
    times = [file.stat().st_mtime_ns for file in kept]
    assert len(kept) == 2 and run_script(*train)["eval_accuracy"] == result["eval_accuracy"]
    assert [file.stat().st_mtime_ns for file in kept] == times

    held_out = long_reviews(2000, 2120)
    command = ("calibrate", "--model", tmp_path / "reader", "--data_file", held_out)
    chosen = run_script(*command, "--budget", 0.6, "--num_levels", 4, "--choose_share", 0.5)
    assert chosen["chosen"]["cost_share"] <= 0.6 and chosen["full"]["cost_share"] == 1
    assert chosen["full"]["num_calibration"] == 60
    reader = ChunkReader.from_pretrained(tmp_path / "reader")
    policy = chosen["chosen"]["policy"]
    assert reader.config.thresholds == policy["thresholds"] and len(policy["thresholds"]) == 2
    assert reader.config.depth_thresholds == policy["depth_thresholds"]

    texts = [line.rsplit(",", 1)[0] for line in held_out.read_text().splitlines()[1:]]
    pipe = pipeline("text-classification", str(tmp_path / "reader"), batch_size=8)
    readings = list(pipe.read(texts))
    spent = sum(reading.trace.cost.macs for reading in readings if reading.trace)
    everything = pipeline("text-classification", str(tmp_path / "reader"), budget=1.0, batch_size=8)
    full = sum(reading.trace.cost.macs for reading in everything.read(texts) if reading.trace)
    (long,) = everything.read([" ".join(["w1"] * 3000)])  # fifty times the positions
    assert long.trace and long.trace.units_read == 3000 and not long.trace.truncated
    assert spent / full == pytest.approx(chosen["chosen"]["cost_share"], abs=0.05)

    timed = run_script("benchmark_text", *command[1:], "--batch_size", 8, "--rounds", 1)
    scores = timed["runs"][0]["results"]
    assert {"adaptive", "transformers", "transformers_one_by_one", "skim_alone"} <= scores.keys()
    labels = [reading.predictions[0]["label"] for reading in readings]
    right = [label == ("negative", "positive")[k % 2] for k, label in enumerate(labels)]
    assert scores["adaptive"]["accuracy"] == sum(right) / len(right)
    # The classifier inside sees the same first tokens, in batches or one by one.
    assert scores["transformers"]["accuracy"] == scores["transformers_one_by_one"]["accuracy"]


def test_only_an_encoder_with_exits_and_a_pooling_that_learns_are_trained(
    tmp_path: Path, run_script: Callable[..., Any], script: Callable[[str], Any], encoder_path: Path
) -> None:
    build = script("temporal.pipelines.training.chunks").build_chunk_reader
    with pytest.raises(ValueError, match="must be a folder that --model early_exit saved"):
        build(str(encoder_path), None, {}, 2)
    encoder = BertForSequenceClassification.from_pretrained(encoder_path)
    EarlyExit.from_classifier(encoder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"answers with 2 labels, and the texts have 3"):
        build(str(tmp_path), None, {}, 3)
    with pytest.raises(ValueError, match="is trained from its encoder"):
        script("temporal.pipelines.training.text_arguments").ModelArguments(
            model="chunk_reader", model_name_or_path="x"
        )
