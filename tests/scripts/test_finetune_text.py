"""Fine-tuning and calibrating text readers, from files to a pipeline that halts or skims."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from temporal.data.labelled.files import read_labelled_texts
from temporal.data.labelled.splits import held_out_rows
from temporal.pipelines import pipeline

Run = Callable[..., dict[str, Any]]
Reviews = Callable[[int, int], Path]

QUICK = (*("--report_to", "none", "--save_strategy", "no", "--disable_tqdm", "true"),)


def train(run_script: Run, encoder: Path, train: Path, dev: Path, out: Path, *more: object) -> Any:
    common = ("--train_file", train, "--validation_file", dev, "--encoder", encoder)
    return run_script("finetune_text", *common, "--output_dir", out, *QUICK, *more)


def test_early_exit_from_files_to_a_budget(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    out = tmp_path / "reader"
    result = train(
        run_script,
        encoder_path,
        reviews(0, 320),
        reviews(1000, 1060),
        out,
        *("--num_train_epochs", 4, "--learning_rate", 2e-3, "--per_device_train_batch_size", 16),
    )
    assert result["eval_accuracy"] == result["eval_accuracy_exit_1"] >= 0.95
    assert json.loads((out / "all_results.json").read_text())["eval_accuracy_exit_0"] >= 0.5

    held_out = reviews(2000, 2100)
    command = ("calibrate", "--model", out, "--data_file", held_out)
    chosen = run_script(*command, "--max_drop", 0.05)
    # Attention over one telling word is learnt by the first layer already, so halting is free.
    assert chosen["chosen"]["drop"] <= 0 and chosen["chosen"]["cost_share"] < 1
    assert chosen["chosen"]["drop_bound"] <= chosen["chosen"]["max_drop"] == 0.05
    assert chosen["full"]["cost_share"] == 1 and chosen["full"]["num_calibration"] == 100
    assert chosen["promise"].startswith("With 95 % confidence, accuracy is at most 5.0 points")
    config = json.loads((out / "config.json").read_text())
    assert config["thresholds"] == chosen["chosen"]["policy"]["thresholds"]
    assert len(config["operating_points"]) == chosen["stored"] >= 2

    texts = [line.rsplit(",", 1)[0] for line in held_out.read_text().splitlines()[1:]]
    readings = list(pipeline("text-classification", str(out), batch_size=8).read(texts))
    assert {reading.predictions[0]["label"] for reading in readings} == {"negative", "positive"}
    # The pipeline halts where the calibration said that it would, and spends what it said.
    traces = [reading.trace for reading in readings if reading.trace]
    layers = [(trace.exit + 1) * trace.units_total for trace in traces]
    macs = sum(trace.cost.macs for trace in traces) / len(traces)
    assert macs == pytest.approx(chosen["chosen"]["cost"], rel=0.1)  # other batches, other padding

    timed = run_script("benchmark_text", *command[1:], "--batch_size", 8, "--rounds", 1)
    (at_8,) = timed["runs"]
    scores = at_8["results"]
    adaptive, dense = scores["adaptive"], scores["transformers"]
    assert adaptive["accuracy"] == chosen["chosen"]["accuracy"]
    assert adaptive["mean_layers"] == pytest.approx(
        sum(layers) / sum(trace.units_total for trace in traces)
    )
    assert dense["accuracy"] == scores["transformers_sorted"]["accuracy"]
    assert dense["accuracy"] == chosen["full"]["accuracy"]
    assert dense["accuracy"] == scores["transformers_one_by_one"]["accuracy"]
    assert dense["accuracy"] == scores["reads_everything"]["accuracy"]
    assert len(scores) == 7  # two static ones of about the same cost are beside them
    assert 0.3 < adaptive["macs_share"] < 1  # of the dense classifier on unpadded texts
    saved = 1 - adaptive["macs_share"]
    for name, other in (("", "transformers"), ("_own", "reads_everything")):
        gained = 1 - adaptive["seconds"] / scores[other]["seconds"]
        assert adaptive[f"realised_share{name}"] == pytest.approx(gained / saved)
    assert 0 < adaptive["p50_ms"] <= adaptive["p95_ms"]
    curves = run_script(
        *("benchmark_text", *command[1:], "--rounds", 1, "--frontier", "--max_length", 16)
    )["runs"][0]["results"]
    assert {"fixed_1_layers", "fixed_2_layers", "first_16_tokens"} <= curves.keys()
    assert curves["fixed_2_layers"]["accuracy"] == chosen["full"]["accuracy"]
    points = config["operating_points"]
    for k, point in enumerate(points):
        assert curves[f"point_{k}"]["accuracy"] == pytest.approx(point["accuracy"])

    half = run_script(*command, "--budget", 0.6)["chosen"]
    assert half["cost_share"] <= 0.6
    with pytest.raises(SystemExit, match=r"--budget \(0.1\) must be at least 0.5"):
        run_script(*command, "--budget", 0.1)  # the first of two layers is half of the cost


def test_pruning_learns_how_many_tokens_to_keep_and_then_to_do_without_the_others(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    files = (reviews(0, 320), reviews(1000, 1060))
    soft, hard = tmp_path / "soft", tmp_path / "hard"
    steps = ("--learning_rate", 2e-3, "--per_device_train_batch_size", 16)
    train(
        run_script,
        encoder_path,
        *files,
        soft,
        *(*steps, "--num_train_epochs", 4, "--pruning", "power"),
        *("--reader_options", '{"pruning_soft": true, "pruning_loss_weight": 1.0}'),
        *("--pruning_learning_rate", 2e-2),
    )
    again = ("--model_name_or_path", soft, "--reader_options", '{"pruning_soft": false}')
    result = train(
        run_script, encoder_path, *files, hard, *(*steps, "--num_train_epochs", 1, *again)
    )
    assert result["eval_accuracy"] >= 0.95
    learned = load_file(soft / "model.safetensors")["pruner.retention_LR"].clamp(0, 1)
    kept = load_file(hard / "model.safetensors")["pruner.retention_LR"].clamp(0, 1)
    assert torch.equal(kept, learned) and learned.mean() < 0.8
    text = "it was a wonderful film and so was everything else about this evening"
    (reading,) = pipeline("text-classification", str(hard)).read([text])
    units = reading.trace.units_total
    assert units < reading.trace.token_layers < 2 * units


def test_skim_rnn_reads_all_and_then_learns_to_skim(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    files = (reviews(0, 320), reviews(1000, 1060))
    model = ("--model", "skim_rnn", "--reader_options")
    sizes = {"hidden_size": 16, "skim_size": 2, "pooling": "max"}
    steps = ("--learning_rate", 2e-2, "--per_device_train_batch_size", 32)
    plain = train(
        run_script,
        encoder_path,
        *files,
        tmp_path / "lstm",
        *(*model, json.dumps({**sizes, "read_threshold": 0}), *steps, "--num_train_epochs", 3),
    )
    assert plain["eval_accuracy"] >= 0.95 and plain["eval_read_share"] == 1
    skimming = train(
        run_script,
        encoder_path,
        *files,
        tmp_path / "skim",
        *(*model, '{"read_threshold": 0.5, "skim_loss_weight": 0.3, "straight_through": true}'),
        *(*steps, "--num_train_epochs", 4),
        *("--model_name_or_path", tmp_path / "lstm", "--freeze_embeddings"),
    )
    before, after = (load_file(tmp_path / k / "model.safetensors") for k in ("lstm", "skim"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(before) - {"embedding.weight"}
    # One word in ten tells the label; the others can be skimmed.
    assert skimming["eval_accuracy"] >= 0.95 and skimming["eval_read_share"] < 0.5

    held_out = reviews(2000, 2060)
    command = ("calibrate", "--model", tmp_path / "skim", "--data_file", held_out)
    chosen = run_script(*command, "--max_drop", 0.05)["chosen"]
    texts = [line.rsplit(",", 1)[0] for line in held_out.read_text().splitlines()[1:]]
    scores = run_script("benchmark_text", *command[1:], "--rounds", 1)["runs"][0]["results"]
    assert scores["adaptive"]["accuracy"] == chosen["accuracy"]
    assert scores["reads_everything"]["accuracy"] >= chosen["accuracy"] - 0.05
    macs = []
    for options in ({}, {"max_drop": 0.0}):  # the chosen point, and the full reading
        pipe = pipeline("text-classification", str(tmp_path / "skim"), **options)
        macs.append(sum(reading.trace.cost.macs for reading in pipe.read(texts) if reading.trace))
    assert macs[0] / macs[1] == pytest.approx(chosen["cost_share"], abs=1e-6)
    assert chosen["policy"] == {"read_threshold": pytest.approx(chosen["policy"]["read_threshold"])}


@pytest.fixture(scope="module")
def plain_lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the plain LSTM lies from which others go on, once the first of them has trained it."""
    return tmp_path_factory.mktemp("plain") / "lstm"


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("lstm_jump", {"tokens_between_jumps": 2, "max_jump": 3, "max_jumps": 2}),
        ("structural_jump_lstm", {"reading_cost": 0.3}),
        ("jumper", {"tokens_between_decisions": 2}),
    ],
)
def test_readers_that_jump_or_stop_go_on_from_a_plain_lstm(
    model,
    options,
    tmp_path: Path,
    run_script: Run,
    encoder_path: Path,
    reviews: Reviews,
    plain_lstm: Path,
) -> None:
    files = (reviews(0, 320), reviews(1000, 1060))
    sizes = {"hidden_size": 16, "pooling": "max"}
    steps = ("--learning_rate", 2e-2, "--per_device_train_batch_size", 32)
    plain = {**sizes, "read_threshold": 0}
    if not plain_lstm.exists():
        train(
            run_script,
            encoder_path,
            *files,
            plain_lstm,
            *("--model", "skim_rnn", "--reader_options", json.dumps(plain), *steps),
        )
    trained = train(
        run_script,
        encoder_path,
        *files,
        tmp_path / "jumps",
        *("--model", model, "--reader_options", json.dumps({**sizes, **options}), *steps),
        *("--init_from", plain_lstm, "--num_train_epochs", 4),
    )
    assert trained["eval_accuracy"] > 0.7 and trained["eval_read_share"] < 1
    texts = [line.rsplit(",", 1)[0] for line in files[1].read_text().splitlines()[1:]]
    readings = list(pipeline("text-classification", str(tmp_path / "jumps")).read(texts))
    shares = [reading.trace.share_read for reading in readings if reading.trace]
    assert sum(shares) / len(shares) == pytest.approx(trained["eval_read_share"], abs=1e-4)


def test_resumed_training_equals_uninterrupted(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    files = (reviews(0, 64), reviews(1000, 1010))
    steps = ("--max_steps", 6, "--save_strategy", "steps", "--save_steps", 3)
    train(run_script, encoder_path, *files, tmp_path, *steps)
    whole = load_file(tmp_path / "model.safetensors")
    train(
        run_script,
        encoder_path,
        *files,
        tmp_path,
        *(*steps, "--resume_from_checkpoint", tmp_path / "checkpoint-3"),
    )
    resumed = load_file(tmp_path / "model.safetensors")
    half = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert any(not torch.equal(whole[name], half[name]) for name in whole)  # it did go on
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("skim_rnn", '{"skim_sise": 2}', "field of SkimRNNConfig; did you mean 'skim_size'"),
        ("early_exit", '{"num_labels": 3}', "'num_labels' must be a field of EarlyExitConfig"),
        ("skim_rnn", '{"zzz": 2}', r"'zzz' must be a field of .* it has \['cell', 'dropout'"),
        ("skim_rnn", '{"vocab_size": 2}', "'vocab_size' is taken from --encoder"),
        ("skim_rnn", "{skim_size: 2}", r"--reader_options \(.*\) must be a JSON object such as"),
        ("skim_rnn", "[1]", r"--reader_options \(\[1\]\) must be a JSON object"),
    ],
)
def test_options_that_no_reader_has_are_refused(
    model: str, options: str, message: str, script: Callable[[str], Any]
) -> None:
    arguments = script("temporal.pipelines.training.text_arguments").ModelArguments
    with pytest.raises(ValueError, match=message):
        arguments(model=model, reader_options=options)
    with pytest.raises(ValueError, match=r"--encoder_options \({\) must be a JSON object"):
        arguments(encoder_options="{")


@pytest.mark.parametrize(
    "given",
    [
        {"init_from": "x"},
        {"freeze_embeddings": True},
        {"word_dropout": 0.1},
        {"encoder_options": '{"a": 1}'},
        {"pruning_learning_rate": 0.1},
        {"crop_size": 8},
    ],
)
def test_options_that_a_chunk_reader_ignores_are_refused(
    given: dict[str, Any], script: Callable[[str], Any]
) -> None:
    module = script("temporal.pipelines.training.text_arguments")
    data = {k: v for k, v in given.items() if k == "crop_size"}
    of_model = {k: v for k, v in given.items() if k not in data}
    data_args = module.DataArguments(train_file="-", **data)
    module.check_together(module.ModelArguments(**of_model), data_args)
    reader = module.ModelArguments(model="chunk_reader", **of_model)
    with pytest.raises(ValueError, match=rf"--{next(iter(given))} \(.*\) does nothing for"):
        module.check_together(reader, data_args)
    module.check_together(
        module.ModelArguments(model="chunk_reader"), module.DataArguments(train_file="-")
    )


def test_a_rate_of_pruning_needs_pruning(
    tmp_path: Path, run_script: Run, encoder_path: Path, reviews: Reviews
) -> None:
    files = (reviews(0, 8), reviews(1000, 1004))
    with pytest.raises(ValueError, match=r"--pruning_learning_rate \(0.1\) .* give --pruning"):
        train(run_script, encoder_path, *files, tmp_path, "--pruning_learning_rate", 0.1)


def test_validation_rows_are_found_after_a_calibration_share(
    script: Callable[[str], Any], reviews: Reviews
) -> None:
    data, path = script("temporal.pipelines.training.text_data"), str(reviews(0, 200))
    shares = {"calibration_share": 0.25}
    _, validated = data.load_data(data.DataArguments(train_file=path, **shares), 7)
    rows = read_labelled_texts(path)
    found = held_out_rows(rows, 7, validation_share=0.1, **shares)
    assert found["text"] == validated["text"] and len(found) == 15
    held_out = script("temporal.pipelines.held_out.rows")
    args = held_out.HeldOutArguments(
        model="-", data_file=path, seed=7, validation_share=0.1, **shares
    )
    config = SimpleNamespace(id2label={0: "negative", 1: "positive"})
    pipe = SimpleNamespace(model=SimpleNamespace(config=config))
    assert held_out.read_held_out(args, pipe).inputs == found["text"]


@pytest.mark.parametrize("share_of", ["calibration_share", "validation_share"])
def test_calibration_finds_the_rows_that_training_left_out(
    script: Callable[[str], Any], encoder_path: Path, reviews: Reviews, share_of: str
) -> None:
    finetune = script("temporal.pipelines.training.text_data")
    path = str(reviews(0, 200))
    shares = {"calibration_share": 0.25} if share_of == "calibration_share" else {}
    trained, validated = finetune.load_data(finetune.DataArguments(train_file=path, **shares), 7)
    share = {"calibration_share": 0.25} if shares else {"validation_share": 0.1}
    rows = script("temporal.pipelines.held_out.rows")
    args = rows.HeldOutArguments(model="-", data_file=path, seed=7, **share)
    config = SimpleNamespace(id2label={0: "negative", 1: "positive"})
    found = rows.read_held_out(args, SimpleNamespace(model=SimpleNamespace(config=config)))
    held = set(found.inputs)
    assert len(found.inputs) == (50 if shares else 20) and set(found.labels.tolist()) == {0, 1}
    assert not held & set(trained["text"])
    if shares:
        assert len(trained) + len(validated) == 150 and not held & set(validated["text"])
    else:
        assert held == set(validated["text"])
