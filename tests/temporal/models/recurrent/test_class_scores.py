"""The last layer that leaves torch's threads asleep is still a linear layer."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from temporal.macs import count_macs
from temporal.models.recurrent.class_scores import ClassScores


@pytest.mark.parametrize("num_rows", [1, 7, 128])
@pytest.mark.parametrize("num_classes", [1, 2, 16, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_a_linear_layer(num_rows: int, num_classes: int, dtype: torch.dtype) -> None:
    layer = ClassScores(100, num_classes, dtype=dtype)
    x_BH = torch.randn(num_rows, 100, dtype=dtype)
    with torch.no_grad():
        logits_BK, macs = count_macs(layer, x_BH)
        expected_BK = torch.nn.functional.linear(x_BH, layer.weight, layer.bias)
    torch.testing.assert_close(logits_BK, expected_BK)
    assert macs == num_rows * 100 * num_classes


def test_it_learns_as_a_linear_layer() -> None:
    layer = ClassScores(3, 2)
    layer(torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1.0, 2.0, 3.0]] * 2


def test_rows_of_a_batch_do_not_depend_on_each_other() -> None:
    layer = ClassScores(100, 3)
    x_BH = torch.randn(64, 100)
    with torch.no_grad():
        one_by_one_BK = torch.cat([layer(x_1H) for x_1H in x_BH.split(1)])
        torch.testing.assert_close(layer(x_BH), one_by_one_BK)


def test_without_a_bias_it_is_a_linear_layer_too() -> None:
    layer = ClassScores(100, 3, bias=False)
    x_BH = torch.randn(8, 100)
    with torch.no_grad():
        torch.testing.assert_close(layer(x_BH), x_BH @ layer.weight.T)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
@pytest.mark.parametrize("num_rows", [8, 512])
def test_no_thread_of_torch_wakes(num_rows: int) -> None:
    """OpenMP's threads begin with the first product that is shared out, and stay."""
    code = f"""
import os, torch
from temporal.models.recurrent.class_scores import ClassScores
torch.set_num_threads(2)
layer, x_BH = ClassScores(100, 2), torch.randn({num_rows}, 100)
with torch.inference_mode():
    layer(x_BH)
print(len(os.listdir("/proc/self/task")), end=" ")
torch.nn.functional.relu(torch.randn(1000, 1000))
print(len(os.listdir("/proc/self/task")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < after
