"""Packed sequences are joined, split and thinned out, and no unit changes its sequence."""

from __future__ import annotations

import torch

from temporal.packed import Packed

LETTERS = [torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0]]), torch.tensor([[5.0], [6.0]])]


def test_sequences_lie_end_to_end() -> None:
    packed = Packed.of(LETTERS)
    assert (len(packed), packed.lengths) == (3, (3, 1, 2))
    assert packed.values.flatten().tolist() == [1, 2, 3, 4, 5, 6]
    for sequence, want in zip(packed.sequences(), LETTERS, strict=True):
        assert torch.equal(sequence, want)


def test_splitting_undoes_joining() -> None:
    parts = [Packed.of(LETTERS[:2]), Packed.of(LETTERS[2:])]
    joined = Packed.join(parts)
    assert torch.equal(joined.values, Packed.of(LETTERS).values)
    for part, want in zip(joined.split([2, 1]), parts, strict=True):
        assert part.lengths == want.lengths and torch.equal(part.values, want.values)


def test_rows_and_units_are_chosen_in_order() -> None:
    packed = Packed.of(LETTERS)
    chosen = packed.select([2, 0])
    assert chosen.lengths == (2, 3)
    assert chosen.values.flatten().tolist() == [5, 6, 1, 2, 3]
    kept = packed.keep(torch.tensor([True, False, True, True, False, True]))
    assert kept.lengths == (2, 1, 1)
    assert kept.values.flatten().tolist() == [1, 3, 4, 6]


def test_padding_puts_zeros_at_the_end() -> None:
    padded = Packed.of(LETTERS).padded()
    assert padded[..., 0].tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0]]
