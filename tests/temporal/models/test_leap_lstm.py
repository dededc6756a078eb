"""LeapLSTM: the decision of the paper, what it looks ahead at, and the laws."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from temporal.models import LeapLSTM, LeapLSTMConfig
from temporal.models.checks import NonFiniteError
from temporal.models.configuration_recurrent import POOLINGS

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


def run_plain(cell: str, x_TD: Tensor, input_layer: nn.Linear, hidden: nn.Linear) -> Tensor:
    """All states of torch's own LSTM or GRU, `[T, H]`."""
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
    dense = kind(x_TD.shape[1], hidden.in_features, batch_first=True)
    with torch.no_grad():
        dense.weight_ih_l0.copy_(input_layer.weight)
        dense.weight_hh_l0.copy_(hidden.weight)
        dense.bias_ih_l0.copy_(input_layer.bias)
        dense.bias_hh_l0.zero_()
        return dense(x_TD[None])[0][0]


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_reading_everything_is_the_plain_network(
    pooling, cell, kernels, random_words, padded, read_all
) -> None:
    reader = make(pooling=pooling, cell=cell, kernels=kernels, read_threshold=0.0)
    documents = random_words(LENGTHS)
    pool = {"last": lambda s: s[-1], "max": lambda s: s.amax(0), "mean": lambda s: s.mean(0)}
    with torch.no_grad():
        states = [
            run_plain(cell, reader.embedding(doc.ids), reader.read_input, reader.read_hidden)
            for doc in documents
        ]
        want = torch.stack([reader.classifier(pool[pooling](s)) for s in states])
    torch.testing.assert_close(reader(*padded(documents)).logits, want, atol=1e-5, rtol=0)
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    got = torch.stack([outcome.value for outcome in outcomes])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert all(outcome.trace.share_read == 1 for outcome in outcomes)


@WAYS
@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_skipping_equals_computing_and_discarding_at_every_token(
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
    with torch.no_grad():
        fast = reader(*padded(documents))
    torch.testing.assert_close(fast.logits, got, atol=1e-5, rtol=0)
    for doc, outcome in zip(documents, outcomes, strict=True):
        assert sorted(outcome.trace.read + outcome.trace.skimmed) == list(range(len(doc)))


@CELLS
def test_the_decision_is_the_papers_written_out(cell, random_words) -> None:
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


@pytest.mark.parametrize("cohort", [1, 3, 8])
@pytest.mark.parametrize("max_in_flight", [1, 64])
@WAYS
def test_any_batch_and_any_order_equals_one_by_one(
    kernels, cohort, max_in_flight, random_words, read_all
) -> None:
    reader = make(pooling="max", kernels=kernels)
    documents = random_words(LENGTHS)
    alone = [reader(doc) for doc in documents]
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.read == alone[k].trace.read


def test_a_higher_threshold_reads_less(random_words, read_all) -> None:
    reader = make()
    documents = random_words(LENGTHS)
    read = []
    for threshold in (0.0, 0.2, 0.8, 1.0):
        reader.set_policy("read", threshold)
        read.append(sum(o.trace.units_read for o in read_all(reader, [documents])))
    assert read[0] == sum(LENGTHS) > read[1] > read[2] > read[3] == 0


def test_a_broken_word_is_read_and_answers_nan(random_words) -> None:
    reader = make()
    (doc,) = random_words([9])
    doc.ids.clamp_(max=98)
    reader(doc)
    doc.ids[4] = 99
    with torch.no_grad():
        reader.embedding.weight[99] = math.nan
    with pytest.raises(NonFiniteError):
        reader(doc)


def test_loss_is_cross_entropy_plus_the_squared_distance_from_the_target_rate() -> None:
    reader = make(skip_rate_loss_weight=0.7, target_skip_rate=0.9)
    ids, labels = torch.randint(3, 100, (3, 20)), torch.tensor([1, 0, 1])
    mask = (torch.arange(20) < torch.tensor([[20], [9], [14]])).long()
    output = reader(ids, mask, labels)
    skipped = 1 - (output.read_share * mask.sum(1)).sum() / mask.sum()
    assert 0.05 < skipped < 0.85
    want = F.cross_entropy(output.logits, labels) + 0.7 * (0.9 - skipped) ** 2
    torch.testing.assert_close(output.loss, want)


def test_training_samples_nearly_hard_decisions_at_the_constant_temperature(monkeypatch) -> None:
    seen = []

    def relaxed(logits: Tensor, temperature: float) -> Tensor:
        seen.append(temperature)
        return logits.softmax(-1)

    monkeypatch.setattr("temporal.models.leap_lstm.relaxed_decision", relaxed)
    make().train()(torch.tensor([[5, 6, 7]]))
    assert seen == [0.1] * 3


@CELLS
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_reach_every_parameter(pooling, cell) -> None:
    # At the constant temperature most samples are so hard that their gradient is 0.
    reader = make(pooling=pooling, cell=cell, temperature=1.0).train()
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3], [9]])).long()
    reader(torch.randint(1, 100, (4, 12)), mask, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    for name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_padding_changes_nothing(random_words, padded) -> None:
    reader = make(pooling="max")
    documents = random_words((4, 9))
    ids, mask = padded(documents)
    ids[0, 4:] = 77  # must not count as what follows
    alone, both = reader(documents[0].ids[None]), reader(ids, mask)
    torch.testing.assert_close(both.logits[0], alone.logits[0], atol=1e-6, rtol=0)
    assert both.read_share[0] == alone.read_share[0]


def test_saving_keeps_outputs_and_policy(tmp_path: Path, random_words, read_all) -> None:
    reader = make(pooling="max", filter_widths=[2, 4])
    reader.set_policy("read", 0.6)
    reader.save_pretrained(tmp_path)
    loaded = LeapLSTM.from_pretrained(tmp_path)
    assert loaded.config.read_threshold == 0.6 and loaded.config.filter_widths == [4, 2]
    documents = random_words(LENGTHS)
    for a, b in zip(read_all(reader, [documents]), read_all(loaded, [documents]), strict=True):
        torch.testing.assert_close(a.value, b.value, atol=1e-6, rtol=0)
        assert a.trace.read == b.trace.read


def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(tmp_path: Path) -> None:
    reader = make()
    kept = {k: v for k, v in reader.state_dict().items() if k.startswith(("embedding", "read"))}
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = LeapLSTM.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        elif name.endswith("weight"):
            assert 0.01 < value.std() < 1, name
        elif name == "backward_input.bias":
            assert value.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6  # remembers at first
        else:
            assert not value.any(), name
