"""Laws that hold for every recurrent reader: dense and skipping, alone and in batches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from temporal.engine import Engine
from temporal.models import READERS
from temporal.models.checks import NonFiniteError
from temporal.models.configuration_recurrent import POOLINGS
from temporal.models.recurrent import RecurrentReader

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
OPTIONS: dict[str, dict[str, Any]] = {
    "skim_rnn": {"skim_size": 5},
    "skip_rnn": {},
    "leap_lstm": {"backward_size": 3, "num_filters": 2, "policy_size": 7},
    "variable_rnn": {},
    "hm_rnn": {"num_layers": 3},
}
READER = pytest.mark.parametrize("name", OPTIONS)
ONE_LAYER = pytest.mark.parametrize("name", [name for name in OPTIONS if name != "hm_rnn"])
READER_AND_CELL = pytest.mark.parametrize(
    ("name", "cell"),
    [
        (name, cell)
        for name in OPTIONS
        for cell in ("lstm", "gru")
        if name != "hm_rnn" or cell == "lstm"
    ],
)
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "torch"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
POOLED = pytest.mark.parametrize("pooling", POOLINGS)


@torch.no_grad()
def make(name: str, *, kernels: bool = True, **config: Any) -> Any:
    """An untrained reader that decides differently from token to token."""
    reader_class: Any = READERS[name]
    reader = reader_class(reader_class.config_class(**{**SIZES, **OPTIONS[name], **config})).eval()
    reader.uses_kernels = kernels
    reader.embedding.weight.mul_(10)
    for layer in [reader.policy] if isinstance(reader.policy, nn.Linear) else reader.policy:
        layer.weight.mul_(3)
    if name == "skip_rnn":
        reader.policy.bias.fill_(-1.5)
    if name == "leap_lstm":  # about half
        ids = torch.randint(3, 100, (1, 200))
        known = reader._look_ahead(reader.embedding(ids), torch.ones_like(ids))
        reader.policy.bias -= reader.policy(known.relu()).median(1).values[0]
    return reader


def values(outcomes: list[Any]) -> Tensor:
    return torch.stack([outcome.value for outcome in outcomes])


@ONE_LAYER
@WAYS
@CELLS
@POOLED
def test_reading_everything_is_the_plain_network(
    pooling, cell, kernels, name, random_words, padded, read_all, run_plain
) -> None:
    reader = make(name, pooling=pooling, cell=cell, kernels=kernels)
    reader.set_policy("read", 0.0)
    documents = random_words(LENGTHS)
    pool = {"last": lambda s: s[-1], "max": lambda s: s.amax(0), "mean": lambda s: s.mean(0)}
    with torch.no_grad():
        layers = reader.read_input, reader.read_hidden
        states = [run_plain(cell, reader.embedding(doc.ids), *layers) for doc in documents]
        want = torch.stack([reader.classifier(pool[pooling](s)) for s in states])
    torch.testing.assert_close(reader(*padded(documents)).logits, want, atol=1e-5, rtol=0)
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)
    assert all(outcome.trace.share_read == 1 for outcome in outcomes)
    gates = {"lstm": 4, "gru": 3}[cell]
    assert reader.dense_macs(20) == 20 * gates * 16 * (16 + 12 * (not kernels)) + 16 * 2


@READER_AND_CELL
@WAYS
@POOLED
def test_reading_in_part_equals_computing_and_discarding(
    pooling, kernels, name, cell, random_words, padded, read_all
) -> None:
    reader = make(name, pooling=pooling, cell=cell, kernels=kernels)
    documents = random_words(LENGTHS)
    dense = reader(*padded(documents))
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    torch.testing.assert_close(values(outcomes), dense.logits, atol=1e-5, rtol=0)
    with torch.no_grad():
        fast = reader(*padded(documents))
    torch.testing.assert_close(fast.logits, dense.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(fast.read_share, dense.read_share, atol=1e-6, rtol=0)
    assert 0 < fast.read_share.mean() < 0.95  # the test would say little if all were read
    if name == "variable_rnn":  # which reads all tokens, in part
        return
    shares = [outcome.trace.share_read for outcome in outcomes]
    assert shares == pytest.approx(dense.read_share.tolist())


@READER
@WAYS
@pytest.mark.parametrize("cohort", [1, 3, 8])
@pytest.mark.parametrize("max_in_flight", [1, 3, 64])
def test_any_batch_and_any_order_equals_one_by_one(
    max_in_flight, cohort, kernels, name, random_words, read_all
) -> None:
    reader = make(name, pooling="max", kernels=kernels)
    documents = random_words(LENGTHS)
    alone = [reader(doc) for doc in documents]
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.read == alone[k].trace.read
        if kernels:  # elsewhere the padding is computed, too
            assert outcome.trace.cost.macs == alone[k].trace.cost.macs


@READER
@pytest.mark.parametrize("token", [-1, 100])
def test_a_token_outside_the_vocabulary_is_an_error_and_not_a_look_beside_the_tables(
    token, name, words
) -> None:
    with pytest.raises(IndexError, match=rf"token id \({token}\) must be in 0..99"):
        make(name)(words(torch.tensor([3, token, 4])))


@READER
def test_the_same_inputs_twice_give_the_same_bits(name, random_words, read_all) -> None:
    reader = make(name)
    documents = random_words(LENGTHS)
    first, second = (read_all(reader, [documents[:4], documents[4:]]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.value, b.value) and a.trace.read == b.trace.read


@READER
def test_kernels_see_what_a_fused_optimizer_changed(name) -> None:
    """torch does not count such changes."""
    reader = make(name)
    ids, labels = torch.randint(3, 100, (4, 9)), torch.tensor([0, 1, 1, 0])
    with torch.no_grad():
        before = reader(ids).logits
    optimizer = torch.optim.AdamW(reader.parameters(), lr=0.1, fused=True)
    reader.train()(ids, labels=labels).loss.backward()
    optimizer.step()
    with torch.no_grad():
        after = reader.eval()(ids).logits
    torch.testing.assert_close(after, reader(ids).logits, atol=1e-5, rtol=0)
    assert (after - before).abs().max() > 0.01


@READER
def test_documents_longer_than_the_limit_are_cut_and_say_so(name, random_words) -> None:
    reader = make(name, max_tokens=6)
    long, short = random_words((9, 6))
    outcome = reader(long)
    short.ids = long.ids[:6]
    assert outcome.trace.truncated and not reader(short).trace.truncated
    assert torch.equal(outcome.value, reader(short).value)
    assert outcome.trace.units_total == 9
    assert max(outcome.trace.read + outcome.trace.skimmed) <= 5


@READER
@WAYS
def test_only_the_document_with_nan_fails(kernels, name, random_words) -> None:
    reader = make(name, kernels=kernels)
    documents = random_words((5, 6, 7))
    for doc in documents:
        doc.ids.clamp_(max=98)
    documents[1].ids[0] = 99
    with torch.no_grad():
        reader.embedding.weight[99] = math.nan
    outcomes = list(Engine(4).run(reader.read, [documents]))
    assert [type(o.error) for o in outcomes] == [type(None), NonFiniteError, type(None)]
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        reader(documents[1])


@READER_AND_CELL
@POOLED
def test_gradients_reach_every_parameter(pooling, name, cell) -> None:
    # At Leap-LSTM's own temperature most samples are so hard that their gradient is 0.
    # And where no boundary follows, HM-RNN's top layer has nothing to say.
    options = {"leap_lstm": {"temperature": 1.0}, "hm_rnn": {"num_layers": 2}}.get(name, {})
    reader = make(name, pooling=pooling, cell=cell, **options).train()
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3], [9]])).long()
    reader(torch.randint(1, 100, (4, 12)), mask, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    for parameter_name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@READER
@WAYS
def test_padding_changes_nothing(kernels, name, random_words, padded) -> None:
    reader = make(name, pooling="max")
    documents = random_words((4, 9))
    ids, mask = padded(documents)
    ids[0, 4:] = 77
    with torch.set_grad_enabled(not kernels):
        alone, both = reader(documents[0].ids[None]), reader(ids, mask)
    torch.testing.assert_close(both.logits[0], alone.logits[0], atol=1e-6, rtol=0)
    assert both.read_share[0] == alone.read_share[0]


@READER
def test_saving_keeps_outputs_and_policy(name, tmp_path: Path, random_words, read_all) -> None:
    reader = make(name, pooling="max", id2label={0: "bad", 1: "fair", 2: "good"})
    reader.set_policy("read", 0.6)
    reader.save_pretrained(tmp_path)
    loaded = READERS[name].from_pretrained(tmp_path)
    documents = random_words(LENGTHS)
    assert loaded.config.read_threshold == 0.6 and loaded.config.id2label[2] == "good"
    for a, b in zip(read_all(reader, [documents]), read_all(loaded, [documents]), strict=True):
        # Loaded weights lie elsewhere in memory, and products round by alignment.
        torch.testing.assert_close(a.value, b.value, atol=1e-6, rtol=0)
        assert a.trace.read == b.trace.read


@READER
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    name, tmp_path: Path
) -> None:
    """A plain network's weights are enough to start any reader from."""
    reader = make(name)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.copy_(torch.randn_like(parameter))
    plain = ("embedding", "read_input", "read_hidden")
    kept = {k: v for k, v in reader.state_dict().items() if k.startswith(plain)}
    assert len(kept) == 4
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = READERS[name].from_pretrained(tmp_path)
    for key, value in loaded.state_dict().items():
        if key in kept:
            assert torch.equal(value, kept[key]), key
        elif key.endswith("weight"):
            assert 0.01 < value.std() < 1, key
        else:
            assert set(value.tolist()) <= {0.0, 1.0}, key
    assert not loaded.classifier.bias.any()


@READER
def test_untrained_cells_remember_unless_told_not_to(name) -> None:
    reader = READERS[name](READERS[name].config_class(**SIZES))
    assert reader.read_input.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32


@READER
def test_a_higher_threshold_reads_less(name, random_words, padded) -> None:
    reader = make(name)
    batch = padded(random_words(LENGTHS))
    shares = []
    for threshold in (0.0, 0.2, 0.8, 1.0):
        reader.set_policy("read", threshold)
        with torch.no_grad():
            shares.append(reader(*batch).read_share.mean().item())
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 4


@READER
def test_wrong_settings_name_parameter_value_and_rule(name) -> None:
    config_class: Any = READERS[name].config_class
    for config, message in (
        ({"pooling": "sum"}, r"pooling \('sum'\) must be one of"),
        ({"cell": "rnn"}, r"cell \('rnn'\) must be one of"),
        ({"read_threshold": 1.5}, r"read_threshold \(1.5\) must be between 0"),
    ):
        with pytest.raises(Exception, match=message):
            config_class(**{**SIZES, **config})
    for policy, threshold, message in (
        ("confidence", 0.5, r"policy \('confidence'\) must be one of \['read'\]"),
        ("read", None, "needs a threshold"),
        ("read", 2.0, r"threshold \(2.0\) must be between"),
    ):
        with pytest.raises(ValueError, match=message):
            make(name).set_policy(policy, threshold)


@READER
def test_a_budget_needs_calibration_and_then_sets_the_threshold(name) -> None:
    reader = make(name)
    with pytest.raises(ValueError, match="calibrate"):
        reader.set_budget(0.5)
    reader.config.operating_points = [
        {"cost_share": 0.4, "accuracy": 0.8, "policy": {"read_threshold": 0.7}},
        {"cost_share": 0.9, "accuracy": 0.9, "policy": {"read_threshold": 0.1}},
    ]
    assert reader.set_budget(0.5) is reader.config.operating_points[0]
    assert reader.config.read_threshold == 0.7


RECURRENT = [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]


@pytest.mark.parametrize("name", RECURRENT)
def test_probabilities_that_are_certain_teach_as_class_numbers_do(name) -> None:
    reader_class: Any = READERS[name]
    reader = reader_class(reader_class.config_class(**SIZES, **OPTIONS.get(name, {})))
    ids, labels = torch.randint(3, 100, (4, 20)), torch.tensor([0, 1, 1, 0])
    losses = []
    for given in (labels, torch.eye(2)[labels]):
        torch.manual_seed(0)
        losses.append(reader.train()(ids, labels=given).loss)
    torch.testing.assert_close(*losses)
    unsure = torch.full((4, 2), 0.5)
    torch.manual_seed(0)
    assert not torch.isclose(reader(ids, labels=unsure).loss, losses[0])
