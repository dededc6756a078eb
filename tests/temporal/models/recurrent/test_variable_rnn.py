"""VariableRNN: the part of the state that a token updates, and what it costs."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from temporal.kernels.vectors import LANES
from temporal.models import VariableRNN, VariableRNNConfig
from temporal.policies.estimators import prefix_mask

H = 40  # two whole blocks of the kernel's and a part
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": H}
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


@torch.no_grad()
def make(**config) -> VariableRNN:
    """A reader whose untrained policy asks for all shares of the state."""
    reader = VariableRNN(VariableRNNConfig(**{**SIZES, **config})).eval()
    reader.embedding.weight.mul_(10)
    reader.policy.weight.mul_(3)
    return reader


@torch.no_grad()
def sizes_written_out(reader: VariableRNN, ids: torch.Tensor) -> tuple[list[int], torch.Tensor]:
    """An LSTM's update of the first n entries from the first n: each n, and the last state."""
    h, c, sizes = torch.zeros(H), torch.zeros(H), []
    weight_4HH = reader.read_hidden.weight.view(4, H, H)
    for x in reader.embedding(ids):
        n = math.ceil(reader.policy(torch.cat([x, h])).sigmoid() * H)
        i, f, g, o = reader.read_input(x).view(4, H)[:, :n] + weight_4HH[:, :n, :n] @ h[:n]
        c = torch.cat([f.sigmoid() * c[:n] + i.sigmoid() * g.tanh(), c[n:]])
        h = torch.cat([o.sigmoid() * c[:n].tanh(), h[n:]])
        sizes.append(n)
    return sizes, h


def test_the_first_entries_are_updated_from_the_first_entries(random_words) -> None:
    reader = make()
    (doc,) = random_words([30])
    sizes, h = sizes_written_out(reader, doc.ids)
    assert min(sizes) < LANES < 2 * LANES < max(sizes)  # every number of blocks occurs
    want = reader.classifier(h)
    torch.testing.assert_close(reader(doc).value, want, atol=1e-5, rtol=0)
    output = reader(doc.ids[None])
    torch.testing.assert_close(output.logits[0], want, atol=1e-5, rtol=0)
    assert output.read_share.item() == pytest.approx(sum(sizes) / (30 * H))


def test_the_kernels_cost_is_the_hand_count_of_what_ran(random_words) -> None:
    reader = make()
    (doc,) = random_words([30])
    sizes, _ = sizes_written_out(reader, doc.ids)
    macs = H * 2  # the answer's
    for n in sizes:
        columns = min(H, math.ceil(n / LANES) * LANES)  # whole vectors
        macs += 4 * columns * n + H
    trace = reader(doc).trace
    assert trace.cost.macs == macs < reader.dense_macs(30)
    assert trace.read == tuple(range(30)) and trace.skimmed == ()


def test_without_kernels_whole_updates_are_computed_and_the_cost_says_so(random_words) -> None:
    reader = make()
    reader.uses_kernels = False
    trace = reader(random_words([20])[0]).trace
    assert trace.cost.macs == 20 * (4 * H * (12 + H) + 12 + H) + H * 2


@CELLS
@pytest.mark.parametrize("n", [1, LANES, 17, 2 * LANES])
def test_weights_of_entries_that_are_not_updated_are_not_touched(n, cell, random_words) -> None:
    reader = make(cell=cell)
    (doc,) = random_words([12])
    with torch.no_grad():
        reader.policy.weight.zero_()
        reader.policy.bias.fill_(torch.tensor((n - 0.5) / H).logit())
    want = reader(doc).value
    beyond = math.ceil(n / LANES) * LANES  # of whole vectors
    with torch.no_grad():
        gates = reader.read_hidden.weight.view(-1, H, H)
        gates[:, beyond:] = math.nan
        gates[:, :, n:] = math.nan
        reader.read_input.bias.view(-1, H)[:, beyond:] = math.nan
    assert torch.equal(reader(doc).value, want)


def test_the_soft_mask_sharpens_to_the_hard_one() -> None:
    share = torch.tensor([0.0, 0.21, 0.5, 1.0])
    hard = prefix_mask(share, 10, None)
    assert hard.sum(1).tolist() == [1, 3, 5, 10]  # at least one
    assert hard[1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    soft = prefix_mask(share, 10, 2.0)
    assert soft[1, 4].item() == pytest.approx(1 / (1 + math.exp(-2 * (2.1 - 4))))
    torch.testing.assert_close(prefix_mask(share, 10, 1e4)[1], hard[1])


def test_the_mask_sharpens_with_the_training_step_and_is_hard_afterwards(monkeypatch) -> None:
    seen = []

    def mask(share_B, size, sharpness):
        seen.append(sharpness)
        return prefix_mask(share_B, size, sharpness)

    monkeypatch.setattr("temporal.models.recurrent.variable_rnn.prefix_mask", mask)
    reader, ids = make(sharpness=0.2, sharpness_rate=0.01).train(), torch.tensor([[5]])
    for step in (0, 50, 10_000):
        reader.training_step = step
        reader(ids)
    reader.eval()(ids)
    assert seen == pytest.approx([0.2, 0.3, 2.0, None])


def test_loss_is_cross_entropy_plus_the_squared_distance_from_the_target() -> None:
    reader = make(share_loss_weight=0.7, target_share=0.1)
    ids, labels = torch.randint(3, 100, (3, 20)), torch.tensor([1, 0, 1])
    mask = (torch.arange(20) < torch.tensor([[20], [9], [14]])).long()
    output = reader.train()(ids, mask, labels)
    share = (output.read_share * mask.sum(1)).sum() / mask.sum()
    assert share > 0.2
    want = F.cross_entropy(output.logits, labels) + 0.7 * (0.1 - share) ** 2
    torch.testing.assert_close(output.loss, want)


def test_the_target_is_learned() -> None:
    torch.manual_seed(0)
    reader = VariableRNN(VariableRNNConfig(**SIZES, target_share=0.2, share_loss_weight=10.0))
    ids, labels = torch.randint(3, 100, (8, 20)), torch.randint(0, 2, (8,))
    optimizer = torch.optim.SGD(reader.policy.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        reader.train()(ids, labels=labels).loss.backward()
        optimizer.step()
    assert reader.eval()(ids).read_share.mean().item() == pytest.approx(0.2, abs=0.05)
