"""Multiply-accumulates against hand counts, the kernels that torch's counter misses among them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from temporal.macs import count_macs, count_macs_by_length, count_macs_by_memory


def macs(fn: object, *args: object) -> int:
    with torch.inference_mode():
        return count_macs(fn, *args)[1]  # type: ignore[arg-type]  # modules and functions


def test_the_result_comes_with_its_count() -> None:
    linear, x = nn.Linear(3, 5), torch.rand(2, 3)
    result, count = count_macs(linear, x)
    assert torch.equal(result, linear(x))
    assert count == 2 * 3 * 5


def test_linear_counts_rows_times_weights_and_no_bias() -> None:
    assert macs(nn.Linear(7, 4), torch.rand(2, 3, 7)) == 2 * 3 * 7 * 4


def test_convolutions() -> None:
    # 8 filters of 3 x 3 x 3 at each of 5 x 5 places, for 2 images.
    assert macs(nn.Conv2d(3, 8, 3), torch.rand(2, 3, 7, 7)) == 2 * 5 * 5 * 8 * 27
    # Depthwise: each filter sees one channel.
    depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
    assert macs(depthwise, torch.rand(1, 6, 4, 4)) == 4 * 4 * 6 * 9


def test_the_fused_lstm_of_the_cpu() -> None:
    lstm = nn.LSTM(5, 7, batch_first=True).eval()
    # Four gates, each with an input and a recurrent product, for 3 texts of 4 tokens.
    assert macs(lstm, torch.rand(3, 4, 5)) == 3 * 4 * 4 * 7 * (5 + 7)
    two = nn.LSTM(5, 7, num_layers=2).eval()
    assert macs(two, torch.rand(4, 3, 5)) == 3 * 4 * 4 * 7 * (5 + 7) + 3 * 4 * 4 * 7 * (7 + 7)


def test_scaled_dot_product_attention() -> None:
    # 2 sources, 3 heads, 4 queries, 6 keys of width 8: q @ k and then weights @ v.
    q, k, v = torch.rand(2, 3, 4, 8), torch.rand(2, 3, 6, 8), torch.rand(2, 3, 6, 8)
    assert macs(F.scaled_dot_product_attention, q, k, v) == 2 * 3 * 4 * 6 * (8 + 8)
    mask = torch.ones(2, 1, 4, 6, dtype=torch.bool)
    assert macs(F.scaled_dot_product_attention, q, k, v, mask) == 2 * 3 * 4 * 6 * (8 + 8)


def test_the_fused_encoder_layer_is_not_free() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    tokens, sources = 5, 3
    products = sources * tokens * (4 * 8 * 8 + 2 * 8 * 16)  # q, k, v, out; in and out again
    attention = 2 * sources * tokens * tokens * 8
    x = torch.rand(sources, tokens, 8)
    assert macs(layer, x) == products + attention
    with torch.inference_mode():  # counting leaves the fast path as it was, and so the numbers
        assert torch.backends.mha.get_fastpath_enabled()
        torch.testing.assert_close(count_macs(layer, x)[0], layer(x))


def test_what_is_skipped_is_not_counted() -> None:
    big, small = nn.Linear(10, 10), nn.Linear(10, 1)

    def choose(x: torch.Tensor) -> torch.Tensor:
        return big(x) if x.sum() > 0 else small(x)

    assert macs(choose, torch.ones(1, 10)) == 100
    assert macs(choose, -torch.ones(1, 10)) == 10
    assert macs(torch.relu, torch.ones(1, 10)) == 0


def test_a_polynomial_gives_the_count_for_every_length() -> None:
    weight = torch.rand(5, 8)

    def attend(length: int) -> torch.Tensor:
        x = torch.rand(length, 5)
        return x @ x.T @ x @ weight + torch.rand(1, 3) @ torch.rand(3, 8)

    count = count_macs_by_length(attend)
    for length in (1, 2, 3, 4, 50):
        assert count(length) == 2 * length * length * 5 + length * 5 * 8 + 3 * 8


def test_the_macs_of_any_length_after_any_memory_from_six_counts() -> None:
    weight = torch.ones(4, 4)

    def attend(new: int, cached: int) -> torch.Tensor:
        rows, past = torch.ones(new, 4) @ weight, torch.ones(new + cached, 4)
        return rows @ past.T @ past

    tell = count_macs_by_memory(attend)
    for new, cached in ((1, 0), (1, 500), (7, 0), (9, 40)):
        want = 4 * 4 * new + 2 * 4 * new * (new + cached)
        assert tell(new, cached) == count_macs(attend, new, cached)[1] == want
