"""SkimRNN: both cells, the policy between them, and the laws."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from temporal.engine import Engine
from temporal.kernels import skim_cell
from temporal.models import SkimRNN, SkimRNNConfig
from temporal.models.checks import NonFiniteError
from temporal.models.configuration_recurrent import POOLINGS
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


def dense_of(reader: SkimRNN) -> nn.Module:
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[reader.config.cell]
    dense = kind(reader.config.embedding_size, reader.config.hidden_size, batch_first=True)
    with torch.no_grad():
        dense.weight_ih_l0.copy_(reader.read_input.weight)
        dense.weight_hh_l0.copy_(reader.read_hidden.weight)
        dense.bias_ih_l0.copy_(reader.read_input.bias)
        dense.bias_hh_l0.zero_()
    return dense


@torch.no_grad()
def dense_logits(reader: SkimRNN, ids: Tensor) -> Tensor:
    """torch's own LSTM or GRU on one document, without padding."""
    states_TH = dense_of(reader)(reader.embedding(ids)[None])[0][0]
    pooled = {"last": states_TH[-1], "max": states_TH.amax(0), "mean": states_TH.mean(0)}
    return reader.classifier(pooled[reader.config.pooling])


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_reading_everything_is_the_plain_network(
    pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = make(pooling=pooling, cell=cell, kernels=kernels, read_threshold=0.0)
    documents = random_words(LENGTHS)
    want = torch.stack([dense_logits(reader, doc.ids) for doc in documents])
    torch.testing.assert_close(reader(*padded(documents)).logits, want, atol=1e-5, rtol=0)
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert reader.skim_stage.rows == 0
    assert all(outcome.trace.share_read == 1 for outcome in outcomes)


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_skipping_for_real_equals_the_mixture_of_both_cells(
    pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = make(pooling=pooling, cell=cell, kernels=kernels)
    documents = random_words(LENGTHS)
    dense = reader(*padded(documents))
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, dense.logits, atol=1e-5, rtol=0)
    shares = [outcome.trace.share_read for outcome in outcomes]
    assert shares == pytest.approx(dense.read_share.tolist())
    assert 0 < sum(shares) < len(shares)  # the test would say little if all were read


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


def test_with_skim_size_0_unread_tokens_leave_no_mark(random_words, read_all) -> None:
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
        want = dense_logits(reader, doc.ids[list(outcome.trace.read)])
        torch.testing.assert_close(outcome.value, want, atol=1e-5, rtol=0)


def test_skimming_leaves_the_rest_of_the_state_as_it_is() -> None:
    h, c = torch.randn(3, 6), torch.randn(3, 6)
    new_h, new_c = skim_cell("lstm", torch.randn(3, 8), (h, c), torch.randn(8, 6))
    assert torch.equal(new_h[:, 2:], h[:, 2:]) and torch.equal(new_c[:, 2:], c[:, 2:])
    assert not torch.isclose(new_h[:, :2], h[:, :2]).any()


@pytest.mark.parametrize("cohort", [1, 3, 8])
@pytest.mark.parametrize("max_in_flight", [1, 3, 64])
def test_any_batch_and_any_order_equals_one_by_one(
    cohort, max_in_flight, random_words, read_all
) -> None:
    reader = make(pooling="max")
    documents = random_words(LENGTHS)
    alone = [reader(doc) for doc in documents]
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.read == alone[k].trace.read


@pytest.mark.parametrize("token", [-1, 100])
def test_a_token_outside_the_vocabulary_is_an_error_and_not_a_look_beside_the_tables(
    token, words
) -> None:
    with pytest.raises(IndexError, match=rf"token id \({token}\) must be in 0..99"):
        make()(words(torch.tensor([3, token, 4])))


def test_the_same_inputs_twice_give_the_same_bits(random_words, read_all) -> None:
    reader = make()
    documents = random_words(LENGTHS)
    first, second = (read_all(reader, [documents[:4], documents[4:]]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.value, b.value) and a.trace.read == b.trace.read


def test_a_higher_threshold_reads_less(random_words, read_all) -> None:
    reader = make(skim_size=16)
    documents = random_words(LENGTHS)
    read = []
    for threshold in (0.0, 0.2, 0.5, 0.8, 1.0):
        reader.set_policy("read", threshold)
        read.append(sum(o.trace.units_read for o in read_all(reader, [documents])))
    assert read[0] == sum(LENGTHS) and read[-1] == 0
    assert read == sorted(read, reverse=True)


def test_documents_longer_than_the_limit_are_cut_and_say_so(random_words) -> None:
    reader = make(max_tokens=6)
    long, short = random_words((9, 6))
    outcome = reader(long)
    short.ids = long.ids[:6]
    assert outcome.trace.truncated and not reader(short).trace.truncated
    assert torch.equal(outcome.value, reader(short).value)
    assert outcome.trace.units_total == 9
    assert max(outcome.trace.read + outcome.trace.skimmed) == 5


def test_only_the_document_with_nan_fails(words, random_words) -> None:
    reader = make()
    documents = random_words((5, 6, 7))
    documents[1].ids[3] = 99
    documents[0].ids.clamp_(max=98)
    documents[2].ids.clamp_(max=98)
    with torch.no_grad():
        reader.embedding.weight[99] = math.nan
    outcomes = list(Engine(4).run(reader.read, [documents]))
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        NonFiniteError,
        type(None),
    ]
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        reader(documents[1])


def test_loss_is_cross_entropy_plus_the_weighted_skim_loss() -> None:
    reader = make(skim_loss_weight=0.3)
    ids, labels = torch.tensor([[5], [9]]), torch.tensor([1, 0])
    output = reader(ids, labels=labels)
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

    monkeypatch.setattr("temporal.models.skim_rnn.relaxed_decision", relaxed)
    reader = make().train()
    reader.training_step = 5000
    reader(torch.tensor([[5, 6]]))
    assert seen == [pytest.approx(math.exp(-0.5))] * 2


def test_straight_through_training_counts_whole_tokens() -> None:
    reader = make(straight_through=True).train()
    shares = reader(torch.randint(1, 100, (4, 8))).read_share * 8
    torch.testing.assert_close(shares, shares.round())
    assert 0 < shares.sum() < 32


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_reach_every_parameter(pooling) -> None:
    reader = make(pooling=pooling).train()
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3], [9]])).long()
    reader(torch.randint(1, 100, (4, 12)), mask, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    for name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_padding_changes_nothing_in_training(random_words, padded) -> None:
    reader = make(pooling="max")
    documents = random_words((4, 9))
    ids, mask = padded(documents)
    ids[0, 4:] = 77
    alone = reader(documents[0].ids[None])
    both = reader(ids, mask)
    torch.testing.assert_close(both.logits[0], alone.logits[0], atol=1e-6, rtol=0)
    assert both.read_share[0] == alone.read_share[0]


def test_saving_keeps_outputs_and_policy(tmp_path: Path, random_words, read_all) -> None:
    reader = make(pooling="max", id2label={0: "bad", 1: "fair", 2: "good"})
    reader.set_policy("read", 0.6)
    reader.save_pretrained(tmp_path)
    loaded = SkimRNN.from_pretrained(tmp_path)
    documents = random_words(LENGTHS)
    assert loaded.config.read_threshold == 0.6 and loaded.config.id2label[2] == "good"
    for a, b in zip(read_all(reader, [documents]), read_all(loaded, [documents]), strict=True):
        # Loaded weights lie elsewhere in memory, and products round by alignment.
        torch.testing.assert_close(a.value, b.value, atol=1e-6, rtol=0)
        assert a.trace.read == b.trace.read


def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(tmp_path: Path) -> None:
    reader = make()
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.copy_(torch.randn_like(parameter))
    state = reader.state_dict()
    kept = {k: v for k, v in state.items() if not k.startswith(("classifier", "policy", "skim"))}
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = SkimRNN.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        else:
            assert torch.isfinite(value).all() and value.abs().max() <= 1.5, name
    assert loaded.classifier.weight.std() > 0.01 and loaded.policy.weight.std() > 0.01
    assert not loaded.classifier.bias.any()


def test_untrained_cells_remember_unless_told_not_to() -> None:
    reader = SkimRNN(SkimRNNConfig(**SIZES))
    assert reader.read_input.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pooling": "sum"}, r"pooling \('sum'\) must be one of"),
        ({"read_threshold": 1.5}, r"read_threshold \(1.5\) must be between 0"),
        ({"skim_size": 17}, r"skim_size \(17\) must be between 0 and 16"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        SkimRNNConfig(**{**SIZES, **config})


@pytest.mark.parametrize(
    ("name", "threshold", "message"),
    [
        ("confidence", 0.5, r"policy \('confidence'\) must be one of \['read'\]"),
        ("read", None, "needs a threshold"),
        ("read", 2.0, r"threshold \(2.0\) must be between"),
    ],
)
def test_a_wrong_policy_is_refused(name, threshold, message) -> None:
    with pytest.raises(ValueError, match=message):
        make().set_policy(name, threshold)


def test_a_budget_needs_calibration_and_then_sets_the_threshold() -> None:
    reader = make()
    with pytest.raises(ValueError, match="calibrate"):
        reader.set_budget(0.5)
    reader.config.operating_points = [
        {"cost_share": 0.4, "accuracy": 0.8, "policy": {"read_threshold": 0.7}},
        {"cost_share": 0.9, "accuracy": 0.9, "policy": {"read_threshold": 0.1}},
    ]
    assert reader.set_budget(0.5) is reader.config.operating_points[0]
    assert reader.config.read_threshold == 0.7
