"""The last layer that leaves torch's threads asleep is still a linear layer."""

from __future__ import annotations

import pytest
import torch

from temporal.macs import count_macs
from temporal.models.class_scores import ClassScores


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
