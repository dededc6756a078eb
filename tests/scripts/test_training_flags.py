"""What a training cannot do is refused before it works; `--help` of every script helps."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from .conftest import SCRIPTS

ROOT = SCRIPTS.parent
LAUNCHERS = (
    *("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
    *("SLURM_STEP_NUM_TASKS", "ACCELERATE_MIXED_PRECISION"),
)


@pytest.fixture
def flags(script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    return script("temporal.pipelines.training.flags")


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: path.stem)
def test_help_is_given(
    path: Path, script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    if '__name__ == "__main__"' not in path.read_text(encoding="utf-8"):
        return  # imported by others
    monkeypatch.syspath_prepend(str(path.parent))  # as when it is run
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert not ended.value.code and "usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--do_predict",), r"--do_predict \(True\) does nothing here: .*temporal run text"),
        (("--do_pred", "true"), r"--do_predict \(True\) does nothing here"),
        (("--do_eval",), r"--do_eval \(True\) without --do_train"),
        (("--do_train", "false"), r"--do_train \(False\) does nothing here"),
        (("--label_smoothing_factor", "0.1"), r"--label_smoothing_factor \(0.1\) does nothing"),
        (("--train_sampling_strategy", "random"), r"--train_sampling_strategy \(random\) does"),
        (("--batch_eval_metrics",), r"--batch_eval_metrics \(True\) does nothing here"),
    ],
)
def test_flags_that_would_do_nothing_are_refused_for_texts(
    options: tuple[str, ...], message: str, flags: Any, run_script: Any, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=message):
        run_script("finetune_text", "--train_file", "-", "--output_dir", tmp_path, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--do_predict",), "temporal run video-classification"),
        (("--num_train_epochs", "9"), r"--num_train_epochs \(9.0\) .* by --max_steps"),
        (("--per_device_train_batch_size", "4"), "all clips are one batch"),
        (("--optim", "adafactor"), r"--optim \(adafactor\) .* by L-BFGS"),
        (("--eval_strategy", "epoch"), r"--eval_strategy \(epoch\) .* judged by folds"),
        (("--resume_from_checkpoint", "x"), "each fold is trained in seconds"),
    ],
)
def test_flags_that_would_do_nothing_are_refused_for_clips(
    options: tuple[str, ...], message: str, flags: Any, run_script: Any, tmp_path: Path
) -> None:
    # What is refused depends on what is trained, and that on the labels: there must be some.
    for label in ("up", "down"):
        (tmp_path / f"{label}.mp4").write_bytes(label.encode())
    rows = "path,label,group\nup.mp4,up,a\ndown.mp4,down,b\n"
    (tmp_path / "groups.csv").write_text(rows)
    with pytest.raises(SystemExit, match=message):
        run_script("finetune_video", "--data_dir", tmp_path, "--output_dir", tmp_path, *options)


def test_flags_of_the_examples_that_say_what_is_done_are_taken(flags: Any, tmp_path: Path) -> None:
    given = ["--output_dir", str(tmp_path), "--do_train", "--do_eval", "--do_predict", "false"]
    names = flags.given_options((TrainingArguments,), given)
    assert names == {"output_dir", "do_train", "do_eval", "do_predict"}
    args = TrainingArguments(str(tmp_path), do_train=True, do_eval=True, report_to="none")
    flags.check_flags(args, names, flags.IGNORED_FOR_TEXTS)
    # Evaluation in training switches do_eval on by itself.
    args = TrainingArguments(str(tmp_path), eval_strategy="epoch", report_to="none")
    flags.check_flags(args, {"output_dir", "eval_strategy"}, flags.IGNORED_FOR_TEXTS)


def test_reports_to_what_is_not_installed_are_refused_first(
    flags: Any, run_script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.integrations.integration_utils as integrations

    monkeypatch.setattr(integrations, "is_tensorboard_available", lambda: False)
    with pytest.raises(SystemExit, match=r"--report_to \(tensorboard\) cannot be had: .*Install"):
        run_script(
            *("finetune_text", "--train_file", "-", "--output_dir", tmp_path),
            *("--report_to", "tensorboard"),
        )


@pytest.mark.parametrize("name", LAUNCHERS[:-1])
def test_processes_that_know_nothing_of_each_other_are_refused(
    name: str, flags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    flags.check_processes(args)
    flags.check_processes(args, alone=True)
    monkeypatch.setenv(name, "1")
    flags.check_processes(args, alone=True)
    monkeypatch.setenv(name, "2")
    with pytest.raises(SystemExit, match=rf"{name} \(2\) asks for 2 processes, .* --use_cpu true"):
        flags.check_processes(args)
    with pytest.raises(SystemExit, match="this script runs in one"):
        flags.check_processes(args, alone=True)


def test_what_accelerate_was_asked_for_is_in_its_command_line(flags: Any) -> None:
    count = flags.accelerate_processes
    launch = ["python", "accelerate", "launch", "--cpu"]
    assert count([*launch, "--num_processes", "2", "x.py"]) == 2
    assert count([*launch, "--num-processes=4", "x.py", "--seed", "3"]) == 4
    assert count([*launch, "x.py"]) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "launch",
    [
        ("torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
        ("accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2"),
    ],
    ids=["torchrun", "accelerate"],
)
def test_two_launched_processes_that_would_each_train_alone_are_refused(
    launch: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", *launch, str(SCRIPTS / "finetune_text.py")]
    command += ["--train_file", "-", "--output_dir", str(tmp_path), "--report_to", "none"]
    environment = {k: v for k, v in os.environ.items() if k not in LAUNCHERS}
    environment.update(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode != 0
    assert "asks for 2 processes, and the trainer has 1" in ended.stderr
