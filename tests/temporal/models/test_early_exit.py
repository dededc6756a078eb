"""EarlyExit around seven families of encoders: equal to them, and cheaper where it halts."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from temporal.engine import Engine
from temporal.macs import count_macs
from temporal.models import EarlyExit, EarlyExitConfig
from temporal.models.checks import NonFiniteError
from temporal.packed import Packed
from temporal.policies.halt import CRITERIA
from temporal.training.exit_policies import certainties, exits_taken

LENGTHS = (2, 31, 9, 17, 17, 5, 40, 12)
_SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 0,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**_SIZES),
    "roberta": RobertaConfig(**_SIZES),
    "electra": ElectraConfig(embedding_size=16, **_SIZES),
    "albert": AlbertConfig(
        embedding_size=16,
        num_hidden_groups=2,
        inner_group_num=2,
        classifier_dropout_prob=0.0,
        **_SIZES,
    ),
    "distilbert": DistilBertConfig(
        vocab_size=100,
        dim=32,
        n_layers=3,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=64,
        num_labels=3,
    ),
    "deberta-v2": DebertaV2Config(
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        conv_kernel_size=3,
        **_SIZES,
    ),
    "modernbert": ModernBertConfig(
        global_attn_every_n_layers=2,
        local_attention=8,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
        **_SIZES,
    ),
}


@torch.no_grad()
def make_classifier(family: str) -> torch.nn.Module:
    """A random classifier whose answers differ between inputs."""
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_config(copy.deepcopy(FAMILIES[family]))
    for parameter in classifier.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return classifier.eval()


@torch.no_grad()
def make(family: str = "bert", exit_layers=(1, 2, 3), **config) -> EarlyExit:
    """A reader whose exits all answer differently."""
    reader = EarlyExit.from_classifier(make_classifier(family), exit_layers, **config).eval()
    for parameter in reader.exits.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return reader


def values(outcomes) -> Tensor:
    return torch.stack([outcome.value for outcome in outcomes])


@torch.no_grad()
def median_certainties(reader: EarlyExit, exit_logits_BEK: Tensor, criterion: str) -> list[float]:
    """Thresholds at which about half of the sources halt at each exit."""
    certainty = CRITERIA[criterion]
    exits = range(1, exit_logits_BEK.shape[1])
    return [certainty(exit_logits_BEK[:, :e].transpose(0, 1)).median().item() for e in exits]


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


@pytest.mark.parametrize("family", FAMILIES)
def test_halting_answers_with_the_exit_of_the_dense_model(
    family, random_words, padded, read_all
) -> None:
    reader = make(family)
    documents = random_words(LENGTHS)
    with torch.no_grad():
        exit_logits = reader(*padded(documents)).exit_logits
    reader.config.thresholds = median_certainties(reader, exit_logits, "confidence")
    reader.config.thresholds = [threshold - 1e-4 for threshold in reader.config.thresholds]
    taken = exits_taken(certainties(reader.config, exit_logits), reader.config.thresholds)
    assert len(taken.unique()) > 1
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    assert [outcome.trace.exit for outcome in outcomes] == taken.tolist()
    want = exit_logits[torch.arange(len(taken)), taken]
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_every_criterion_decides_as_on_the_dense_logits(
    criterion, random_words, padded, read_all
) -> None:
    reader = make(criterion=criterion)
    documents = random_words(LENGTHS)
    with torch.no_grad():
        exit_logits = reader(*padded(documents)).exit_logits
    thresholds = median_certainties(reader, exit_logits, criterion)
    # Halfway to the next value: rounding then decides nothing.
    reader.config.thresholds = [threshold - 1e-4 for threshold in thresholds]
    taken = exits_taken(certainties(reader.config, exit_logits), reader.config.thresholds)
    outcomes = read_all(reader, [documents])
    assert [outcome.trace.exit for outcome in outcomes] == taken.tolist()


def test_temperatures_move_halting_and_neither_answers_nor_scores(
    random_words, padded, read_all
) -> None:
    reader = make("bert")
    documents = random_words(LENGTHS)
    with torch.no_grad():
        exit_logits = reader(*padded(documents)).exit_logits
    # The least certain half of the first exit's logits become as large as the others'.
    reader.config.thresholds = median_certainties(reader, exit_logits, "confidence")
    before = [outcome.trace.exit for outcome in read_all(reader, [documents])]
    reader.config.temperatures = [0.01, 100.0]
    outcomes = read_all(reader, [documents])
    taken = exits_taken(certainties(reader.config, exit_logits), reader.config.thresholds)
    assert [outcome.trace.exit for outcome in outcomes] == taken.tolist() != before
    # All are certain at the first exit now, and it answers with the logits that it always had.
    assert taken.tolist() == [0] * len(documents)
    torch.testing.assert_close(values(outcomes), exit_logits[:, 0], atol=1e-5, rtol=0)


def test_a_layer_runs_only_for_the_sources_that_did_not_halt_before(
    random_words, padded, read_all
) -> None:
    reader = make()
    documents = random_words(LENGTHS)
    with torch.no_grad():
        exit_logits = reader(*padded(documents)).exit_logits
    reader.config.thresholds = median_certainties(reader, exit_logits, "confidence")
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
        exit_logits = reader(*padded(documents)).exit_logits
    thresholds = median_certainties(reader, exit_logits, "confidence")
    reader.config.thresholds = [threshold - 1e-4 for threshold in thresholds]
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


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_keeps_outputs_and_policy(family, tmp_path: Path, random_words, padded) -> None:
    reader = make(family, exit_layers=[2], exit_pooling="first")
    reader.config.thresholds, reader.config.criterion = [0.4], "margin"
    reader.save_pretrained(tmp_path)
    loaded = EarlyExit.from_pretrained(tmp_path).eval()
    config = loaded.config
    assert (config.exit_layers, config.exit_pooling) == ([2, 3], "first")
    assert (config.thresholds, config.criterion) == ([0.4], "margin")
    inputs = padded(random_words(LENGTHS))
    with torch.no_grad():
        a, b = reader(*inputs), loaded(*inputs)
    torch.testing.assert_close(a.exit_logits, b.exit_logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    family, tmp_path: Path
) -> None:
    reader = make(family)
    heads = {f"classifier.{name}" for name in reader.exits[0].names}
    kept = {
        name: value
        for name, value in reader.state_dict().items()
        if not name.startswith(("exits.", *heads))
    }
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = EarlyExit.from_pretrained(tmp_path)
    missing = 0
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        else:
            missing += 1
            assert torch.isfinite(value).all() and value.abs().max() < 2, name
            if name.endswith("weight") and value.dim() == 2:
                assert 0.001 < value.std() < 0.5, name
    assert missing


def test_exits_start_as_the_classifiers_own_head(random_words, padded) -> None:
    classifier = make_classifier("bert")
    reader = EarlyExit.from_classifier(classifier, [1, 2, 3])
    for branch in reader.exits:
        torch.testing.assert_close(
            branch.parts[0].dense.weight, classifier.bert.pooler.dense.weight
        )
        torch.testing.assert_close(branch.parts[2].weight, classifier.classifier.weight)
        assert branch.parts[2] is not reader.classifier.classifier


def test_loss_weighs_exits_by_their_depth(random_words, padded) -> None:
    reader = make()
    ids, mask = padded(random_words((5, 9)))
    labels = torch.tensor([2, 0])
    output = reader(ids, mask, labels=labels)
    losses = [F.cross_entropy(output.exit_logits[:, e], labels) for e in range(3)]
    torch.testing.assert_close(output.loss, (losses[0] + 2 * losses[1] + 3 * losses[2]) / 6)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_parameter(family, random_words, padded) -> None:
    reader = make(family).train()
    ids, mask = padded(random_words((9, 14)))
    reader(ids, mask, labels=torch.tensor([0, 2])).loss.backward()
    for name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_mean_pooled_exits_see_no_padding(random_words, padded) -> None:
    reader = make(exit_pooling="mean")
    documents = random_words((4, 20))
    with torch.no_grad():
        both = reader(*padded(documents)).exit_logits[0]
        alone = reader(documents[0].ids[None]).exit_logits[0]
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


def fields(family: str = "bert") -> dict:
    return {**FAMILIES[family].to_dict(), "model_type": family}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"exit_layers": [0, 2]}, r"exit_layers \(\[0, 2\]\) must lie between 1 and .* 3 layers"),
        ({"exit_layers": [4]}, r"exit_layers \(\[4\]\) must lie between"),
        ({"exit_pooling": "max"}, r"exit_pooling \('max'\) must be one of \['first', 'mean'\]"),
        ({"criterion": "hope"}, r"criterion \('hope'\) must be one of"),
        ({"exit_layers": [1], "thresholds": [0.5, 0.5]}, "one number for each of the 1 exits"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        EarlyExitConfig(encoder=fields(), **config)


def test_exits_are_every_layer_unless_chosen_and_end_with_the_last() -> None:
    assert EarlyExitConfig(encoder=fields()).exit_layers == [1, 2, 3]
    assert EarlyExitConfig(encoder=fields(), exit_layers=[2, 1]).exit_layers == [1, 2, 3]
    assert EarlyExitConfig(encoder=fields(), exit_layers=[3]).exit_layers == [3]


def test_an_encoder_of_no_known_family_is_refused_by_name() -> None:
    config = GPT2Config(vocab_size=50, n_embd=8, n_layer=2, n_head=2, num_labels=2)
    classifier = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(ValueError, match=r"model_type \('gpt2'\) must be one of \['albert'"):
        EarlyExit.from_classifier(classifier)


def test_a_policy_sets_one_threshold_for_all_exits() -> None:
    reader = make()
    reader.set_policy("patience", 2)
    assert (reader.config.criterion, reader.config.thresholds) == ("patience", [2.0, 2.0])
    reader.set_policy("patience", None)
    assert reader.config.thresholds is None
    with pytest.raises(ValueError, match=r"policy \('read'\) must be one of"):
        reader.set_policy("read", 0.5)
