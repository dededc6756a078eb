"""Fine-tuning under torchrun: two processes train what one does, and go on after being killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from temporal.pipelines import pipeline

from .conftest import SCRIPTS

Reviews = Callable[[int, int], Path]

pytestmark = pytest.mark.slow


@pytest.fixture
def command(encoder_path: Path, reviews: Reviews) -> Callable[..., list[str]]:
    """`command(processes, out, *options)`: a training on texts that two epochs learn."""

    def make(processes: int, out: Path, *options: object) -> list[str]:
        launch = (*("-m", "torch.distributed.run", "--standalone"), "--nproc_per_node", processes)
        files = ("--train_file", reviews(0, 320), "--validation_file", reviews(1000, 1060))
        common = (
            *("--encoder", encoder_path, *files, "--output_dir", out, "--use_cpu"),
            *("--report_to", "none", "--disable_tqdm", "true", "--learning_rate", 2e-3),
            *("--per_device_train_batch_size", 16 // processes, "--num_train_epochs", 4),
        )
        script = SCRIPTS / "finetune_text.py"
        return [str(part) for part in (sys.executable, *launch, script, *common, *options)]

    return make


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(command: list[str]) -> dict[str, Any]:
    """Run to the end; the one line of results, which the first process alone prints."""
    process = start(command)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    (line,) = [line for line in out.splitlines() if "output_dir" in line]
    return json.loads(line)


SKIM = {"hidden_size": 16, "skim_size": 2, "pooling": "max", "skim_loss_weight": 0.05}


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model", "skim_rnn", "--reader_options", json.dumps(SKIM), "--learning_rate", "2e-2"),
    ],
    ids=["early_exit", "skim_rnn"],
)
def test_two_processes_train_what_one_does(
    options: tuple[str, ...], tmp_path: Path, command: Callable[..., list[str]]
) -> None:
    more = ("--save_strategy", "no", *options)
    results = {n: finish(command(n, tmp_path / str(n), *more)) for n in (1, 2)}
    for result in results.values():
        assert result["eval_accuracy"] >= 0.95
    assert results[2]["eval_loss"] == pytest.approx(results[1]["eval_loss"], abs=0.1)
    (answer,) = pipeline("text-classification", str(tmp_path / "2"))("w1 lovely w2 w3")
    assert answer["label"] == "positive"


@pytest.mark.parametrize("regime", ["alternating", "distillation", "criteria"])
def test_two_processes_that_were_killed_go_on_as_if_they_had_not_been(
    regime: str, tmp_path: Path, command: Callable[..., list[str]]
) -> None:
    # In `alternating` no process has gradients for some exits at every other step, in the others
    # most of the reader is frozen: both must be no trouble to gradients that are averaged.
    criteria = json.dumps({"learned_criteria": ["certainty", "consistency"]})
    options = (
        *("--regime", regime, "--reader_options", criteria),
        *("--save_strategy", "steps", "--save_steps", 10),
    )
    whole = tmp_path / "whole"
    finish(command(2, whole, *options))

    killed = tmp_path / "killed"
    process = start(command(2, killed, *options))
    checkpoint = killed / "checkpoint-10"
    deadline = time.monotonic() + 200
    while not (checkpoint / "trainer_state.json").exists():  # the last file that is written
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    agent = psutil.Process(process.pid)
    for member in (*agent.children(recursive=True), agent):  # torchrun's death alone stops nobody
        member.kill()
    process.communicate()
    assert not (killed / "model.safetensors").exists()  # it had not finished
    finish(command(2, killed, *options, "--resume_from_checkpoint", checkpoint))

    want, got = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    begun = load_file(checkpoint / "model.safetensors")
    assert any(not torch.equal(begun[name], want[name]) for name in want)  # it did go on
    assert want.keys() == got.keys()
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=1e-6, rtol=1e-5, msg=name)
