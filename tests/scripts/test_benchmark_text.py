"""Benchmarks of readers of any family: what they are measured against, and what is left out."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from temporal.models import READERS, ChunkReader, EarlyExit
from temporal.models.recurrent.readers import RecurrentReader
from temporal.pipelines import pipeline

RECURRENT = [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]


@pytest.mark.parametrize("name", RECURRENT)
def test_reading_everything_is_the_first_policy_of_the_family(
    name: str,
    tmp_path: Path,
    script: Callable[[str], Any],
    saved_reader: Callable[[str], Any],
    reviews: Callable[[int, int], Path],
) -> None:
    saved_reader(name)
    benchmark = script("benchmark_text")
    args = benchmark.BenchmarkArguments(model=str(tmp_path), data_file=str(reviews(0, 12)))
    bench = benchmark.Bench(args, 4)
    data = bench.data()
    pipe = pipeline("text-classification", str(tmp_path), batch_size=4)
    vars(pipe.model.config).update(bench.pipe.reader.policy_space().policies()[0])
    rows = list(pipe.read(data.texts))
    assert bench.dense_macs(data) == sum(row.trace.cost.macs for row in rows)
    if name != "hm_rnn":  # whose full reading is what was trained
        assert {row.trace.share_read for row in rows} == {1.0}
    labels = [row.predictions[0]["label"] for row in rows]
    before = bench.pipe.model.config.to_dict()
    assert bench.contestants(None, data)["reads_everything"](data.texts) == labels
    assert bench.pipe.model.config.to_dict() == before


def test_blank_texts_are_left_out_and_counted(
    tmp_path: Path,
    script: Callable[[str], Any],
    saved_reader: Callable[[str], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved_reader("skim_rnn")
    file = tmp_path / "blank.csv"
    with open(file, "w", newline="") as opened:
        csv.writer(opened).writerows(
            [("text", "label"), ("good", 1), ("", 1), (" ", 0), ("bad", 0)]
        )
    benchmark = script("benchmark_text")
    args = benchmark.BenchmarkArguments(model=str(tmp_path), data_file=str(file))
    data = benchmark.Bench(args, 4).data()
    assert (data.texts, data.labels) == (["good", "bad"], [1, 0])
    assert "left out 2 blank texts" in capsys.readouterr().err


def test_classes_that_share_a_name_are_told_apart(
    tmp_path: Path, script: Callable[[str], Any], saved_reader: Callable[[str], Any]
) -> None:
    saved_reader("skim_rnn")
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = dict.fromkeys(config["id2label"], "crane")
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"w{k} good,{k % 2}\n" for k in range(8))
    )
    benchmark = script("benchmark_text")
    args = benchmark.BenchmarkArguments(model=str(tmp_path), data_file=str(tmp_path / "a.csv"))
    bench = benchmark.Bench(args, 4)
    data = bench.data()
    best = [reading.classes[0] for reading in bench.pipe.read(data.texts)]
    assert bench.contestants(None, data)["adaptive"](data.texts) == [str(k) for k in best]
    assert bench.pipe.model.config.label2id == {"0": 0, "1": 1}
    (tmp_path / "a.csv").write_text("text,label\nw1,spam\nw2,ham\n")
    with pytest.raises(ValueError, match="labels .* must be among the reader's"):
        bench.data()


@pytest.mark.parametrize("layers", [2, 3])
def test_the_plain_network_beside_an_hmrnn_has_its_layers(
    layers: int, script: Callable[[str], Any]
) -> None:
    """Where the layers are told nothing from above and always from below, it is a stacked LSTM."""
    benchmark = script("benchmark_recurrent")
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "embedding_size": 6, "hidden_size": 5, "num_labels": 2}
    reader_class = READERS["hm_rnn"]
    reader = reader_class(reader_class.config_class(num_layers=layers, **sizes)).eval()
    plain = benchmark.Plain(reader).eval()
    stacked = torch.nn.LSTM(6, 5, num_layers=layers, batch_first=True)
    inputs = [reader.read_input, *reader.below]
    hidden = [reader.read_hidden, *reader.hidden]
    ids = torch.randint(1, 20, (3, 7))
    with torch.no_grad():
        for k, (below, own) in enumerate(zip(inputs, hidden, strict=True)):
            getattr(stacked, f"weight_ih_l{k}").copy_(below.weight)
            getattr(stacked, f"weight_hh_l{k}").copy_(own.weight)
            getattr(stacked, f"bias_ih_l{k}").copy_(below.bias)
            getattr(stacked, f"bias_hh_l{k}").zero_()
        x = reader.embedding(ids)
        assert plain.network(x).shape == (3, 7, layers * 5)
        torch.testing.assert_close(plain.network(x)[..., -5:], stacked(x)[0])
        assert plain(ids, torch.ones_like(ids)).shape == (3, 2)


def test_a_recurrent_benchmark_of_an_hmrnn(
    tmp_path: Path,
    run_script: Callable[..., dict[str, Any]],
    saved_reader: Callable[[str], Any],
    reviews: Callable[[int, int], Path],
) -> None:
    saved_reader("hm_rnn")
    data = ("--data_file", reviews(0, 8), "--rounds", 1, "--num_threads", 1)
    report = run_script("benchmark_recurrent", "--models", tmp_path, *data)
    (row,) = report["results"].values()
    assert 0 < row["macs_share"] <= 1 and row["batched"]["speedup"] > 0


def test_a_frontier_is_drawn_at_one_batch_size(
    tmp_path: Path, script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"transformers": {"texts_per_second": 10.0, "accuracy": 0.9}}
    report = {"runs": [{"batch_size": size, "results": rows} for size in (1, 32)]}
    plot = script("plot_frontier")
    assert plot.run_of(report, 32) is report["runs"][1]
    assert plot.run_of({"runs": report["runs"][:1]}, None) is report["runs"][0]
    for size in (None, 8):
        with pytest.raises(ValueError, match=rf"--batch_size \({size}\) must be one of .*\[1, 32"):
            plot.run_of(report, size)
    file, picture = tmp_path / "frontier.json", tmp_path / "frontier.png"
    file.write_text(json.dumps(report))
    arguments = ["plot_frontier.py", str(file), str(picture), "--batch_size", "32"]
    monkeypatch.setattr(sys, "argv", arguments)
    plot.main()
    assert picture.stat().st_size > 0


def test_a_reader_that_saves_nothing_has_no_realised_share(
    tmp_path: Path,
    run_script: Callable[..., dict[str, Any]],
    saved_reader: Callable[[str], Any],
    reviews: Callable[[int, int], Path],
) -> None:
    """Without a calibration an `HMRNN` reads as it was trained, which is its full reading."""
    saved_reader("hm_rnn")
    command = ("benchmark_text", "--model", tmp_path, "--data_file", reviews(0, 8))
    report = run_script(*command, "--batch_size", 4, "--rounds", 1, "--memory")
    adaptive = report["runs"][0]["results"]["adaptive"]
    assert adaptive["macs_share"] == 1 and "realised_share_own" not in adaptive
    assert adaptive["peak_mb"] > 50


def test_a_chunk_readers_own_exits_are_its_fixed_depths(
    script: Callable[[str], Any], encoder_path: Path
) -> None:
    classifier = BertForSequenceClassification.from_pretrained(encoder_path)
    exits = EarlyExit.from_classifier(classifier).eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder_path)
    special = ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    chunks = ChunkReader.from_classifier(exits, special)
    contestants = script("temporal.pipelines.benchmark.text_contestants")
    inside = contestants.with_exits(pipeline("text-classification", chunks, tokenizer=tokenizer))
    assert inside.model is exits
    texts = ["A film.", "A longer text about a film."]
    with torch.no_grad():
        logits = [exits(**tokenizer(text, return_tensors="pt")).exit_logits[0] for text in texts]
    for number in range(len(exits.config.exit_layers)):
        want = [exits.config.id2label[int(row[number].argmax())] for row in logits]
        assert contestants.fixed_depth(inside, number)(texts) == want
    plain = ChunkReader.from_classifier(classifier, special)
    assert (
        contestants.with_exits(pipeline("text-classification", plain, tokenizer=tokenizer)) is None
    )
