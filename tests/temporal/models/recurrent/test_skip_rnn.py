"""SkipRNN: the increments of the paper, the jumps they allow, and the laws."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from temporal.checks import NonFiniteError
from temporal.models import SkipRNN, SkipRNNConfig
from temporal.models.recurrent.configuration import POOLINGS

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}

WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


def make(*, kernels: bool = True, **config) -> SkipRNN:
    """A reader whose untrained policy jumps by one to some ten tokens."""
    reader = SkipRNN(SkipRNNConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        reader.policy.weight.mul_(6)
        reader.policy.bias.fill_(-1.5)
    return reader


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("threshold", [0.3, 0.5, 1.0])
def test_jumping_equals_updating_and_discarding_at_every_token(
    threshold, pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = make(pooling=pooling, cell=cell, kernels=kernels, read_threshold=threshold)
    documents = random_words(LENGTHS)
    dense = reader(*padded(documents))
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, dense.logits, atol=1e-5, rtol=0)
    shares = [outcome.trace.share_read for outcome in outcomes]
    assert shares == pytest.approx(dense.read_share.tolist())
    assert 0.1 < sum(shares) / len(shares) < 0.9  # the test would say little if all were read
    with torch.no_grad():
        fast = reader(*padded(documents))
    if kernels:
        torch.testing.assert_close(fast.logits, got, atol=1e-6, rtol=0)
        assert fast.read_share.tolist() == pytest.approx(shares)


def test_the_dense_reference_is_the_paper_written_out() -> None:
    reader = make(cell="lstm", pooling="last")
    ids = torch.randint(3, 100, (25,))
    h = c = torch.zeros(16)
    due, read = 1.0, []
    with torch.no_grad():
        for t, x in enumerate(reader.embedding(ids)):
            gates = reader.read_input(x) + reader.read_hidden.weight @ h
            i, f, g, o = gates.chunk(4)
            new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            u = float(due >= 0.5)  # equation 2: round
            c = u * new_c + (1 - u) * c  # equation 1
            h = u * o.sigmoid() * new_c.tanh() + (1 - u) * h
            increment = float((reader.policy.weight[0] @ c + reader.policy.bias[0]).sigmoid())
            due = u * increment + (1 - u) * (due + min(increment, 1 - due))  # equation 4
            read += [t] * int(u)
        want = reader.classifier(h)
    torch.testing.assert_close(reader(ids[None]).logits[0], want, atol=1e-5, rtol=0)
    assert 1 < len(read) < 25
    assert reader(ids[None]).read_share.item() == pytest.approx(len(read) / 25)


@WAYS
def test_skipped_tokens_are_not_touched(kernels, random_words, words) -> None:
    reader = make(kernels=kernels, vocab_size=200)
    (doc,) = random_words([30])
    plain = reader(doc)
    unread = sorted(set(range(30)) - set(plain.trace.read))
    assert unread and plain.trace.skimmed == ()
    poisoned = words(doc.ids.clone())
    poisoned.ids[unread] = 199
    with torch.no_grad():
        reader.embedding.weight[199] = math.nan
    assert torch.equal(reader(poisoned).value, plain.value)
    poisoned.ids[list(plain.trace.read)[-1]] = 199
    with pytest.raises(NonFiniteError):
        reader(poisoned)


@WAYS
@CELLS
def test_cost_is_the_hand_count_of_what_ran(cell, kernels, random_words, read_all) -> None:
    reader = make(cell=cell, kernels=kernels)
    gates, D, H = {"lstm": 4, "gru": 3}[cell], 12, 16
    documents = random_words((20, 13, 30))
    outcomes = read_all(reader, [documents])
    assert reader.run.rows == 3 * kernels
    for outcome in outcomes:
        # The kernel looks the input's share up; elsewhere it is computed.
        per_read = gates * H * (H if kernels else H + D) + H
        assert outcome.trace.cost.macs == outcome.trace.units_read * per_read + H * 2
    assert sum(o.trace.units_read for o in outcomes) < 63
    assert reader.dense_macs(20) == 20 * (per_read - H) + H * 2
    if not kernels:
        assert reader.read_stage.rows == sum(o.trace.units_read for o in outcomes)


def test_in_lockstep_there_are_as_many_steps_as_the_longest_path_has_reads(
    random_words, read_all
) -> None:
    reader = make(kernels=False)
    outcomes = read_all(reader, [random_words(LENGTHS)])
    assert reader.read_stage.calls == max(outcome.trace.units_read for outcome in outcomes) < 30


@WAYS
@pytest.mark.parametrize(("threshold", "jump"), [(0.0, 1), (0.2, 1), (0.3, 2), (0.5, 3), (1.0, 5)])
def test_the_threshold_is_what_the_increments_must_add_up_to(
    threshold, jump, kernels, random_words
) -> None:
    reader = make(kernels=kernels)
    with torch.no_grad():
        reader.policy.weight.zero_()
        reader.policy.bias.copy_(torch.tensor(0.21).logit())
    reader.set_policy("read", threshold)
    assert reader(random_words([22])[0]).trace.read == tuple(range(0, 22, jump))


def test_loss_is_cross_entropy_plus_lambda_for_each_token_read() -> None:
    reader = make(update_loss_weight=0.01)
    ids, labels = torch.randint(3, 100, (3, 20)), torch.tensor([1, 0, 1])
    mask = (torch.arange(20) < torch.tensor([[20], [9], [14]])).long()
    output = reader.train()(ids, mask, labels)
    num_read = (output.read_share * mask.sum(1)).mean()
    assert 1 < num_read < 14
    want = F.cross_entropy(output.logits, labels) + 0.01 * num_read
    torch.testing.assert_close(output.loss, want)


def test_paying_for_reads_teaches_to_skip() -> None:
    """Untrained, nearly every token is read; the straight-through gradient must undo that."""
    torch.manual_seed(0)
    reader = SkipRNN(SkipRNNConfig(**SIZES, update_loss_weight=1.0)).train()
    ids, labels = torch.randint(3, 100, (8, 20)), torch.randint(0, 2, (8,))
    before = reader(ids).read_share.mean()
    optimizer = torch.optim.SGD(reader.policy.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        reader(ids, labels=labels).loss.backward()
        optimizer.step()
    assert before > 0.9 and reader(ids).read_share.mean() < 0.3
