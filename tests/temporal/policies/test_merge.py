"""Bipartite soft matching, and the mean that it makes of tokens."""

from __future__ import annotations

import torch

from temporal.policies.merge import merge_into, merged_in_layer, most_alike


def test_the_most_similar_pairs_are_merged() -> None:
    """A holds tokens 0, 2, 4; B holds 1 and 3."""
    keys = torch.tensor([[[1.0, 0.0], [0.0, 5.0], [0.1, 1.0], [1.0, 1.0], [3.0, 3.0]]])
    going, taking = most_alike(keys, 2)  # cosines: 0-3 0.71, 2-1 0.995, 4-3 1.0
    assert going.tolist() == [[4, 2]] and taking.tolist() == [[3, 1]]


def test_a_merged_token_is_the_mean_of_the_patches_that_it_stands_for() -> None:
    hidden, sizes = torch.tensor([[2.0], [2.0], [5.0], [5.0]]), torch.tensor([1.0, 3.0, 2.0, 1.0])
    merged, new = merge_into(hidden, sizes, torch.tensor([0, 2]), torch.tensor([1, 1]))
    assert new[[1, 3]].tolist() == [6.0, 1.0]
    assert merged[[1, 3], 0].tolist() == [(2 + 3 * 2 + 2 * 5) / 6, 5.0]


def test_merging_conserves_the_sum_over_patches() -> None:
    torch.manual_seed(0)
    hidden, sizes = torch.randn(20, 4), torch.randint(1, 5, (20,)).float()
    going, taking = (numbers.flatten() for numbers in most_alike(torch.randn(1, 20, 6), 7))
    merged, new = merge_into(hidden, sizes, going, taking)
    kept = torch.ones(20, dtype=torch.bool)
    kept[going] = False
    assert new[kept].sum() == sizes.sum()
    want = (hidden * sizes[:, None]).sum(0)
    torch.testing.assert_close((merged * new[:, None])[kept].sum(0), want)


def test_each_layer_merges_about_as_many_until_the_share_is_left() -> None:
    left, lefts = 100, []
    for layer in range(4):
        left -= merged_in_layer(layer, 4, 100, left, 0.5)
        lefts.append(left)
    assert lefts == [88, 75, 62, 50]
    assert merged_in_layer(0, 4, 100, 100, 1.0) == 0
    assert merged_in_layer(0, 1, 100, 100, 0.1) == 50  # at most half
    assert merged_in_layer(3, 4, 1, 1, 0.0) == 0
