"""AdaptiveComputationTime: steps, halting sums, mean states, the ponder cost, and the laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from temporal.models import AdaptiveComputationTime, AdaptiveComputationTimeConfig
from temporal.models.recurrent.configuration import POOLINGS

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])


def make(*, kernels: bool = True, **config: Any) -> AdaptiveComputationTime:
    """A reader whose tokens take one step to five."""
    reader = AdaptiveComputationTime(AdaptiveComputationTimeConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        reader.policy.weight.mul_(5)
        reader.policy.bias.zero_()
        reader.flag_input.weight.normal_()
    return reader


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_reading_equals_the_dense_reference(
    pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = make(pooling=pooling, cell=cell, kernels=kernels)
    documents = random_words(LENGTHS)
    dense = reader(*padded(documents))
    assert dense.logits.requires_grad
    with torch.no_grad():
        fast = reader(*padded(documents))
    torch.testing.assert_close(fast.logits, dense.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(fast.read_share, dense.read_share)
    assert 1.2 < fast.read_share.mean() < 4.8  # steps of a token
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, dense.logits, atol=1e-5, rtol=0)
    assert all(outcome.trace.share_read == 1 for outcome in outcomes)


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_step_for_every_token_is_the_plain_network(
    pooling, cell, kernels, random_words, plain_logits
) -> None:
    for settings in ({"halt_threshold": 0.0}, {"max_steps": 1}):
        reader = make(kernels=kernels, pooling=pooling, cell=cell, **settings)
        with torch.no_grad():
            reader.flag_input.weight.zero_()
        for document in random_words((1, 9, 30)):
            want = plain_logits(reader, document.ids)
            torch.testing.assert_close(reader(document).value, want, atol=1e-5, rtol=0)


@torch.no_grad()
def ponder(reader: AdaptiveComputationTime, ids: torch.Tensor) -> tuple[Any, list[int], float]:
    """Equations 5 to 13 for one document, one scalar after another."""
    h, c = torch.zeros(1, 16), torch.zeros(1, 16)
    steps, cost = [], 0.0
    for token in ids:
        inner = (h, c)
        halts: list[float] = []
        states = []
        while True:
            gates = reader.read_input(reader.embedding(token[None]))
            if not halts:
                gates = gates + reader.flag_input.weight.T
            gates = gates + reader.read_hidden(inner[0])
            i, f, g, o = gates.chunk(4, 1)
            cell = f.sigmoid() * inner[1] + i.sigmoid() * g.tanh()
            inner = (o.sigmoid() * cell.tanh(), cell)
            states.append(inner)
            halts.append(reader.policy(inner[0]).sigmoid().item())
            if sum(halts) >= reader.config.halt_threshold or len(halts) == reader.config.max_steps:
                break
        remainder = 1 - sum(halts[:-1])
        weights = [*halts[:-1], remainder]
        h = sum(w * s[0] for w, s in zip(weights, states, strict=True))
        c = sum(w * s[1] for w, s in zip(weights, states, strict=True))
        steps.append(len(halts))
        cost += len(halts) + remainder
    return reader.classifier(h)[0], steps, cost


@WAYS
def test_steps_states_and_ponder_cost_are_those_of_the_equations(kernels, words) -> None:
    reader = make(kernels=kernels, ponder_weight=0.25, halt_threshold=0.8, max_steps=4)
    ids = torch.randint(3, 100, (25,))
    want, steps, cost = ponder(reader, ids)
    assert len(set(steps)) > 2
    outcome = reader(words(ids))
    torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
    gates, H, D = 4, 16, 12
    by_input = 0 if kernels else 25 * gates * H * D
    assert outcome.trace.cost.macs == by_input + sum(steps) * (gates * H * H + H) + 2 * H
    label = torch.tensor([1])
    loss = reader.train()(ids[None], labels=label).loss
    assert loss.item() == pytest.approx(
        F.cross_entropy(want[None], label).item() + 0.25 * cost, abs=1e-4
    )
    assert reader.dense_macs(25) == by_input + 25 * 4 * gates * H * H + 2 * H


def test_a_lower_threshold_takes_fewer_steps(random_words, read_all) -> None:
    reader = make(max_steps=9)
    documents = random_words(LENGTHS)
    macs = []
    for threshold in (1.0, 0.9, 0.6, 0.0):
        reader.set_policy("halt", threshold)
        macs.append(sum(o.trace.cost.macs for o in read_all(reader, [documents])))
    assert macs == sorted(macs, reverse=True) and len(set(macs)) == 4


@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_reach_every_parameter(cell, pooling) -> None:
    reader = make(pooling=pooling, cell=cell).train()
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3], [9]])).long()
    ids = torch.randint(3, 100, (4, 12))
    reader(ids, mask, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    for part, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, part


def test_it_starts_as_the_plain_network_from_its_weights(tmp_path: Path) -> None:
    """What a plain network's checkpoint lacks: no flag, and few steps."""
    reader = make()
    plain = ("embedding", "read_input", "read_hidden", "classifier")
    kept = {k: v for k, v in reader.state_dict().items() if k.startswith(plain)}
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = AdaptiveComputationTime.from_pretrained(tmp_path)
    for part, value in loaded.state_dict().items():
        assert part not in kept or torch.equal(value, kept[part]), part
    assert not loaded.flag_input.weight.any() and loaded.policy.bias == 1
    assert 0.01 < loaded.policy.weight.std() < 1
    untrained = AdaptiveComputationTime(AdaptiveComputationTimeConfig(**SIZES))
    assert untrained.read_input.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32


@pytest.mark.parametrize(
    ("name", "threshold", "message"),
    [
        ("read", 0.5, r"policy \('read'\) must be one of \['halt'\]"),
        ("halt", None, "needs a threshold"),
        ("halt", 2.0, r"threshold \(2.0\) must be between"),
    ],
)
def test_a_wrong_policy_is_refused(name, threshold, message) -> None:
    with pytest.raises(ValueError, match=message):
        make().set_policy(name, threshold)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"halt_threshold": 1.5}, r"halt_threshold \(1.5\) must be between 0"),
        ({"max_steps": 0}, r"max_steps \(0\) must be between 1"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        AdaptiveComputationTimeConfig(**config)
