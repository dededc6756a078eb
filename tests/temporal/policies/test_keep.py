"""Which tokens stay: by rank, by number and by threshold."""

from __future__ import annotations

import math

import pytest
import torch

from temporal.policies.keep import kept_counts, most_significant, ranks, soft_threshold

SCORES = torch.tensor([[0.1, 0.5, 0.2, 0.5], [0.3, math.inf, 0.9, 9.0]])
MASK = torch.tensor([[True, True, True, True], [True, True, True, False]])


def test_ranks_count_from_the_largest_score_and_padding_comes_last() -> None:
    assert ranks(SCORES, MASK).tolist() == [[3, 0, 2, 1], [2, 0, 1, 3]]


def test_the_most_significant_stay_and_padding_never_does() -> None:
    kept = most_significant(SCORES, MASK, torch.tensor([2, 4]))
    assert kept.tolist() == [[False, True, False, True], [True, True, True, False]]


@pytest.mark.parametrize(
    ("kept", "counts"),
    [
        (1.0, [1, 3, 10, 33]),
        (0.5, [1, 2, 5, 17]),
        (1 / 3, [1, 1, 4, 11]),
        (0.01, [1, 1, 1, 1]),
        (8, [1, 3, 8, 8]),
    ],
)
def test_a_schedule_holds_shares_or_numbers(kept: float, counts: list[int]) -> None:
    assert kept_counts(kept, torch.tensor([1, 3, 10, 33])).tolist() == counts


def test_a_soft_threshold_is_a_sigmoid_around_it() -> None:
    scores = torch.tensor([0.02, 0.03, 0.05])
    soft = soft_threshold(scores, torch.tensor(0.03), 0.01)
    want = [1 / (1 + math.exp(1)), 0.5, 1 / (1 + math.exp(-2))]
    torch.testing.assert_close(soft, torch.tensor(want))
    cold = soft_threshold(scores, torch.tensor(0.04), 1e-5)
    torch.testing.assert_close(cold, (scores > 0.04).float())
