"""What holds for every reader that chooses its own way through a text, beside all laws."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from temporal.models import READERS
from temporal.models.recurrent.configuration import POOLINGS

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
NAMES = ("lstm_jump", "lstm_shuttle", "structural_jump_lstm", "jumper")
EACH = pytest.mark.parametrize("name", NAMES)
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


@EACH
@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_reading_equals_the_dense_reference(
    recurrent_reader, name, pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = recurrent_reader(name, pooling=pooling, cell=cell, kernels=kernels)
    documents = random_words(LENGTHS)
    dense = reader(*padded(documents))
    assert dense.logits.requires_grad
    with torch.no_grad():
        fast = reader(*padded(documents))
    torch.testing.assert_close(fast.logits, dense.logits, atol=1e-5, rtol=0)
    assert fast.read_share.tolist() == dense.read_share.tolist()
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, dense.logits, atol=1e-5, rtol=0)
    shares = [outcome.trace.share_read for outcome in outcomes]
    assert shares == pytest.approx(dense.read_share.tolist())
    assert 0 < sum(shares) < len(shares)  # the test would say little if all were read


@EACH
@WAYS
def test_tokens_that_are_passed_over_are_not_touched(
    recurrent_reader, name, kernels, words
) -> None:
    reader = recurrent_reader(name, kernels=kernels)
    documents = [words(torch.randperm(97)[:30] + 3) for _ in range(6)]  # no token twice
    passed_over = 0
    for document in documents:
        before = reader(document)
        touched = before.trace.read + before.trace.skimmed
        left_out = sorted(set(range(len(document))) - set(touched))
        passed_over += len(left_out)
        kept = reader.embedding.weight.clone()
        with torch.no_grad():
            reader.embedding.weight[document.ids[left_out]] = math.nan
        after = reader(document)
        with torch.no_grad():
            reader.embedding.weight.copy_(kept)
        torch.testing.assert_close(after.value, before.value, atol=1e-6, rtol=0)
    assert passed_over > 10


@EACH
def test_a_trace_says_where_the_reading_halted(recurrent_reader, name, random_words) -> None:
    reader = recurrent_reader(name)
    halts = []
    for document in random_words([30] * 12):
        trace = reader(document).trace
        touched = trace.read + trace.skimmed
        assert len(set(touched)) == len(touched)
        halts.append(trace.halted)
        if trace.halted:
            assert max(touched) < len(document) - 1 and trace.halted_at in touched
        else:
            assert max(touched) == len(document) - 1
    assert any(halts)


@EACH
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_reach_every_parameter(recurrent_reader, name, cell, pooling) -> None:
    reader = recurrent_reader(name, pooling=pooling, cell=cell).train()
    lengths = torch.randint(3, 31, (32, 1))
    ids = torch.randint(3, 100, (32, 30))
    mask = (torch.arange(30) < lengths).long()
    reader(ids, mask, labels=torch.arange(32) % 2).loss.backward()
    for part, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, part


@pytest.mark.parametrize("name", ["lstm_jump", "lstm_shuttle", "structural_jump_lstm"])
def test_training_takes_other_ways_each_time(recurrent_reader, name) -> None:
    reader = recurrent_reader(name).train()
    ids = torch.randint(3, 100, (8, 30))
    shares = {tuple(reader(ids).read_share.tolist()) for _ in range(4)}
    assert len(shares) > 1


@EACH
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    recurrent_reader, name, tmp_path: Path
) -> None:
    reader = recurrent_reader(name)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.copy_(100 + torch.randn_like(parameter))
    plain = ("embedding", "read_input", "read_hidden")
    kept = {k: v for k, v in reader.state_dict().items() if k.startswith(plain)}
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = READERS[name].from_pretrained(tmp_path)
    for part, value in loaded.state_dict().items():
        if part in kept:
            assert torch.equal(value, kept[part]), part
        else:
            assert torch.isfinite(value).all() and value.abs().max() <= 7, part
            assert "weight" not in part or value.std() > 0.01, part
    assert not loaded.classifier.bias.any()
