"""Rows that a reader was trained or calibrated on cannot vouch for it, whichever script asks."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from temporal.models import ChunkReader, EarlyExit
from temporal.models.rows_seen import FILE, digest_text, load_rows_seen

from .conftest import review

Run = Callable[..., dict[str, Any]]
Reviews = Callable[[int, int], Path]
Train = Callable[..., Path]

SCORED = {
    "calibrate": ("--budget", 1.0),
    "check_certificate": ("--max_drop", 1.0),
    "benchmark_text": ("--rounds", 1, "--batch_size", 8),
}


@pytest.fixture
def train(tmp_path: Path, run_script: Run, encoder_path: Path) -> Train:
    """`train(file, *options)`: the folder of a reader that took one step."""

    def run(file: Path, *options: object, out: str = "reader") -> Path:
        quick = ("--report_to", "none", "--save_strategy", "no", "--disable_tqdm", "true")
        common = ("--train_file", file, "--encoder", encoder_path, "--output_dir", tmp_path / out)
        run_script("finetune_text", *common, *quick, "--max_steps", 1, *options)
        return tmp_path / out

    return run


def write(path: Path, rows: list[tuple[object, ...]], *columns: str) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text", "label", *columns), *rows])
    return path


def texts_of(path: Path) -> list[str]:
    with open(path, newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def test_every_default_finds_the_rows_that_training_held_out(
    run_script: Run, train: Train, reviews: Reviews
) -> None:
    share = ("--calibration_share", 0.2)
    for k, seed in enumerate(((), ("--seed", 7))):
        out = train(reviews(0, 100), *share, *seed, out=f"reader{k}")
        command = ("--model", out, "--data_file", reviews(0, 100))
        result = run_script("calibrate", *command, *share, "--budget", 1.0)
        rows = result["rows"]
        assert (rows["used"], rows["trained_on"], rows["left_out"]) == (20, 0, 0)
        assert len(rows["not_known"]) == 1 and "encoder" in rows["not_known"][0]
        validated = run_script(
            "calibrate", *command, *share, "--validation_share", 0.1, *SCORED["calibrate"]
        )
        assert validated["rows"]["used"] == 8 and validated["rows"]["trained_on"] == 0


@pytest.mark.parametrize("script_name", SCORED)
def test_rows_that_were_trained_on_are_refused(
    script_name: str, run_script: Run, train: Train, reviews: Reviews
) -> None:
    share = ("--calibration_share", 0.2)
    out = train(reviews(0, 100), *share)
    run_script("calibrate", "--model", out, "--data_file", reviews(500, 520), "--budget", 1.0)
    command = (script_name, "--model", out, *SCORED[script_name])
    # 72 are trained on: a fifth and then a tenth of the rest are held out.
    told = r"72 of 100 rows of .*0-100.csv were trained on.*--seed 42 --calibration_share 0.2"
    with pytest.raises(SystemExit, match=told):
        run_script(*command, "--data_file", reviews(0, 100))
    with pytest.raises(SystemExit, match=r"\d+ of 20 rows .* were trained on"):
        run_script(*command, "--data_file", reviews(0, 100), *share, "--seed", 1)
    result = run_script(*command, "--data_file", reviews(0, 100), "--leave_out_seen", "true")
    rows = result["runs"][0]["rows"] if "runs" in result else result["rows"]
    assert (rows["used"], rows["trained_on"], rows["left_out"]) == (28, 0, 72)
    with pytest.raises(SystemExit, match="none is left: give other data"):
        run_script(*command, "--data_file", written_again(out, reviews), "--leave_out_seen")


def written_again(out: Path, reviews: Reviews) -> Path:
    """The rows that were trained on in another file, order, case and spacing."""
    seen = load_rows_seen(out)
    assert seen is not None
    known = seen.of("training").rows
    rows = [review(k) for k in range(100) if digest_text(review(k)[0]) in known]
    assert len(rows) == 72
    loud = [(f"  {text.upper()} ".replace(" ", "  "), label) for text, label in reversed(rows)]
    return write(out.parent / "again.csv", loud)


def test_copies_and_readers_around_it_remember(
    run_script: Run, train: Train, reviews: Reviews, tmp_path: Path
) -> None:
    out = train(reviews(0, 60), "--save_strategy", "steps", "--save_steps", 1)
    copies = [out / "checkpoint-1", tmp_path / "copied", tmp_path / "chunks", tmp_path / "more"]
    tokenizer = AutoTokenizer.from_pretrained(out)
    tokenizer.save_pretrained(copies[0])
    shutil.copytree(out, copies[1], ignore=shutil.ignore_patterns("checkpoint-*"))
    special = ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    chunks = ChunkReader.from_classifier(EarlyExit.from_pretrained(out), special)
    chunks.save_pretrained(copies[2])
    tokenizer.save_pretrained(copies[2])
    train(reviews(900, 960), "--model_name_or_path", out, out="more")
    for copy in copies:
        command = ("calibrate", "--model", copy, "--budget", 1.0)
        with pytest.raises(SystemExit, match="54 of 60 rows"):
            run_script(*command, "--data_file", reviews(0, 60))
    with pytest.raises(SystemExit, match="54 of 60 rows"):
        run_script(*command, "--data_file", reviews(900, 960))


@pytest.mark.slow
def test_a_chunk_reader_that_is_trained_remembers_its_encoders_rows(
    run_script: Run, train: Train, reviews: Reviews
) -> None:
    out = train(reviews(0, 60))
    options = json.dumps({"chunk_size": 10, "hidden_size": 8, "skim_buckets": 64})
    chunks = ("--model", "chunk_reader", "--encoder", out, "--reader_options", options)
    reader = train(reviews(900, 960), *chunks, out="chunks")
    for first in (0, 900):
        with pytest.raises(SystemExit, match="54 of 60 rows"):
            run_script(
                *("calibrate", "--model", reader, "--budget", 1.0),
                *("--data_file", reviews(first, first + 60)),
            )


def test_rows_that_were_calibrated_on_check_nothing(
    run_script: Run, train: Train, reviews: Reviews
) -> None:
    out = train(reviews(0, 60))
    run_script("calibrate", "--model", out, "--data_file", reviews(500, 540), "--budget", 1.0)
    check = ("check_certificate", "--model", out, "--max_drop", 1.0)
    with pytest.raises(SystemExit, match=r"30 of 40 rows .* were calibrated on.*a test file"):
        run_script(*check, "--data_file", reviews(510, 550))
    assert run_script(*check, "--data_file", reviews(540, 560))["rows"]["calibrated_on"] == 0
    # Another calibration takes the place of the first.
    run_script("calibrate", "--model", out, "--data_file", reviews(700, 740), "--budget", 1.0)
    assert run_script(*check, "--data_file", reviews(500, 540))["rows"]["calibrated_on"] == 0


def test_what_was_never_written_down_is_said_not_to_be_known(
    run_script: Run,
    encoder_path: Path,
    reviews: Reviews,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = EarlyExit.from_classifier(BertForSequenceClassification.from_pretrained(encoder_path))
    old.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(encoder_path).save_pretrained(tmp_path)
    assert not (tmp_path / FILE).exists()
    for _ in range(2):  # and once it has been calibrated it is known no better
        said: list[str] = []
        monkeypatch.setattr("sys.stderr.write", said.append)
        result = run_script(
            "calibrate", "--model", tmp_path, "--data_file", reviews(0, 40), *SCORED["calibrate"]
        )
        assert result["rows"]["trained_on"] is None
        assert re.search("whether .* was trained on any of the 40 rows", "".join(said))
        assert re.search("whether .* was trained on any of the 40", result["rows"]["not_known"][0])
    with pytest.raises(SystemExit, match="40 of 40 rows .* were calibrated on"):
        run_script(
            "check_certificate",
            "--model",
            tmp_path,
            "--data_file",
            reviews(0, 40),
            *SCORED["check_certificate"],
        )


def test_rows_that_occur_twice_are_held_out_together(
    run_script: Run, train: Train, tmp_path: Path
) -> None:
    """Each text stands there three times, spelt otherwise, far from each other."""
    rows = [review(k) for k in range(60)]
    rows += [(text.upper(), label) for text, label in rows] + [
        (text.replace(" ", "  "), label) for text, label in rows
    ]
    file = write(tmp_path / "thrice.csv", rows)
    share = ("--calibration_share", 0.2)
    out = train(file, *share)
    found = run_script(
        "calibrate", "--model", out, "--data_file", file, *share, *SCORED["calibrate"]
    )
    assert (found["rows"]["used"], found["rows"]["trained_on"]) == (12, 0)
    assert (found["rows"]["distinct"], found["rows"]["copies"]) == (12, 24)
    assert found["full"]["num_calibration"] == 12  # copies make no bound more certain


def test_rows_of_a_group_are_held_out_together_and_refused_together(
    run_script: Run, train: Train, tmp_path: Path
) -> None:
    grouped = [(*review(k), f"film {k // 4}") for k in range(80)]
    file = write(tmp_path / "films.csv", grouped, "film")
    share = ("--calibration_share", 0.25, "--group_column", "film")
    out = train(file, *share)
    found = run_script(
        "calibrate", "--model", out, "--data_file", file, *share, *SCORED["calibrate"]
    )
    assert (found["rows"]["used"], found["rows"]["trained_on"]) == (20, 0)
    # Other reviews of films that were trained on.
    seen = load_rows_seen(out)
    assert seen is not None
    groups = seen.of("training").groups
    trained = [f"film {k}" for k in range(20) if digest_text(f"film {k}") in groups]
    assert len(trained) == 14  # of 20 a fourth to calibrate, a tenth of 15 to validate
    more = [(*review(500 + k), name) for k, name in enumerate((*trained[:5], "new", ""))]
    other = write(tmp_path / "more.csv", more, "film")
    command = ("calibrate", "--model", out, "--data_file", other, *SCORED["calibrate"])
    for option in ((), ("--group_column", "film")):  # the training's column is the default
        with pytest.raises(SystemExit, match=r"5 of 7 rows .* are of groups whose other rows were"):
            run_script(*command, *option)
    renamed = write(tmp_path / "renamed.csv", more, "movie")
    command = ("calibrate", "--model", out, "--data_file", renamed, *SCORED["calibrate"])
    assert run_script(*command)["rows"]["used"] == 7


def test_phrases_of_trees_were_trained_on_as_phrases(
    run_script: Run, train: Train, tmp_path: Path
) -> None:
    lines = [
        f"({4 * (k % 2)} (2 w{k}) ({4 * (k % 2)} (2 w1) (2 {'good' if k % 2 else 'bad'})))"
        for k in range(20)
    ]
    trees = tmp_path / "trees.txt"
    trees.write_text("\n".join(lines) + "\n")
    share = ("--train_phrases", "--calibration_share", 0.2)
    out = train(trees, *share)
    found = run_script(
        "calibrate", "--model", out, "--data_file", trees, *share, *SCORED["calibrate"]
    )
    assert (found["rows"]["used"], found["rows"]["trained_on"]) == (4, 0)
    phrase = write(tmp_path / "phrases.csv", [("w1 GOOD", 1), ("never seen", 0)])
    # Every tree holds one of the two phrases, so none of them could be trained on.
    assert not load_rows_seen(out).of("training").rows & {digest_text("w1 good")}
    whole = train(trees, "--train_phrases", "--validation_file", phrase, out="whole")
    with pytest.raises(SystemExit, match="1 of 2 rows .* trained on"):
        run_script("calibrate", "--model", whole, "--data_file", phrase, *SCORED["calibrate"])


@pytest.mark.slow
def test_rows_that_picked_the_checkpoint_vouch_for_nothing(
    run_script: Run, train: Train, reviews: Reviews
) -> None:
    best = ("--load_best_model_at_end", "--eval_strategy", "steps", "--eval_steps", 1)
    saves = ("--save_strategy", "steps", "--save_steps", 1, "--validation_file", reviews(500, 520))
    out = train(reviews(0, 40), *best, *saves)
    with pytest.raises(SystemExit, match="20 of 20 rows .* picked the checkpoint"):
        run_script(
            "calibrate", "--model", out, "--data_file", reviews(500, 520), *SCORED["calibrate"]
        )


@pytest.mark.slow
def test_what_a_teacher_was_shown_it_has_told(
    run_script: Run, train: Train, reviews: Reviews, tmp_path: Path
) -> None:
    teacher = train(reviews(0, 60), out="teacher")
    soft = tmp_path / "soft"
    label = ("label_with_teacher", "--teacher", teacher, "--output_dir", soft)
    with pytest.raises(SystemExit, match="rows .* were trained on"):
        run_script(*label, "--data_file", reviews(0, 60), "--seed", 1)
    result = run_script(*label, "--data_file", reviews(0, 60))  # the teacher's own split
    assert result["held_out"] == 6 and result["held_out_rows"]["trained_on"] == 0
    run_script(*label, "--data_file", reviews(300, 360))
    files = ("--validation_file", soft / "validation.parquet")
    student = train(soft / "train.parquet", *files, out="student")
    with pytest.raises(SystemExit, match="54 of 60 rows"):
        run_script(
            "calibrate", "--model", student, "--data_file", reviews(0, 60), *SCORED["calibrate"]
        )
