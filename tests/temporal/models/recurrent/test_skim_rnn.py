"""SkimRNN: both cells, the policy between them, and the laws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from temporal.kernels import skim_cell
from temporal.models import SkimRNN, SkimRNNConfig
from temporal.policies.skip import annealed_temperature

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16, "skim_size": 5}


WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


def make(*, kernels: bool = True, **config) -> SkimRNN:
    """A reader whose untrained policy reads some tokens and skims others."""
    reader = SkimRNN(SkimRNNConfig(**{**SIZES, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
        reader.policy.weight.mul_(3)
    return reader


def test_in_lockstep_a_cell_runs_only_for_the_tokens_that_chose_it(random_words, read_all) -> None:
    reader = make(kernels=False)
    documents = random_words(LENGTHS)
    outcomes = read_all(reader, [documents[:5], documents[5:]])
    read = sum(len(outcome.trace.read) for outcome in outcomes)
    skimmed = sum(len(outcome.trace.skimmed) for outcome in outcomes)
    assert read and skimmed
    assert (reader.read_stage.rows, reader.skim_stage.rows) == (read, skimmed)
    assert read + skimmed == reader.look.rows == sum(LENGTHS)
    for doc, outcome in zip(documents, outcomes, strict=True):
        assert sorted(outcome.trace.read + outcome.trace.skimmed) == list(range(len(doc)))


def test_in_lockstep_cost_is_the_hand_count_of_what_ran(random_words) -> None:
    reader = make(kernels=False)
    (doc,) = random_words([20])
    trace, D, H, S = reader(doc).trace, 12, 16, 5
    look, read, skim = 2 * (D + H), 4 * H * (D + H), 4 * S * (D + H)
    answer = H * 2
    assert trace.read and trace.skimmed
    assert trace.cost.macs == (
        20 * look + len(trace.read) * read + len(trace.skimmed) * skim + answer
    )
    assert reader.dense_macs(20) == 20 * read + answer


@CELLS
def test_the_kernels_cost_is_the_hand_count_of_what_ran(cell, random_words, read_all) -> None:
    reader = make(cell=cell)
    gates, H, S = {"lstm": 4, "gru": 3}[cell], 16, 5
    documents = random_words((20, 13))
    assert any(reader(doc).trace.read and reader(doc).trace.skimmed for doc in documents)
    outcomes = read_all(reader, [documents])  # in one cohort: each is charged for its own
    for doc, trace in zip(documents, (outcome.trace for outcome in outcomes), strict=True):
        macs, after_read = H * 2, False  # the answer's
        for t in range(len(doc)):
            macs += H if after_read else S * (gates * S + 1)  # the decision
            if t in trace.read:
                macs += gates * H * H
            elif after_read:  # the small cell's gates from the whole state
                macs += H * (gates * S + 1)
            after_read = t in trace.read
        assert trace.cost.macs == macs


def test_with_skim_size_0_unread_tokens_leave_no_mark(random_words, read_all, run_plain) -> None:
    with torch.no_grad():
        reader = make(skim_size=1, kernels=False)
        documents = random_words((15, 30))
        empty = SkimRNNConfig(**{**SIZES, "skim_size": 0})
        reader.config = empty
        reader.skim_input, reader.skim_hidden = nn.Identity(), nn.Identity()
        reader.skim_input.forward = lambda x: x.new_zeros(len(x), 0)  # type: ignore[method-assign]
        reader.skim_hidden.weight = torch.zeros(0, 16)
    for doc, outcome in zip(documents, read_all(reader, [documents]), strict=True):
        assert 0 < outcome.trace.units_read < len(doc)
        x_TD = reader.embedding(doc.ids[list(outcome.trace.read)])
        h_TH = run_plain("lstm", x_TD, reader.read_input, reader.read_hidden)
        want = reader.classifier(h_TH[-1])
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)


def test_skimming_leaves_the_rest_of_the_state_as_it_is() -> None:
    h, c = torch.randn(3, 6), torch.randn(3, 6)
    new_h, new_c = skim_cell("lstm", torch.randn(3, 8), (h, c), torch.randn(8, 6))
    assert torch.equal(new_h[:, 2:], h[:, 2:]) and torch.equal(new_c[:, 2:], c[:, 2:])
    assert not torch.isclose(new_h[:, :2], h[:, :2]).any()


def test_loss_is_cross_entropy_plus_the_weighted_skim_loss() -> None:
    reader = make(skim_loss_weight=0.3)
    ids, labels = torch.tensor([[5], [9]]), torch.tensor([1, 0])
    output = reader.train()(ids, labels=labels)
    # One token each, so the state before the decision is zero.
    inputs = torch.cat([reader.embedding(ids[:, 0]), torch.zeros(2, 16)], -1)
    skim = -reader.policy(inputs).log_softmax(-1)[:, 1].mean()
    want = F.cross_entropy(output.logits, labels) + 0.3 * skim
    torch.testing.assert_close(output.loss, want)


def test_the_temperature_falls_with_the_training_step(monkeypatch) -> None:
    assert annealed_temperature(0) == 1.0
    assert annealed_temperature(5000) == pytest.approx(math.exp(-0.5))
    assert annealed_temperature(50_000) == 0.5
    seen = []

    def relaxed(logits: Tensor, temperature: float, *, straight_through: bool) -> Tensor:
        seen.append(temperature)
        assert not straight_through
        return logits.softmax(-1)

    monkeypatch.setattr("temporal.policies.skip.relaxed_decision", relaxed)
    reader = make().train()
    reader.training_step = 5000
    reader(torch.tensor([[5, 6]]))
    assert seen == [pytest.approx(math.exp(-0.5))] * 2


def test_straight_through_training_counts_whole_tokens() -> None:
    reader = make(straight_through=True).train()
    shares = reader(torch.randint(1, 100, (4, 8))).read_share * 8
    torch.testing.assert_close(shares, shares.round())
    assert 0 < shares.sum() < 32


def test_skimming_updates_at_most_the_state() -> None:
    with pytest.raises(Exception, match=r"skim_size \(17\) must be between 0 and 16"):
        SkimRNNConfig(**{**SIZES, "skim_size": 17})
