"""Readers that decide on every token: against the dense reference, and by their threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.models import READERS
from temporal.models.recurrent.configuration import POOLINGS

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
NAMES = ("skim_rnn", "skip_rnn", "leap_lstm", "variable_rnn", "hm_rnn")
READER = pytest.mark.parametrize("name", NAMES)
ONE_LAYER = pytest.mark.parametrize("name", [name for name in NAMES if name != "hm_rnn"])
READER_AND_CELL = pytest.mark.parametrize(
    ("name", "cell"),
    [
        (name, cell)
        for name in NAMES
        for cell in ("lstm", "gru")
        if name != "hm_rnn" or cell == "lstm"
    ],
)
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "torch"])
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
POOLED = pytest.mark.parametrize("pooling", POOLINGS)


def values(outcomes: list[Any]) -> Tensor:
    return torch.stack([outcome.value for outcome in outcomes])


@ONE_LAYER
@WAYS
@CELLS
@POOLED
def test_reading_everything_is_the_plain_network(
    recurrent_reader, pooling, cell, kernels, name, random_words, padded, read_all, run_plain
) -> None:
    reader = recurrent_reader(name, pooling=pooling, cell=cell, kernels=kernels)
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
    recurrent_reader, pooling, kernels, name, cell, random_words, padded, read_all
) -> None:
    reader = recurrent_reader(name, pooling=pooling, cell=cell, kernels=kernels)
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


@READER_AND_CELL
@POOLED
def test_gradients_reach_every_parameter(recurrent_reader, pooling, name, cell) -> None:
    # At Leap-LSTM's own temperature most samples are so hard that their gradient is 0.
    # And where no boundary follows, HM-RNN's top layer has nothing to say.
    options = {"leap_lstm": {"temperature": 1.0}, "hm_rnn": {"num_layers": 2}}.get(name, {})
    reader = recurrent_reader(name, pooling=pooling, cell=cell, **options).train()
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3], [9]])).long()
    reader(torch.randint(1, 100, (4, 12)), mask, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    for parameter_name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@READER
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    recurrent_reader, name, tmp_path: Path
) -> None:
    """A plain network's weights are enough to start any reader from."""
    reader = recurrent_reader(name)
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
def test_a_higher_threshold_reads_less(recurrent_reader, name, random_words, padded) -> None:
    reader = recurrent_reader(name)
    batch = padded(random_words(LENGTHS))
    shares = []
    for threshold in (0.0, 0.2, 0.8, 1.0):
        reader.set_policy("read", threshold)
        with torch.no_grad():
            shares.append(reader(*batch).read_share.mean().item())
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 4


@READER
def test_wrong_settings_name_parameter_value_and_rule(recurrent_reader, name) -> None:
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
            recurrent_reader(name).set_policy(policy, threshold)


@READER
def test_a_budget_needs_calibration_and_then_sets_the_threshold(recurrent_reader, name) -> None:
    reader = recurrent_reader(name)
    with pytest.raises(ValueError, match="calibrate"):
        reader.set_budget(0.5)
    reader.config.operating_points = [
        {"cost_share": 0.4, "accuracy": 0.8, "policy": {"read_threshold": 0.7}},
        {"cost_share": 0.9, "accuracy": 0.9, "policy": {"read_threshold": 0.1}},
    ]
    assert reader.set_budget(0.5) is reader.config.operating_points[0]
    assert reader.config.read_threshold == 0.7
