"""EarlyExit around seven families of encoders: equal to them, and cheaper where it halts."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch

from temporal.checks import NonFiniteError
from temporal.engine import Engine
from temporal.macs import count_macs
from temporal.models import EarlyExit
from temporal.models.depth.learned_criteria import LEARNED_CRITERIA
from temporal.packed import Packed
from temporal.policies.halt import CRITERIA, FOR_REGRESSION

from ..encoder_families import (
    FAMILIES,
    LENGTHS,
    exits_taken,
    make,
    make_classifier,
    random_fields,
    thresholds_between,
    values,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_halting_it_is_the_classifier(family, random_words, padded, read_all) -> None:
    classifier = make_classifier(family)
    reader = make(family)
    documents = random_words(LENGTHS)
    ids, mask = padded(documents)
    with torch.no_grad():
        want = classifier(input_ids=ids, attention_mask=mask).logits
        dense = reader(ids, mask)
    assert want.std(0).min() > 1e-3  # else equality would say nothing
    torch.testing.assert_close(dense.logits, want, atol=1e-5, rtol=0)
    torch.testing.assert_close(dense.exit_logits[:, -1], dense.logits, atol=0, rtol=0)
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)
    assert all(outcome.trace.exit == 2 and not outcome.trace.halted for outcome in outcomes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_any_small_configuration_and_any_batch_of_it_is_the_classifier(
    family, seed, random_words, padded, read_all
) -> None:
    random = Random(f"{family} {seed}")
    classifier = make_classifier(family, **random_fields(family, random))
    num_layers = classifier.config.num_hidden_layers
    layers = sorted(random.sample(range(1, num_layers + 1), random.randint(1, num_layers)))
    reader = EarlyExit.from_classifier(classifier, layers).eval()
    documents = random_words([random.randint(1, 60) for _ in range(random.randint(1, 9))])
    ids, mask = padded(documents)
    with torch.no_grad():
        want = classifier(input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(reader(ids, mask).logits, want, atol=1e-5, rtol=0)
    outcomes = read_all(reader, [documents])
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_halting_answers_with_the_exit_of_the_dense_model(
    family, random_words, padded, read_all
) -> None:
    reader = make(family)
    documents = random_words(LENGTHS)
    with torch.no_grad():
        dense = reader(*padded(documents))
    reader.config.thresholds = thresholds_between(dense.certainties)
    taken = exits_taken(dense.certainties, reader.config.thresholds)
    assert len(set(taken)) > 1
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    assert [outcome.trace.exit for outcome in outcomes] == taken
    want = dense.exit_logits[torch.arange(len(taken)), taken]
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("criterion", "num_labels"),
    [
        *((name, 3) for name in [*CRITERIA, *LEARNED_CRITERIA]),
        *((name, 1) for name in [*FOR_REGRESSION, *LEARNED_CRITERIA]),
    ],
)
def test_every_criterion_decides_as_on_the_dense_model(
    criterion, num_labels, random_words, padded, read_all
) -> None:
    learned = [criterion] if criterion in LEARNED_CRITERIA else None
    reader = make(
        num_labels=num_labels,
        criterion=criterion,
        learned_criteria=learned,
        window_size=2,
        tolerance=0.3,
    )
    documents = random_words(LENGTHS)
    with torch.no_grad():
        dense = reader(*padded(documents))
    assert dense.certainties.shape == (len(documents), 2)
    assert dense.certainties.std() > 0  # else one threshold would decide for all
    reader.config.thresholds = thresholds_between(dense.certainties)
    taken = exits_taken(dense.certainties, reader.config.thresholds)
    outcomes = read_all(reader, [documents[:5], documents[5:]])
    assert [outcome.trace.exit for outcome in outcomes] == taken
    want = dense.exit_logits[torch.arange(len(taken)), taken]
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)


def test_certainties_are_the_criterions_of_the_exits_so_far(random_words, padded) -> None:
    inputs = padded(random_words(LENGTHS))
    for name, criterion in CRITERIA.items():
        reader = make(criterion=name)
        with torch.no_grad():
            output = reader(*inputs)
        logits_EBK = output.exit_logits.transpose(0, 1)
        known = {"num_exits": reader.config.num_exits} if name == "lead" else {}
        for k in range(2):
            want = criterion(logits_EBK[: k + 1], **known)
            torch.testing.assert_close(output.certainties[:, k], want)
    assert reader.train()(*inputs).certainties is None
    assert make(exit_layers=[3])(*inputs).certainties.shape == (len(LENGTHS), 0)


def test_temperatures_move_halting_and_neither_answers_nor_scores(
    random_words, padded, read_all
) -> None:
    reader = make()
    documents = random_words(LENGTHS)
    with torch.no_grad():
        dense = reader(*padded(documents))
    reader.config.thresholds = thresholds_between(dense.certainties)
    before = [outcome.trace.exit for outcome in read_all(reader, [documents])]
    reader.config.temperatures = [0.01, 100.0]
    with torch.no_grad():
        scaled = reader(*padded(documents))
    torch.testing.assert_close(scaled.exit_logits, dense.exit_logits)
    outcomes = read_all(reader, [documents])
    taken = exits_taken(scaled.certainties, reader.config.thresholds)
    assert [outcome.trace.exit for outcome in outcomes] == taken != before
    # All are certain at the first exit now, and it answers with the logits that it always had.
    assert taken == [0] * len(documents)
    torch.testing.assert_close(values(outcomes), dense.exit_logits[:, 0], atol=1e-5, rtol=0)


def test_a_layer_runs_only_for_the_sources_that_did_not_halt_before(
    random_words, padded, read_all
) -> None:
    reader = make()
    documents = random_words(LENGTHS)
    with torch.no_grad():
        reader.config.thresholds = thresholds_between(reader(*padded(documents)).certainties)
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    exits = [outcome.trace.exit for outcome in outcomes]
    assert 0 in exits and max(exits) > 0
    alive = [sum(exit >= k for exit in exits) for k in range(3)]
    assert [segment.rows for segment in reader.segments] == alive
    assert reader.embed.rows == len(documents)
    # The embedding, and one segment up to and with the exit that answered.
    assert [outcome.trace.cost.layers for outcome in outcomes] == [exit + 2 for exit in exits]
    assert all(outcome.trace.num_exits == 3 for outcome in outcomes)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_compute_the_tokens_that_exist_and_no_padding(family, random_words) -> None:
    reader = make(family)
    seen: list[tuple[int, ...]] = []
    for segment in reader.segments:

        def watched(hidden: Packed, run=segment.fn) -> tuple:
            assert len(hidden.values) == sum(hidden.lengths)
            seen.append(hidden.lengths)
            return run(hidden)

        segment.fn = watched
    documents = random_words((9, 40, 17))
    list(Engine(4, count_macs=False).run(reader.read, [documents]))
    assert seen == [(40, 17, 9)] * 3


def test_survivors_go_on_without_those_that_halted(random_words) -> None:
    reader = make()
    lengths: list[tuple[int, ...]] = []
    run_segment = reader.segments[1].fn

    def watched(hidden: Packed) -> tuple:
        lengths.append(hidden.lengths)
        return run_segment(hidden)

    reader.segments[1].fn = watched
    documents = random_words([40] * 6 + [10, 8, 9, 7, 10, 6])
    with torch.no_grad():
        first = torch.stack([reader(doc.ids[None]).exit_logits[0, 0] for doc in documents])
    # The surest long document halts, and the two least sure short ones go on without it.
    certainty = first.softmax(-1).amax(-1)
    long = int(certainty[:6].argmax())
    short = [6 + k for k in certainty[6:].argsort()[:2].tolist()]
    assert certainty[short].max() < certainty[long] - 1e-3
    reader.config.thresholds = [certainty[long].item() - 1e-4, math.inf]
    cohort = [documents[k] for k in (short[0], long, short[1])]
    outcomes = list(Engine(4, count_macs=False).run(reader.read, [cohort]))
    assert [outcome.trace.exit for outcome in outcomes] == [2, 0, 2]
    assert lengths == [tuple(sorted((len(documents[k]) for k in short), reverse=True))]


@pytest.mark.parametrize("cohort", [1, 3, 8])
@pytest.mark.parametrize("max_in_flight", [1, 64])
def test_any_batch_and_any_order_equals_one_by_one(
    cohort, max_in_flight, random_words, padded, read_all
) -> None:
    reader = make()
    documents = random_words(LENGTHS)
    with torch.no_grad():
        reader.config.thresholds = thresholds_between(reader(*padded(documents)).certainties)
    alone = [reader(doc) for doc in documents]
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.exit == alone[k].trace.exit


def test_the_same_inputs_twice_give_the_same_bits(random_words, read_all) -> None:
    reader = make()
    reader.set_policy("confidence", 0.5)
    documents = random_words(LENGTHS)
    first, second = (read_all(reader, [documents[:4], documents[4:]]) for _ in range(2))
    assert torch.equal(values(first), values(second))


def test_a_halt_saves_what_the_counters_say(random_words) -> None:
    reader = make()
    (doc,) = random_words([11])
    full = reader(doc).trace.cost.macs
    reader.set_policy("confidence", 0.0)
    early = reader(doc).trace
    T, D, inner, K = 11, 32, 48, 3
    layer = T * (4 * D * D + 2 * D * inner) + 2 * T * T * D
    answer = D * D + D * K
    assert early.exit == 0 and early.halted
    assert early.cost.macs == layer + answer
    # Of the last layer's feed-forward part the answer needs the first token alone.
    assert full == 3 * layer + 3 * answer - (T - 1) * 2 * D * inner


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"deberta-v2"}))
def test_each_text_is_charged_for_its_own_tokens_and_all_for_what_ran(family, random_words) -> None:
    reader = make(family, exit_layers=[3])
    documents = random_words((5, 23, 12))
    together = list(Engine(4).run(reader.read, [documents]))
    charged = [outcome.trace.cost.macs for outcome in together]
    assert charged == [reader(doc).trace.cost.macs for doc in documents]
    hidden = Packed.of([torch.randn(len(doc), 32) for doc in documents])
    embeddings = sum(charged) - count_macs(reader.segments[0].fn, hidden)[1]
    tables = {"electra": 16 * 32, "albert": 16 * 32}  # theirs are projected
    assert embeddings == tables.get(family, 0) * sum(hidden.lengths)


def test_long_documents_are_cut_at_the_encoders_positions(random_words) -> None:
    for family, limit in (("bert", 64), ("roberta", 63)):
        reader = make(family)
        long, exact = random_words((80, limit))
        exact.ids = long.ids[:limit]
        outcome = reader(long)
        assert outcome.trace.truncated and outcome.trace.units_read == limit
        assert not reader(exact).trace.truncated
        torch.testing.assert_close(outcome.value, reader(exact).value, atol=1e-6, rtol=0)


def test_only_the_document_with_nan_fails(random_words) -> None:
    reader = make()
    documents = random_words((5, 6, 7), vocab_size=99)
    documents[1].ids[3] = 99
    with torch.no_grad():
        reader.classifier.bert.embeddings.word_embeddings.weight[99] = math.nan
    outcomes = list(Engine(4).run(reader.read, [documents]))
    assert [type(o.error) for o in outcomes] == [type(None), NonFiniteError, type(None)]


def test_mean_pooled_exits_see_no_padding(random_words, padded) -> None:
    reader = make(exit_pooling="mean")
    documents = random_words((4, 20))
    with torch.no_grad():
        both = reader(*padded(documents)).exit_logits[0]
        alone = reader(documents[0].ids[None]).exit_logits[0]
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_linear_exit_is_one_layer_on_what_it_sees(
    family, pooling, random_words, padded, read_all, tmp_path
) -> None:
    make(family, exit_head="linear", exit_pooling=pooling).save_pretrained(tmp_path)
    reader = EarlyExit.from_pretrained(tmp_path).eval()
    documents = random_words(LENGTHS)
    ids, mask = padded(documents)
    with torch.no_grad():
        output = reader(ids, mask)
        hidden = reader.classifier(ids, mask, output_hidden_states=True).hidden_states
    hidden_BTD = hidden[len(hidden) // 3]  # of 3 layers, which ALBERT takes apart further
    layer = reader.exits[0].linear
    texts = [
        states_TD[exists_T.bool()] for states_TD, exists_T in zip(hidden_BTD, mask, strict=True)
    ]
    seen_BD = torch.stack([text.mean(0) if pooling == "mean" else text[0] for text in texts])
    want_BK = seen_BD @ layer.weight.T + layer.bias
    assert want_BK.std(0).min() > 1e-3
    torch.testing.assert_close(output.exit_logits[:, 0], want_BK, atol=1e-5, rtol=0)
    reader.config.thresholds = [0.0, 0.0]  # the first exit answers
    torch.testing.assert_close(values(read_all(reader, [documents])), want_BK, atol=1e-5, rtol=0)
