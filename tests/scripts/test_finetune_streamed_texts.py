"""Texts of a stream: trained on as those in memory are, and only a buffer of them is held."""

from __future__ import annotations

import csv
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file

from temporal.pipelines.training import text_streams
from temporal.pipelines.training.text_streams import StreamedTexts
from temporal.training.block_shuffle import BlockShuffle

Run = Callable[..., dict[str, Any]]
Reviews = Callable[[int, int], Path]
QUICK = (*("--report_to", "none", "--disable_tqdm", "true", "--per_device_train_batch_size", 8),)


def test_blocks_are_shuffled_within_and_texts_of_like_length_share_a_batch() -> None:
    lengths = [5, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    blocks = [(0,)] * 6 + [(1,)] * 5
    order = BlockShuffle(blocks, 3, lengths=lengths.__getitem__, batch_size=2)
    first = list(order)
    assert sorted(first[:6]) == [0, 1, 2, 3, 4, 5] and sorted(first[6:]) == [6, 7, 8, 9, 10]
    batches = [sorted(lengths[k] for k in first[i : i + 2]) for i in (0, 2, 4)]
    assert sorted(batches) == [[1, 1], [4, 5], [5, 9]]
    assert lengths[first[-1]] == 6  # the batch that is not full comes last
    assert first == list(BlockShuffle(blocks, 3, lengths=lengths.__getitem__, batch_size=2))
    order.set_epoch(1)
    assert list(order) != first and sorted(order) == list(range(11))


def other_form(kind: str, table: Path, folder: Path) -> tuple[object, ...]:
    """The same rows in another source."""
    if kind == "csv":
        return ("--train_file", table)
    if kind == "parquet":
        rows = pyarrow.csv.read_csv(table)
        pyarrow.parquet.write_table(rows, folder / "texts.parquet", row_group_size=16)
        return ("--train_file", folder / "texts.parquet")
    with open(table, newline="") as file:
        rows = [{**row, "label": int(row["label"])} for row in csv.DictReader(file)]
    for split, part in (("train", rows), ("validation", rows[:8])):
        made = datasets.Dataset.from_list(part)
        made = made.cast_column("label", datasets.ClassLabel(names=["0", "1"]))
        made.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return ("--dataset_name", folder)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(k, marks=pytest.mark.slow) for k in ("csv", "parquet")), "hub"]
)
def test_a_stream_trains_what_the_same_order_in_memory_does(
    kind: str,
    tmp_path: Path,
    run_script: Run,
    encoder_path: Path,
    reviews: Reviews,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dev = reviews(1000, 1016)
    common = ("--encoder", encoder_path, "--validation_file", dev, *QUICK, "--save_strategy", "no")
    source = tmp_path / "source"
    source.mkdir()
    orders: list[BlockShuffle] = []
    sampler = StreamedTexts.train_sampler

    def noted(rows: StreamedTexts, *args: Any) -> BlockShuffle:
        orders.append(sampler(rows, *args))
        return orders[-1]

    monkeypatch.setattr(StreamedTexts, "train_sampler", noted)
    given = (*other_form(kind, reviews(0, 40), source), "--streaming", "--shuffle_buffer_size", 16)
    out = tmp_path / "streamed"
    options = ("--num_train_epochs", 2, "--output_dir")
    streamed = run_script("finetune_text", *given, *common, *options, out)

    def in_that_order(self: Any, rows: Any = None) -> BlockShuffle:
        order = orders[-1]
        order.lengths = lambda k: int(self.train_dataset[k]["length"])
        return order

    with monkeypatch.context() as patch:
        patch.setattr(
            "temporal.training.text_batches.TextTrainer._get_train_sampler", in_that_order
        )
        given = ("--train_file", reviews(0, 40))
        whole = run_script("finetune_text", *given, *common, *options, tmp_path / "whole")
    assert streamed["eval_loss"] == whole["eval_loss"]
    ours, theirs = (load_file(p / "model.safetensors") for p in (out, tmp_path / "whole"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    seen = [(p / "rows_seen.json").read_text() for p in (out, tmp_path / "whole")]
    assert seen[0].count("rows") == seen[1].count("rows") > 0


def test_only_a_buffer_of_encoded_texts_is_held(reviews: Reviews) -> None:
    rows = StreamedTexts(text_streams.TextStream(data=reviews(0, 600)), hold=32)
    alive: weakref.WeakSet[Row] = weakref.WeakSet()

    class Row(list):  # type: ignore[type-arg]
        """A list of tokens that may be watched."""

        __hash__ = object.__hash__

    def encode(batch: dict[str, list]) -> dict[str, list]:
        ids = [Row(text.split()) for text in batch["text"]]
        alive.update(ids)
        return {"input_ids": ids, "length": list(map(len, ids)), "labels": batch["label"]}

    rows.encoded(encode)
    most, seen = 0, []
    for k in rows.train_sampler(0, 8):
        seen.append(k)
        assert rows[k]["labels"] == str(k % 2)
        gc.collect(0)
        most = max(most, len(alive))
    assert sorted(seen) == list(range(600)) and len(rows) == 600
    assert most <= 32 + 2 * 256 + 1  # the buffer, and what a tokenizer is given at once


def test_a_resumed_stream_goes_on_to_the_same_end(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    common = (
        *("--train_file", reviews(0, 48), "--validation_file", reviews(1000, 1010)),
        *("--streaming", "--shuffle_buffer_size", 16, "--encoder", encoder_path, *QUICK),
        *("--num_train_epochs", 2, "--save_strategy", "steps", "--save_steps", 4),
        *("--output_dir", tmp_path),
    )
    whole = run_script("finetune_text", *common)
    end = load_file(tmp_path / "model.safetensors")
    for step in (4, 8):  # within an epoch, and in the next
        again = run_script(
            "finetune_text", *common, "--resume_from_checkpoint", tmp_path / f"checkpoint-{step}"
        )
        assert again["eval_loss"] == whole["eval_loss"]
        torch.testing.assert_close(load_file(tmp_path / "model.safetensors"), end, rtol=0, atol=0)


def test_what_a_stream_cannot_do_is_said(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    base = ("--encoder", encoder_path, "--output_dir", tmp_path, "--streaming")
    file = ("--train_file", reviews(0, 8))
    for given, told in (
        ((*file,), "give --validation_file"),
        ((*file, "--calibration_share", 0.1), "--calibration_share .* goes through all rows"),
        (("--dataset_name", "x", *file), "give one of --train_file and --dataset_name"),
        ((*file, "--model", "chunk_reader"), "trained on evidence of all texts"),
    ):
        with pytest.raises(ValueError, match=told):
            run_script("finetune_text", *base, *given)
    table = tmp_path / "bad.csv"
    table.write_text("text,label\ngood,1\n,0\n")
    with pytest.raises(ValueError, match=r"bad.csv, row 2 .*'text' must not be empty"):
        run_script("finetune_text", *base, "--train_file", table, "--validation_file", *file[1:])
