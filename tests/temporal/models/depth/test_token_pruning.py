"""Token pruning drops what the papers' formulas say, and what is dropped is not computed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from temporal.backbones.text import PaddedTokens
from temporal.macs import count_macs
from temporal.models import EarlyExit, EarlyExitConfig
from temporal.models.depth.pruned_layers import PrunedLayers
from temporal.policies.skip import READ, SKIM

LENGTHS = (9, 31, 2, 17, 17, 5, 40, 12)
DEPTH = 4
_SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 0,
}
_MODERN = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
FAMILIES: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**_SIZES),
    "roberta": RobertaConfig(**_SIZES),
    "electra": ElectraConfig(embedding_size=16, **_SIZES),
    "albert": AlbertConfig(embedding_size=16, inner_group_num=2, **_SIZES),
    "distilbert": DistilBertConfig(
        vocab_size=100,
        dim=32,
        n_layers=DEPTH,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=64,
        num_labels=3,
    ),
    "modernbert": ModernBertConfig(
        global_attn_every_n_layers=2, local_attention=8, **_MODERN, **_SIZES
    ),
    "modernbert-mean": ModernBertConfig(
        global_attn_every_n_layers=2,
        local_attention=8,
        classifier_pooling="mean",
        **_MODERN,
        **_SIZES,
    ),
}
POLICIES: dict[str, dict[str, Any]] = {
    "power": {"pruning": "power", "kept_tokens": [0.8, 0.5, 4]},
    "ltp": {"pruning": "ltp"},
    "transkimmer": {"pruning": "transkimmer"},
}


@torch.no_grad()
def make(method: str, family: str = "bert", **config: Any) -> EarlyExit:
    """A reader that drops some tokens in every layer that may."""
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_config(copy.deepcopy(FAMILIES[family]))
    reader = EarlyExit.from_classifier(classifier, **POLICIES[method], **config).eval()
    for parameter in reader.parameters():  # so that some tokens matter much more than others
        parameter.add_(torch.randn_like(parameter) * 0.3)
    if method != "power":
        drop_a_third_in_every_layer(reader)
    return reader


def drop_a_third_in_every_layer(reader: EarlyExit) -> None:
    """Set what a pruner has learned by what it sees of random texts, layer after layer."""
    ids = torch.randint(3, 100, (6, 20))
    pruner = reader.pruner
    for layer in range(DEPTH if reader.config.pruning == "transkimmer" else DEPTH - 1):
        seen: list[Tensor] = []
        hard = pruner.hard

        def watched(k: int, evidence: Tensor, tokens: Any, hard=hard, layer=layer, seen=seen):
            if k == layer:
                seen.append(evidence[tokens.mask_BT & ~tokens.ends()])
            return hard(k, evidence, tokens)

        pruner.hard = watched
        reader(ids)
        del pruner.hard
        if reader.config.pruning == "ltp":
            pruner.threshold_L[layer] = seen[0].quantile(0.33)
        else:
            logits = pruner.predictors[layer](seen[0])
            pruner.predictors[layer][-1].bias[SKIM] += (logits[:, READ] - logits[:, SKIM]).quantile(
                0.33
            )


def values(outcomes: list[Any]) -> Tensor:
    return torch.stack([outcome.value for outcome in outcomes])


def token_layers(outcomes: list[Any]) -> list[int]:
    return [outcome.trace.token_layers for outcome in outcomes]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", POLICIES)
def test_reading_without_the_dropped_tokens_equals_masking_them(
    method, family, random_words, padded, read_all
) -> None:
    reader = make(method, family)
    documents = random_words(LENGTHS)
    with torch.no_grad():
        dense = reader(*padded(documents))
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    torch.testing.assert_close(values(outcomes), dense.logits, atol=1e-5, rtol=0)
    kept = sum(token_layers(outcomes)) / (DEPTH * sum(LENGTHS))
    assert 0.2 < kept < 0.9


@pytest.mark.parametrize("method", POLICIES)
def test_exits_answer_on_what_is_left_as_the_dense_model_does(
    method, random_words, padded, read_all
) -> None:
    reader = make(method)
    documents = random_words(LENGTHS)
    with torch.no_grad():
        exit_logits = reader(*padded(documents)).exit_logits
    for exit_number in range(DEPTH):
        reader.config.thresholds = [9.0] * exit_number + [0.0] * (DEPTH - 1 - exit_number)
        outcomes = read_all(reader, [documents])
        assert all(outcome.trace.exit == exit_number for outcome in outcomes)
        want = exit_logits[:, exit_number]
        torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", POLICIES)
def test_any_batch_equals_one_by_one(method, random_words, read_all) -> None:
    reader = make(method)
    reader.set_policy("confidence", 0.5)
    documents = random_words(LENGTHS)
    alone = [reader(doc) for doc in documents]
    together = read_all(reader, [documents[:5], documents[5:]], max_in_flight=64)
    torch.testing.assert_close(values(together), values(alone), atol=1e-5, rtol=0)
    assert token_layers(together) == token_layers(alone)
    assert [o.trace.exit for o in together] == [o.trace.exit for o in alone]
    assert [o.trace.cost.macs for o in together] == [o.trace.cost.macs for o in alone]
    assert [o.trace.read for o in together] == [o.trace.read for o in alone]


@pytest.mark.parametrize("family", ["bert", "modernbert-mean", "albert"])
@pytest.mark.parametrize("method", POLICIES)
def test_the_macs_are_those_that_ran(method, family, random_words, read_all) -> None:
    reader = make(method, family)
    documents = random_words(LENGTHS)
    read_all(reader, [documents])  # the parts are measured now
    outcomes, ran = count_macs(read_all, reader, [documents])
    charged = sum(outcome.trace.cost.macs for outcome in outcomes)
    assert abs(charged - ran) <= len(documents)  # shares are rounded


@pytest.mark.parametrize("method", POLICIES)
def test_layers_compute_only_what_is_left(method, random_words, monkeypatch) -> None:
    reader = make(method)
    entered, left = [], []
    attend, feed = PrunedLayers.attend, PrunedLayers.feed

    def watched_attend(self: Any, k: int, hidden: Tensor, tokens: Any) -> Tensor:
        entered.append(hidden.shape[1])
        return attend(self, k, hidden, tokens)

    def watched_feed(self: Any, k: int, hidden: Tensor) -> Tensor:
        left.append(hidden.shape[1])
        return feed(self, k, hidden)

    (doc,) = random_words([24])
    reader(doc)  # measures the parts
    monkeypatch.setattr(PrunedLayers, "attend", watched_attend)
    monkeypatch.setattr(PrunedLayers, "feed", watched_feed)
    trace = reader(doc).trace
    assert trace.token_layers == sum(entered) and len(entered) == DEPTH
    assert left[-1] == 1  # the answer looks at the first token alone
    if method == "power":
        assert (entered, left) == ([24, 20, 12, 4], [20, 12, 4, 1])
    else:
        assert entered == sorted(entered, reverse=True) and len(set(entered)) >= 3
        assert left[:-1] == (entered[1:] if method == "ltp" else entered[:-1])


def attention_received(reader: EarlyExit, ids: Tensor) -> Tensor:
    """Of the first layer, from the library's own attention: `[T]`."""
    bert = copy.deepcopy(reader.classifier.bert)
    bert.set_attn_implementation("eager")
    attention_HTT = bert(ids[None], output_attentions=True).attentions[0][0]
    return attention_HTT.mean((0, 1))


@torch.no_grad()
def test_power_keeps_the_tokens_with_the_largest_column_sums(random_words) -> None:
    reader = make("power")
    (doc,) = random_words([20])
    significance = attention_received(reader, doc.ids)
    inner = 1 + significance[1:-1].argsort(descending=True)[:14]
    want = sorted([0, 19, *inner.tolist()])  # the special tokens and 14 others are 80 %
    assert places_after_first_layer(reader, doc) == want


@torch.no_grad()
def test_ltp_keeps_the_tokens_above_the_threshold(random_words) -> None:
    reader = make("ltp")
    (doc,) = random_words([20])
    received = attention_received(reader, doc.ids)
    want = [k for k in range(20) if k in (0, 19) or received[k] > reader.pruner.threshold_L[0]]
    assert 4 < len(want) < 20
    assert places_after_first_layer(reader, doc) == want


def places_after_first_layer(reader: EarlyExit, doc: Any) -> list[int]:
    seen: list[list[int]] = []
    segment = reader.segments[1].fn

    def watched(*state: Any) -> Any:
        seen.append(state[1].values.tolist())
        return segment(*state)

    reader.segments[1].fn = watched
    reader(doc)
    return seen[0]


@torch.no_grad()
def test_transkimmer_keeps_what_its_network_says_and_skims_before_the_first_layer(
    random_words,
) -> None:
    reader = make("transkimmer")
    (doc,) = random_words([30])
    places = torch.arange(30)[None]
    hidden = reader.classifier.bert.embeddings(doc.ids[None], position_ids=places)
    norm, linear, inner_norm, gelu, last = reader.pruner.predictors[0]
    logits = last(gelu(inner_norm(linear(norm(hidden)))))[0]
    kept = (logits[:, READ] > logits[:, SKIM]).tolist()
    kept[0] = kept[-1] = True
    trace = reader(doc).trace
    assert trace.read == tuple(k for k in range(30) if kept[k])
    assert trace.skimmed == tuple(k for k in range(30) if not kept[k])
    assert 2 < len(trace.skimmed) < 20


@pytest.mark.parametrize("method", ["power", "ltp"])
def test_a_token_that_one_layer_computed_counts_as_read(method, random_words) -> None:
    (doc,) = random_words([30])
    trace = make(method)(doc).trace
    assert trace.read == tuple(range(30)) and trace.skimmed == ()
    assert 30 < trace.token_layers < DEPTH * 30


@torch.no_grad()
@pytest.mark.parametrize("method", POLICIES)
def test_special_tokens_stay_whatever_the_pruner_says(method, random_words, read_all) -> None:
    reader = make(method)
    reader.config.kept_tokens = [1e-3] * 3
    if method == "ltp":
        reader.pruner.threshold_L.fill_(2.0)
    if method == "transkimmer":
        for predictor in reader.pruner.predictors:
            predictor[-1].bias[SKIM] = 99.0
    lengths = (12, 2, 1)
    outcomes = read_all(reader, [random_words(lengths)])
    ends = [min(length, 2) for length in lengths]
    if method == "transkimmer":
        assert token_layers(outcomes) == [DEPTH * end for end in ends]
    else:  # the first layer's attention needs all
        assert token_layers(outcomes) == [
            length + (DEPTH - 1) * end for length, end in zip(lengths, ends, strict=True)
        ]


def without_dropout(reader: EarlyExit) -> EarlyExit:
    for module in reader.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return reader


@torch.no_grad()
def test_transkimmer_trains_on_what_inference_computes(random_words, padded) -> None:
    """Where its network is sure, a sampled decision is the likelier one."""
    reader = without_dropout(make("transkimmer"))
    for predictor in reader.pruner.predictors:
        predictor[-1].weight.mul_(3e3)
    inputs = padded(random_words(LENGTHS))
    want = reader(*inputs).exit_logits
    torch.testing.assert_close(reader.train()(*inputs).exit_logits, want, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("method", ["power", "ltp"])
def test_the_hard_stage_trains_on_what_inference_computes(method, random_words, padded) -> None:
    reader = without_dropout(make(method))
    inputs = padded(random_words(LENGTHS))
    labels = torch.zeros(len(LENGTHS), dtype=torch.long)
    want = reader(*inputs, labels=labels)
    trained = reader.train()(*inputs, labels=labels)
    torch.testing.assert_close(trained.exit_logits, want.exit_logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(trained.loss, want.loss)  # nothing to pay for
    assert not any(parameter.requires_grad for parameter in reader.pruner.parameters())


@pytest.mark.parametrize("method", POLICIES)
def test_the_loss_pays_for_tokens_and_teaches_every_weight(method, random_words, padded) -> None:
    reader = without_dropout(make(method, pruning_soft=True, pruning_temperature=0.01)).train()
    ids, mask = padded(random_words(LENGTHS))
    labels = torch.arange(len(LENGTHS)) % 3
    torch.manual_seed(3)
    loss = reader(ids, mask, labels=labels).loss
    reader.layers.loss_weight = 0.0
    torch.manual_seed(3)
    free = reader(ids, mask, labels=labels).loss
    assert 0 < loss - free < 0.1  # a mean of shares, times the weight
    loss.backward()
    for name, parameter in reader.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    reader.eval()
    with torch.no_grad():
        evaluated = reader(ids, mask, labels=labels).loss
        reader.layers.loss_weight = 7.0
        torch.testing.assert_close(reader(ids, mask, labels=labels).loss, evaluated)


@torch.no_grad()
def test_ltp_pays_for_the_mean_of_its_soft_masks(random_words, padded) -> None:
    reader = without_dropout(make("ltp", pruning_soft=True, pruning_temperature=0.01)).train()
    (doc,) = random_words([20])
    received = attention_received(reader, doc.ids)
    masks = ((received[1:-1] - reader.pruner.threshold_L[0]) / 0.01).sigmoid()
    run = reader.layers.padded(PaddedTokens(torch.ones(1, 20)))
    places = torch.arange(20)[None]
    run.run(range(1), reader.classifier.bert.embeddings(doc.ids[None], position_ids=places))
    torch.testing.assert_close(run.shares[0], (masks.sum() + 2) / 20)
    torch.testing.assert_close(run.tokens.weights_BT[0, 1:-1], masks)


@torch.no_grad()
def test_power_learns_its_schedule_from_retention_parameters() -> None:
    reader = make("power")
    pruner = reader.pruner
    assert pruner.kept() == [0.8, 0.5, 4]
    reader.config.kept_tokens = None
    pruner.retention_LR.fill_(1.0)
    assert pruner.kept() == [1.0, 1.0, 1.0]
    pruner.retention_LR[1, 32:] = -0.3  # below 0 is none
    pruner.retention_LR[2, :] = 0.25
    assert pruner.kept() == [1.0, 0.5, 0.25]
    # Deeper layers count more.
    torch.testing.assert_close(pruner.penalty([]), torch.tensor((1 + 2 * 0.5 + 3 * 0.25) / 6))


@torch.no_grad()
@pytest.mark.parametrize("method", POLICIES)
def test_a_new_pruner_keeps_everything_it_can(method, random_words, read_all, tmp_path) -> None:
    """Fine-tuning starts from a checkpoint without a pruner, and first computes as it did."""
    whole = make("power")
    whole.config.pruning = None
    plain = EarlyExit(whole.config).eval()
    plain.save_pretrained(tmp_path)
    config = EarlyExitConfig.from_pretrained(tmp_path)
    config.pruning, config.kept_tokens, config.pruning_threshold = method, None, 0.0
    loaded = EarlyExit.from_pretrained(tmp_path, config=config).eval()
    documents = random_words(LENGTHS)
    outcomes = read_all(loaded, [documents])
    want = values(read_all(plain, [documents]))
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)
    assert token_layers(outcomes) == [DEPTH * length for length in LENGTHS]


@pytest.mark.parametrize("method", POLICIES)
def test_saving_keeps_what_was_learned(method, tmp_path: Path, random_words, padded) -> None:
    reader = make(method)
    reader.save_pretrained(tmp_path)
    loaded = EarlyExit.from_pretrained(tmp_path).eval()
    inputs = padded(random_words(LENGTHS))
    with torch.no_grad():
        a, b = reader(*inputs), loaded(*inputs)
    torch.testing.assert_close(a.exit_logits, b.exit_logits, atol=1e-5, rtol=0)


def test_wrong_settings_are_refused_by_name() -> None:
    fields = {**FAMILIES["bert"].to_dict(), "model_type": "bert"}
    with pytest.raises(ValueError, match=r"pruning \('guess'\) must be one of \['ltp', 'power'"):
        EarlyExitConfig(encoder=fields, pruning="guess")
    for kept in ([0.5], [0.5, 0.0, 0.2]):
        with pytest.raises(ValueError, match="one number above 0 for each of the 3 layers before"):
            EarlyExitConfig(encoder=fields, pruning="power", kept_tokens=kept)
    deberta = AutoModelForSequenceClassification.from_config(DebertaV2Config(**_SIZES))
    with pytest.raises(ValueError, match="those of model_type 'deberta-v2' cannot"):
        EarlyExit.from_classifier(deberta, pruning="ltp")
