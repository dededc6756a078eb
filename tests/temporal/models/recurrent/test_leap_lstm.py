"""LeapLSTM: the decision of the paper, what it looks ahead at, and the laws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from temporal.models import LeapLSTM, LeapLSTMConfig

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {
    "vocab_size": 100,
    "embedding_size": 12,
    "hidden_size": 16,
    "backward_size": 3,
    "num_filters": 2,
    "policy_size": 7,
}

WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "dense"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


def make(*, kernels: bool = True, **config) -> LeapLSTM:
    """A reader whose untrained policy reads some tokens and skips others."""
    reader = LeapLSTM(LeapLSTMConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        reader.look.weight.mul_(3)
        reader.look.bias.normal_()
        for layer in reader.filters:
            layer.bias.normal_()
        ids = torch.randint(3, reader.config.vocab_size, (1, 200))
        logits = reader.policy(
            reader._look_ahead(reader.embedding(ids), torch.ones_like(ids)).relu()
        )
        reader.policy.bias -= logits.median(1).values[0]  # about half
    return reader


@CELLS
def test_the_decision_is_the_papers_written_out(cell, random_words, run_plain) -> None:
    reader = make(cell=cell, pooling="last")
    (doc,) = random_words([25])
    with torch.no_grad():
        x_TD = reader.embedding(doc.ids)
        read: list[int] = []
        for t in range(25):
            follow = x_TD[t + 1 :]
            back = torch.zeros(3)
            if len(follow):
                layers = reader.backward_input, reader.backward_hidden
                back = run_plain(cell, follow.flip(0), *layers)[-1]
            words = F.pad(follow, [0, 0, 0, 5])
            local = [
                (torch.einsum("wd,cdw->c", words[: f.kernel_size[0]], f.weight) + f.bias).relu()
                for f in reader.filters
            ]
            layers = reader.read_input, reader.read_hidden
            h = run_plain(cell, x_TD[read], *layers)[-1] if read else torch.zeros(16)
            logits = reader.policy(reader.look(torch.cat([x_TD[t], back, *local, h])).relu())
            if logits.softmax(-1)[0] > 0.5:
                read.append(t)
        want = reader.classifier(run_plain(cell, x_TD[read], *layers)[-1])
    outcome = reader(doc)
    assert outcome.trace.read == tuple(read) and 1 < len(read) < 25
    torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)


@CELLS
def test_the_kernels_cost_is_the_hand_count_of_what_ran(cell, random_words, read_all) -> None:
    reader = make(cell=cell)
    gates, H, R, C, P = {"lstm": 4, "gru": 3}[cell], 16, 3, 6, 7
    documents = random_words((20, 13, 30))
    for doc, outcome in zip(documents, read_all(reader, [documents]), strict=True):
        look = gates * R * R + (R + C) * P + P
        read = gates * H * H + H * P
        trace = outcome.trace
        assert trace.cost.macs == len(doc) * look + trace.units_read * read + H * 2
        assert 0 < trace.units_read < len(doc)


def test_without_kernels_every_token_is_computed_and_the_cost_says_so(random_words) -> None:
    reader = make(kernels=False)
    per_token = 4 * 16 * (12 + 16)  # the plain network
    per_token += 4 * 3 * (12 + 3) + 12 * 2 * (3 + 4 + 5)  # the backward cell and the filters
    per_token += 7 * (12 + 3 + 6 + 16) + 7 * 2  # the decision
    trace = reader(random_words([20])[0]).trace
    assert trace.cost.macs == 20 * per_token + 16 * 2
    assert reader.dense_macs(20) == 20 * 4 * 16 * (12 + 16) + 16 * 2


def test_loss_is_cross_entropy_plus_the_squared_distance_from_the_target_rate() -> None:
    reader = make(skip_rate_loss_weight=0.7, target_skip_rate=0.9)
    ids, labels = torch.randint(3, 100, (3, 20)), torch.tensor([1, 0, 1])
    mask = (torch.arange(20) < torch.tensor([[20], [9], [14]])).long()
    output = reader.train()(ids, mask, labels)
    skipped = 1 - (output.read_share * mask.sum(1)).sum() / mask.sum()
    assert 0.05 < skipped < 0.85
    want = F.cross_entropy(output.logits, labels) + 0.7 * (0.9 - skipped) ** 2
    torch.testing.assert_close(output.loss, want)


def test_training_samples_nearly_hard_decisions_at_the_constant_temperature(monkeypatch) -> None:
    seen = []

    def relaxed(logits: Tensor, temperature: float) -> Tensor:
        seen.append(temperature)
        return logits.softmax(-1)

    monkeypatch.setattr("temporal.models.recurrent.leap_lstm.relaxed_decision", relaxed)
    make().train()(torch.tensor([[5, 6, 7]]))
    assert seen == [0.1] * 3
