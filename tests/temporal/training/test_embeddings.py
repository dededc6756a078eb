"""Reduced embedding tables keep the directions that matter."""

from __future__ import annotations

import pytest
import torch

from temporal.training.embeddings import reduce_embeddings


def test_distances_survive_where_the_table_has_no_other_directions() -> None:
    basis, _ = torch.linalg.qr(torch.randn(20, 3))
    table = torch.randn(50, 3) * torch.tensor([5.0, 3.0, 1.0]) @ basis.T + 7
    reduced = reduce_embeddings(table, 3)
    ratio = torch.pdist(reduced) / torch.pdist(table)
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=0)


def test_columns_are_centred_sorted_and_scaled() -> None:
    reduced = reduce_embeddings(torch.randn(200, 12) * torch.arange(1, 13) + 4, 5, std=0.3)
    assert reduced.shape == (200, 5) and reduced.dtype == torch.float32
    torch.testing.assert_close(reduced.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(reduced.std(), torch.tensor(0.3))
    spread = reduced.std(0).tolist()
    assert spread == sorted(spread, reverse=True)
    covariance = reduced.T @ reduced
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-3 * covariance.max()


def test_a_half_precision_table_is_reduced_in_single() -> None:
    assert reduce_embeddings(torch.randn(30, 8).half(), 2).dtype == torch.float32


def test_a_table_cannot_grow() -> None:
    with pytest.raises(ValueError, match=r"size \(9\) must be <= the table's width \(8\)"):
        reduce_embeddings(torch.randn(30, 8), 9)
