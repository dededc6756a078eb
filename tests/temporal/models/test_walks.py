"""What holds for every reader that chooses its own way through a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from temporal.engine import Engine
from temporal.models import READERS
from temporal.models.checks import NonFiniteError
from temporal.models.configuration_recurrent import POOLINGS

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}

OPTIONS: dict[str, dict[str, Any]] = {
    "lstm_jump": {"tokens_between_jumps": 3, "max_jump": 6, "max_jumps": 4},
    "lstm_shuttle": {"tokens_between_jumps": 3, "max_jump": 6, "max_back": 4, "max_jumps": 5},
    "structural_jump_lstm": {
        "agent_size": 5,
        "clause_token_ids": [10, 11, 12, 13, 14],
        "sentence_token_ids": [15, 16, 17, 18],
        "reading_cost": 0.5,
    },
    "jumper": {"tokens_between_decisions": 4, "stop_threshold": 0.6},
}
"""Of each reader, so that untrained it reads some tokens and leaves others out."""

EACH = pytest.mark.parametrize("name", list(OPTIONS))
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


def make(name: str, *, kernels: bool = True, **config: Any) -> Any:
    """A reader whose untrained policy is not timid."""
    kind: Any = READERS[name]
    reader = kind(kind.config_class(**{**SIZES, **OPTIONS[name], **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        for part, weight in reader.named_parameters():
            if "policy" in part:
                weight.mul_(3 if weight.dim() > 1 else 0)
    return reader


@EACH
@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_reading_equals_the_dense_reference(
    name, pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = make(name, pooling=pooling, cell=cell, kernels=kernels)
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
@pytest.mark.parametrize("cohort", [1, 3, 8])
@pytest.mark.parametrize("max_in_flight", [1, 3, 64])
def test_any_batch_and_any_order_equals_one_by_one(
    name, cohort, max_in_flight, random_words, read_all
) -> None:
    reader = make(name, pooling="max")
    documents = random_words(LENGTHS)
    alone = [reader(doc) for doc in documents]
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.read == alone[k].trace.read
        assert outcome.trace.skimmed == alone[k].trace.skimmed
        assert outcome.trace.halted_at == alone[k].trace.halted_at
        assert outcome.trace.cost.macs == alone[k].trace.cost.macs


@EACH
def test_the_same_inputs_twice_give_the_same_bits(name, random_words, read_all) -> None:
    reader = make(name)
    documents = random_words(LENGTHS)
    first, second = (read_all(reader, [documents[:4], documents[4:]]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.value, b.value) and a.trace.read == b.trace.read


@EACH
@WAYS
def test_tokens_that_are_passed_over_are_not_touched(name, kernels, words) -> None:
    reader = make(name, kernels=kernels)
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
def test_a_trace_says_where_the_reading_halted(name, random_words) -> None:
    reader = make(name)
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
def test_documents_longer_than_the_limit_are_cut_and_say_so(name, random_words) -> None:
    reader = make(name, max_tokens=6)
    long, short = random_words((9, 6))
    outcome = reader(long)
    short.ids = long.ids[:6]
    assert outcome.trace.truncated and not reader(short).trace.truncated
    assert torch.equal(outcome.value, reader(short).value)
    assert outcome.trace.units_total == 9
    assert max(outcome.trace.read + outcome.trace.skimmed) <= 5


@EACH
@WAYS
def test_only_the_document_with_nan_fails(name, kernels, random_words) -> None:
    reader = make(name, kernels=kernels)
    documents = random_words((5, 6, 7), 99)
    documents[1].ids[0] = 99
    with torch.no_grad():
        reader.embedding.weight[99] = math.nan
    outcomes = list(Engine(4).run(reader.read, [documents]))
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        NonFiniteError,
        type(None),
    ]


@EACH
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_reach_every_parameter(name, cell, pooling) -> None:
    reader = make(name, pooling=pooling, cell=cell).train()
    lengths = torch.randint(3, 31, (32, 1))
    ids = torch.randint(3, 100, (32, 30))
    mask = (torch.arange(30) < lengths).long()
    reader(ids, mask, labels=torch.arange(32) % 2).loss.backward()
    for part, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, part


@pytest.mark.parametrize("name", ["lstm_jump", "lstm_shuttle", "structural_jump_lstm"])
def test_training_takes_other_ways_each_time(name) -> None:
    reader = make(name).train()
    ids = torch.randint(3, 100, (8, 30))
    shares = {tuple(reader(ids).read_share.tolist()) for _ in range(4)}
    assert len(shares) > 1


@EACH
def test_padding_changes_nothing(name, random_words, padded) -> None:
    reader = make(name, pooling="max")
    documents = random_words((4, 19))
    ids, mask = padded(documents)
    ids[0, 4:] = 77
    alone = reader(documents[0].ids[None])
    both = reader(ids, mask)
    torch.testing.assert_close(both.logits[0], alone.logits[0], atol=1e-6, rtol=0)
    assert both.read_share[0] == alone.read_share[0]


@EACH
def test_saving_keeps_outputs_and_ways(name, tmp_path: Path, random_words, read_all) -> None:
    reader = make(name, pooling="max", id2label={0: "bad", 1: "fair", 2: "good"})
    reader.save_pretrained(tmp_path)
    loaded = READERS[name].from_pretrained(tmp_path)
    documents = random_words(LENGTHS)
    assert loaded.config.id2label[2] == "good"
    for a, b in zip(read_all(reader, [documents]), read_all(loaded, [documents]), strict=True):
        # Loaded weights lie elsewhere in memory, and products round by alignment.
        torch.testing.assert_close(a.value, b.value, atol=1e-6, rtol=0)
        assert a.trace.read == b.trace.read


@EACH
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    name, tmp_path: Path
) -> None:
    reader = make(name)
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


@EACH
def test_untrained_cells_remember_unless_told_not_to(name) -> None:
    kind: Callable[..., Any] = READERS[name]
    reader = kind(READERS[name].config_class(**SIZES, **OPTIONS[name]))
    assert reader.read_input.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32
