"""Laws that hold for every recurrent reader, whatever it decides."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from temporal.checks import NonFiniteError
from temporal.engine import Engine
from temporal.models import READERS
from temporal.models.recurrent.readers import RecurrentReader

LENGTHS = (1, 7, 23, 2, 15, 15, 4, 30)
SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
NAMES = [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]
READER = pytest.mark.parametrize("name", NAMES)
WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "torch"])


@READER
@WAYS
@pytest.mark.parametrize("cohort", [1, 3, 8])
@pytest.mark.parametrize("max_in_flight", [1, 3, 64])
def test_any_batch_and_any_order_equals_one_by_one(
    recurrent_reader, max_in_flight, cohort, kernels, name, random_words, read_all
) -> None:
    reader = recurrent_reader(name, pooling="max", kernels=kernels)
    documents = random_words(LENGTHS)
    alone = [reader(doc) for doc in documents]
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.read == alone[k].trace.read
        assert outcome.trace.skimmed == alone[k].trace.skimmed
        assert outcome.trace.halted_at == alone[k].trace.halted_at
        if kernels:  # elsewhere the padding is computed, too
            assert outcome.trace.cost.macs == alone[k].trace.cost.macs


@READER
@pytest.mark.parametrize("token", [-1, 100])
def test_a_token_outside_the_vocabulary_is_an_error_and_not_a_look_beside_the_tables(
    recurrent_reader, token, name, words
) -> None:
    with pytest.raises(IndexError, match=rf"token id \({token}\) must be in 0..99"):
        recurrent_reader(name)(words(torch.tensor([3, token, 4])))


@READER
def test_the_same_inputs_twice_give_the_same_bits(
    recurrent_reader, name, random_words, read_all
) -> None:
    reader = recurrent_reader(name)
    documents = random_words(LENGTHS)
    first, second = (read_all(reader, [documents[:4], documents[4:]]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.value, b.value) and a.trace.read == b.trace.read


@READER
def test_kernels_see_what_a_fused_optimizer_changed(recurrent_reader, name) -> None:
    """torch does not count such changes."""
    reader = recurrent_reader(name)
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
def test_documents_longer_than_the_limit_are_cut_and_say_so(
    recurrent_reader, name, random_words
) -> None:
    reader = recurrent_reader(name, max_tokens=6)
    long, short = random_words((9, 6))
    outcome = reader(long)
    short.ids = long.ids[:6]
    assert outcome.trace.truncated and not reader(short).trace.truncated
    assert torch.equal(outcome.value, reader(short).value)
    assert outcome.trace.units_total == 9
    assert max(outcome.trace.read + outcome.trace.skimmed) <= 5


@READER
@WAYS
def test_only_the_document_with_nan_fails(recurrent_reader, kernels, name, random_words) -> None:
    reader = recurrent_reader(name, kernels=kernels)
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


@READER
@WAYS
def test_padding_changes_nothing(recurrent_reader, kernels, name, random_words, padded) -> None:
    reader = recurrent_reader(name, pooling="max")
    documents = random_words((4, 19))
    ids, mask = padded(documents)
    ids[0, 4:] = 77
    with torch.set_grad_enabled(not kernels):
        alone, both = reader(documents[0].ids[None]), reader(ids, mask)
    torch.testing.assert_close(both.logits[0], alone.logits[0], atol=1e-6, rtol=0)
    assert both.read_share[0] == alone.read_share[0]


@READER
def test_saving_keeps_outputs_and_policy(
    recurrent_reader, name, tmp_path: Path, random_words, read_all
) -> None:
    reader = recurrent_reader(name, pooling="max", id2label={0: "bad", 1: "fair", 2: "good"})
    threshold = f"{reader.policy_name}_threshold"
    if hasattr(reader.config, threshold):  # jumps have no threshold
        reader.set_policy(reader.policy_name, 0.6)
    reader.save_pretrained(tmp_path)
    loaded = READERS[name].from_pretrained(tmp_path)
    documents = random_words(LENGTHS)
    assert getattr(loaded.config, threshold, 0.6) == 0.6 and loaded.config.id2label[2] == "good"
    for a, b in zip(read_all(reader, [documents]), read_all(loaded, [documents]), strict=True):
        # Loaded weights lie elsewhere in memory, and products round by alignment.
        torch.testing.assert_close(a.value, b.value, atol=1e-6, rtol=0)
        assert a.trace.read == b.trace.read


@READER
def test_untrained_cells_remember_unless_told_not_to(name) -> None:
    reader = READERS[name](READERS[name].config_class(**SIZES))
    assert reader.read_input.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32


@READER
def test_probabilities_that_are_certain_teach_as_class_numbers_do(recurrent_reader, name) -> None:
    reader = recurrent_reader(name)
    ids, labels = torch.randint(3, 100, (4, 20)), torch.tensor([0, 1, 1, 0])
    losses = []
    for given in (labels, torch.eye(2)[labels]):
        torch.manual_seed(0)
        losses.append(reader.train()(ids, labels=given).loss)
    torch.testing.assert_close(*losses)
    unsure = torch.full((4, 2), 0.5)
    torch.manual_seed(0)
    assert not torch.isclose(reader(ids, labels=unsure).loss, losses[0])


@READER
def test_threads_of_kernels_and_of_callers_give_the_same_bits(recurrent_reader, name) -> None:
    reader = recurrent_reader(name, pooling="max")
    ids = torch.randint(3, 98, (16, 200))

    def call(_: int) -> torch.Tensor:
        with torch.inference_mode():
            return reader(ids).logits

    alone = call(0)
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as callers:
            together = list(callers.map(call, range(8)))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(logits, alone) for logits in together)


@WAYS
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_what_is_nan_is_read_though_skipping_would_hide_it(
    threshold, kernels, recurrent_reader, words
) -> None:
    reader = recurrent_reader("skim_rnn", kernels=kernels, skim_size=0, read_threshold=threshold)
    with torch.no_grad():
        reader.embedding.weight[99] = math.nan
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        reader(words(torch.tensor([3, 4, 99, 5])))
