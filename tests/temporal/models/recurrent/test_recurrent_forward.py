"""What `forward` of every recurrent reader takes, refuses, and means by its loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from temporal.models import READERS
from temporal.models.recurrent.readers import RecurrentReader

RECURRENT = [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]
READER = pytest.mark.parametrize("name", RECURRENT)
WAYS = pytest.mark.parametrize("way", ["kernel", "torch", "gradients", "training"])
IDS = torch.randint(3, 100, (3, 9), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(9) < torch.tensor([[9], [1], [4]])).long()
LABELS = torch.tensor([0, 1, 1])


def call(name: str, way: str, *batch: Any) -> Any:
    torch.manual_seed(0)
    reader_class: Any = READERS[name]
    sizes = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
    reader = reader_class(reader_class.config_class(**sizes)).train(way == "training")
    reader.uses_kernels = way == "kernel"
    with torch.set_grad_enabled(way in ("gradients", "training")):
        return reader(*batch)


@READER
@WAYS
@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        (IDS[:0], None, r"input_ids \(0, 9\) must be \[B, T\] with B and T >= 1"),
        (IDS[:, :0], None, r"input_ids \(3, 0\) must be"),
        (IDS[0], None, r"input_ids \(9,\) must be"),
        (IDS, MASK[:2], r"attention_mask \(2, 9\) must have the shape of input_ids \(3, 9\)"),
        (IDS, MASK * torch.tensor([[1], [0], [1]]), "at least one"),
        (IDS, MASK.flip(1), "pad at the end"),
        (IDS, MASK / 2, "must be 1 for a row's tokens"),
    ],
)
def test_what_is_no_batch_is_refused_in_clear_words(ids, mask, message, way, name) -> None:
    with pytest.raises(ValueError, match=message):
        call(name, way, ids, mask, LABELS[: len(ids)])


@READER
@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int32])
def test_masks_may_be_of_any_type(dtype, way, name) -> None:
    want, got = (call(name, way, IDS, mask, LABELS) for mask in (MASK, MASK.to(dtype)))
    assert torch.equal(got.logits, want.logits) and torch.equal(got.loss, want.loss)
    assert torch.equal(got.read_share, want.read_share)


@READER
@pytest.mark.parametrize("way", ["kernel", "torch", "gradients"])
def test_in_evaluation_the_loss_is_cross_entropy_alone(way, name) -> None:
    output = call(name, way, IDS, MASK, LABELS)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, LABELS))
