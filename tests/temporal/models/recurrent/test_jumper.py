"""Jumper: when it decides, when it stops, its cost, and the gradient of its policy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from temporal.models import Jumper, JumperConfig
from temporal.models.recurrent.configuration import POOLINGS

POINT = 90
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16, "sentence_token_ids": [POINT]}
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])


def make(*, kernels: bool = True, **config: Any) -> Jumper:
    reader = Jumper(JumperConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        reader.wait_policy.bias.zero_()
    return reader


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_at_threshold_1_it_is_the_plain_network(
    pooling, cell, kernels, random_words, plain_logits
) -> None:
    reader = make(
        kernels=kernels, pooling=pooling, cell=cell, stop_threshold=1.0, tokens_between_decisions=1
    )
    for document in random_words((1, 9, 70)):
        outcome = reader(document)
        want = plain_logits(reader, document.ids)
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)
        assert outcome.trace.share_read == 1 and not outcome.trace.halted


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_stops_at_the_first_point_where_the_classes_outweigh_waiting(
    pooling, cell, kernels, random_words, plain_logits
) -> None:
    """Against the plain network on every beginning of the text that ends at a point."""
    reader = make(kernels=kernels, pooling=pooling, cell=cell, tokens_between_decisions=5)
    with torch.no_grad():
        reader.classifier.weight.mul_(5)
        reader.wait_policy.bias.fill_(1.2)
    lengths = []
    for document in random_words([80] * 8):
        for length in (*range(5, 80, 5), 80):
            logits = plain_logits(reader, document.ids[:length])
            kept = reader.classifier
            reader.classifier = reader.wait_policy  # the same state, seen by the other layer
            wait = plain_logits(reader, document.ids[:length])
            reader.classifier = kept
            if torch.cat([logits, wait]).softmax(0)[:2].sum() > 0.5:
                break
        outcome = reader(document)
        assert list(outcome.trace.read) == list(range(length))
        torch.testing.assert_close(outcome.value, logits, atol=1e-5, rtol=0)
        assert outcome.trace.halted_at == (length - 1 if length < 80 else None)
        lengths.append(length)
    assert len(set(lengths)) > 1 and min(lengths) < 80


@WAYS
def test_with_0_tokens_it_decides_after_each_sentence(kernels, words) -> None:
    reader = make(kernels=kernels, tokens_between_decisions=0)
    with torch.no_grad():
        reader.wait_policy.bias.fill_(-100.0)
    text = torch.tensor([3, 4, 5, POINT, 6, POINT, 7])
    assert reader(words(text)).trace.read == (0, 1, 2, 3)
    assert reader(words(text[:3])).trace.read == (0, 1, 2)


@CELLS
def test_the_cost_is_the_hand_count_of_what_ran(cell, words) -> None:
    gates, H, D = {"lstm": 4, "gru": 3}[cell], 16, 12
    document = words(torch.arange(3, 43))
    reader = make(cell=cell, tokens_between_decisions=10)
    with torch.no_grad():
        reader.wait_policy.bias.fill_(100.0)
    # Points after 10, 20 and 30 tokens; at the end there is nothing to decide.
    cost = reader(document).trace.cost
    assert cost.macs == 40 * gates * H * H + 3 * 3 * H + 2 * H
    with torch.no_grad():
        reader.wait_policy.bias.fill_(-100.0)
    assert reader(document).trace.cost.macs == 10 * gates * H * H + 3 * H + 2 * H
    reader.uses_kernels = False  # a block of 32 is computed at once, and decided on everywhere
    trace = reader(document).trace
    assert trace.units_read == 10
    assert trace.cost.macs == 32 * (gates * H * (H + D) + 3 * H) + 2 * H


def test_a_lower_threshold_reads_less(random_words, read_all) -> None:
    reader = make(tokens_between_decisions=2, pooling="max")
    documents = random_words([40] * 8)
    read = []
    for threshold in (1.0, 0.8, 0.7, 0.6, 0.0):
        reader.set_policy("stop", threshold)
        read.append(sum(o.trace.units_read for o in read_all(reader, [documents])))
    assert read[0] == 320 and read[-1] == 16
    assert read == sorted(read, reverse=True) and len(set(read)) > 2


def test_the_loss_weighs_every_ending_by_its_probability() -> None:
    """Five tokens and points after the second and the fourth: three endings, by hand."""
    reader = make(tokens_between_decisions=2, reading_cost=0.5, policy_weight=0.3).train()
    ids, label = torch.tensor([[5, 60, 7, 31, 44]]), torch.tensor([1])
    reader.eval()
    reader.config.stop_threshold = 1.0
    endings = [2, 4, 5]
    logits = torch.cat([reader(ids[:, :n]).logits for n in endings])
    states = torch.cat([reader._halt(ids[:, :n], torch.tensor([n]), n)[0] for n in endings])
    stop = (logits.logsumexp(-1) - reader.wait_policy(states).squeeze(1)).sigmoid()
    p = torch.stack([stop[0], (1 - stop[0]) * stop[1], (1 - stop[0]) * (1 - stop[1])])
    reward = (logits.argmax(-1) == 1) * (1 - 0.5 * torch.tensor(endings) / 5)
    errors = F.cross_entropy(logits, label.expand(3), reduction="none")
    want = (p * errors).sum() - 0.3 * (p * reward).sum().clamp(min=1e-6).log()
    output = reader.train()(ids, labels=label)
    torch.testing.assert_close(output.loss, want)
    torch.testing.assert_close(output.read_share[0], (p * torch.tensor([0.4, 0.8, 1.0])).sum())


def test_training_learns_when_it_knows_enough() -> None:
    """Half of the texts tell their label in the first two tokens, half in the last ones."""
    torch.manual_seed(2)
    reader = Jumper(
        JumperConfig(**SIZES, pooling="max", tokens_between_decisions=2, reading_cost=0.3)
    ).train()
    optimizer = torch.optim.Adam(reader.parameters(), 0.01)
    for _ in range(150):
        labels, early = torch.randint(0, 2, (64,)), torch.arange(64) < 32
        ids = torch.randint(10, 90, (64, 12))
        ids[torch.arange(64), torch.where(early, 1, 10)] = 3 + labels
        optimizer.zero_grad()
        reader(ids, labels=labels).loss.backward()
        optimizer.step()
    output = reader.eval()(ids)
    assert (output.logits.argmax(-1) == labels).float().mean() > 0.95
    assert output.read_share[early].mean() < 0.4 and output.read_share[~early].mean() > 0.8


@pytest.mark.parametrize(
    ("name", "threshold", "message"),
    [
        ("read", 0.5, r"policy \('read'\) must be one of \['stop'\]"),
        ("stop", None, "needs a threshold"),
        ("stop", 2.0, r"threshold \(2.0\) must be between"),
    ],
)
def test_a_wrong_policy_is_refused(name, threshold, message) -> None:
    with pytest.raises(ValueError, match=message):
        make().set_policy(name, threshold)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tokens_between_decisions": -1}, r"tokens_between_decisions \(-1\) must be between 0"),
        ({"stop_threshold": 1.5}, r"stop_threshold \(1.5\) must be between 0"),
        ({"reading_cost": 2}, r"reading_cost \(2\) must be between 0"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        JumperConfig(**config)
