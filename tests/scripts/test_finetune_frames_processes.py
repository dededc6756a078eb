"""Training readers of frames under torchrun, and after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .conftest import SCRIPTS
from .small_clips import CLASSES, save_config, write_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("data")
    save_config(top)
    for split, count, first in (("train", 32, 0), ("validation", 8, 100)):
        for k in range(count):
            place = top / "clips" / split / CLASSES[k % 2]
            place.mkdir(parents=True, exist_ok=True)
            write_clip(place / f"{k}.mp4", rising=k % 2 == 1, seed=first + k)
    return top


def start(data: Path, out: Path, *options: object, processes: int = 1) -> subprocess.Popen[str]:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes)
    fixed = (
        *("--data_dir", data / "clips", "--backbone", data / "config.json", "--output_dir", out),
        *("--use_cpu", "--disable_tqdm", "true", "--num_train_epochs", 6),
        *("--per_device_train_batch_size", 16 // processes, "--num_frames", 4),
    )
    words = (sys.executable, *(launch if processes > 1 else ()), SCRIPTS / "finetune_video.py")
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(word) for word in (*words, *fixed, *options)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    (line,) = [line for line in out.splitlines() if "output_dir" in line]
    return json.loads(line)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "final" / "model.safetensors")


def test_two_processes_train_what_one_does(data: Path, tmp_path: Path) -> None:
    gate = ("--reader_options", '{"gate": true, "order": "uniform"}', "--views", 1)
    one = finish(start(data, tmp_path / "one", *gate))
    two = finish(start(data, tmp_path / "two", *gate, processes=2))
    assert one["validation"] == two["validation"]
    torch.testing.assert_close(
        weights(tmp_path / "one"), weights(tmp_path / "two"), atol=1e-4, rtol=1e-3
    )


def test_a_killed_training_goes_on_to_the_same_end(data: Path, tmp_path: Path) -> None:
    options = ("--unfreeze", "last:1", "--learning_rate", 2e-3)
    whole = finish(start(data, tmp_path / "whole", *options))
    out = tmp_path / "killed"
    process = start(data, out, *options)
    deadline = time.monotonic() + 120
    while not list(out.glob("final/checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    again = finish(start(data, out, *options, "--resume_from_checkpoint", "true"))
    assert again["validation"] == whole["validation"]
    torch.testing.assert_close(weights(out), weights(tmp_path / "whole"))
    epochs = json.loads((out / "learning_curve.json").read_text())["validation"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4, 5, 6]
