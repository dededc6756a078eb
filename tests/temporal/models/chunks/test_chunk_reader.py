"""ChunkReader: equal to its dense reference, and what it does not read is not computed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
)

from temporal.checks import NonFiniteError
from temporal.data import Document
from temporal.engine import Engine
from temporal.models import ChunkReader, ChunkReaderConfig
from temporal.models.chunks.chunk_pooling import POOLINGS
from temporal.models.chunks.chunk_reader import Skim
from temporal.policies.halt import CRITERIA
from temporal.training.chunk_evidence import first_certain

from ..chunk_readers import (
    CHUNKS,
    LENGTHS,
    dense,
    evidence_of,
    make,
    plain,
)


def values(outcomes: list[Any]) -> Tensor:
    return torch.stack([outcome.value for outcome in outcomes])


READERS: dict[str, dict[str, Any]] = {
    "mean": {},
    "mean after a skim": {"skim_buckets": 50, "order": "skim"},
    "recurrent": {"pooling": "recurrent", "hidden_size": 5, "order": "end_first"},
    "recurrent after a skim": {"pooling": "recurrent", "skim_buckets": 50, "order": "skim"},
    "attention": {"pooling": "attention", "order": "coarse_to_fine"},
    "attention after a skim": {"pooling": "attention", "skim_buckets": 0, "order": "skim"},
}
readers = pytest.mark.parametrize("config", READERS.values(), ids=READERS)


@readers
def test_without_halting_it_is_its_dense_reference(config, random_words, read_all) -> None:
    reader = make(**config)
    documents = random_words(LENGTHS)
    want = dense(reader, documents)
    assert want.logits.std(0).min() > 1e-3  # else equality would say nothing
    outcomes = read_all(reader, [documents[:4], documents[4:]])
    torch.testing.assert_close(values(outcomes), want.logits, atol=1e-5, rtol=0)
    skims = int(reader.skim is not None)
    for outcome, chunks, length in zip(outcomes, CHUNKS, LENGTHS, strict=True):
        trace = outcome.trace
        assert (trace.exit, trace.num_exits) == (chunks - 1 + skims, chunks + skims)
        assert trace.halted_at is None and not trace.halted and not trace.skimmed
        assert sorted(trace.read) == list(range(length))
        assert trace.token_layers == 3 * (length + 2 * chunks)
    assert reader.encoder.embed.rows == sum(CHUNKS) == reader.pool.rows


@readers
def test_it_halts_over_depth_and_chunks_as_the_dense_reference_would(
    config, random_words, read_all
) -> None:
    reader = make(**config)
    documents = random_words(LENGTHS)
    evidence = evidence_of(reader, documents)
    certainties = evidence.padded(evidence.certainties_ME, range(len(documents)))
    there = evidence.batch(range(len(documents)))["chunk_mask"]
    # Halfway between two values: rounding then decides nothing.
    reader.config.depth_thresholds = [c.median().item() - 1e-4 for c in certainties[there].T]
    exits = first_certain(certainties, reader.config.depth_thresholds)
    answers = dense(reader, documents, exits=exits).exit_logits
    assert len(exits[there].unique()) > 1
    levels = CRITERIA["confidence"](answers.transpose(0, 1)[:1])
    reader.config.thresholds = [levels.median().item() - 1e-4]
    sure = answers.softmax(-1).amax(-1) >= reader.config.thresholds[0]
    skims = int(reader.skim is not None)
    last = torch.tensor(CHUNKS) - 1 + skims
    sure[range(len(documents)), last] = True
    steps = sure.int().argmax(1)
    assert (steps < last).any()
    outcomes = read_all(reader, [documents[:3], documents[3:]])
    assert [outcome.trace.exit for outcome in outcomes] == steps.tolist()
    want = answers[range(len(documents)), steps]
    torch.testing.assert_close(values(outcomes), want, atol=1e-5, rtol=0)
    # What was not read was not computed, neither a chunk nor a layer of it.
    read = (steps + 1 - skims).tolist()
    assert reader.encoder.embed.rows == sum(read)
    layers = sum(outcome.trace.token_layers for outcome in outcomes)
    assert layers < 3 * sum(outcome.trace.units_read + 2 * n for outcome, n in zip(outcomes, read))  # noqa: B905
    orders = reader.order(CHUNKS, skim_of(evidence, skims))
    for outcome, chunks, order, count in zip(
        outcomes, evidence.chunks(), orders, read, strict=True
    ):
        taken = [unit for c in order[:count] for unit in chunks[c]]
        assert list(outcome.trace.read) == taken
        left = sorted(set(range(len(outcome.source))) - set(taken))
        assert list(outcome.trace.skimmed) == (left if skims else [])
        assert outcome.trace.halted_at == (taken[-1] if taken and left else None)


def skim_of(evidence: Any, skims: int) -> Any:
    if not skims:
        return None
    batch = evidence.batch(range(len(evidence)))
    return Skim(batch["skim_logits"], batch["skim_scores"])


@pytest.mark.parametrize("cohort", [1, 4])
@pytest.mark.parametrize("max_in_flight", [1, 64])
@readers
def test_any_batch_and_any_order_equals_one_by_one(
    config, cohort, max_in_flight, random_words, read_all
) -> None:
    reader = make(**config)
    reader.config.thresholds, reader.config.depth_thresholds = [0.6, 0.7], [0.7, 0.5]
    documents = random_words(LENGTHS * 2)
    alone = [reader(document) for document in documents]
    assert len({outcome.trace.exit for outcome in alone}) > 1
    order = torch.randperm(len(documents)).tolist()
    items = [[documents[k] for k in order[i : i + cohort]] for i in range(0, len(order), cohort)]
    for k, outcome in zip(order, read_all(reader, items, max_in_flight), strict=True):
        torch.testing.assert_close(outcome.value, alone[k].value, atol=1e-5, rtol=0)
        assert outcome.trace.read == alone[k].trace.read
        assert outcome.trace.token_layers == alone[k].trace.token_layers


def test_what_the_skim_answers_never_reaches_the_encoder(random_words, read_all) -> None:
    reader = make(skim_buckets=50, order="skim", pooling="recurrent")
    documents = random_words(LENGTHS)
    sure = dense(reader, documents).exit_logits[:, 0].softmax(-1).amax(-1)
    level = sure.median().item()
    reader.config.thresholds = [level - 1e-4, math.inf]
    outcomes = read_all(reader, [documents])
    for outcome, certainty, chunks in zip(outcomes, sure, CHUNKS, strict=True):
        trace = outcome.trace
        if certainty >= level - 1e-4:
            assert (trace.exit, trace.read, trace.token_layers) == (0, (), 0)
            assert list(trace.skimmed) == list(range(len(outcome.source)))
            assert trace.halted and trace.cost.macs == 0
        else:
            assert trace.exit == chunks and not trace.skimmed
    going_on = sum(n for n, c in zip(CHUNKS, sure.tolist(), strict=True) if c < level - 1e-4)
    assert reader.encoder.embed.rows == going_on > 0


def test_a_document_of_ten_thousand_tokens_is_read_to_its_end(random_words, read_all) -> None:
    reader = make(pooling="recurrent", skim_buckets=20, positions=102)
    (document,) = random_words([10_000])
    outcome = read_all(reader, [[document]])[0]
    assert outcome.trace.units_read == 10_000 and outcome.trace.exit == 100
    assert not outcome.trace.truncated
    torch.testing.assert_close(
        outcome.value, dense(reader, [document]).logits[0], atol=1e-4, rtol=0
    )


def test_sentences_stay_whole_and_are_joined_up_to_the_size(read_all) -> None:
    # Sentences of 3, 4, 5, 14 and 1 tokens, and two ends with nothing between them.
    words = ["a b c.", "a b c d.", "a b c d e.", "a b c d e f g h i j k l m n.", "", "z."]
    text = " ".join(words)
    spans = [(k, k + len(word)) for k, word in _words(text)]
    document = Document(text, ids=[3 + k for k in range(len(spans))], offsets=np.array(spans))
    reader = make(split="sentences", pooling="recurrent")
    assert reader.cut(document) == [
        range(0, 7),  # 3 + 4
        range(7, 12),  # the long one does not fit beside it
        range(12, 19),
        range(19, 27),  # its rest, and the last
    ]
    (outcome,) = read_all(reader, [[document]])
    assert outcome.trace.exit == 3
    torch.testing.assert_close(
        outcome.value, dense(reader, [document]).logits[0], atol=1e-5, rtol=0
    )


def _words(text: str) -> list[tuple[int, str]]:
    found, place = [], 0
    for word in text.split():
        place = text.index(word, place)
        found.append((place, word))
        place += len(word)
    return found


def test_only_the_document_with_nan_fails(random_words) -> None:
    reader = make(pooling="recurrent", skim_buckets=20)
    documents = random_words((25, 26, 7), vocab_size=99)
    documents[1].ids[3] = 99
    with torch.no_grad():
        reader.encoder.classifier.bert.embeddings.word_embeddings.weight[99] = math.nan
    outcomes = list(Engine(4).run(reader.read, [documents]))
    assert [type(o.error) for o in outcomes] == [type(None), NonFiniteError, type(None)]


@readers
def test_saving_keeps_outputs_and_policy(config, tmp_path: Path, random_words) -> None:
    reader = make(**config)
    reader.config.thresholds, reader.config.depth_thresholds = [0.9, 0.8], [0.7, 0.6]
    reader.save_pretrained(tmp_path)
    loaded = ChunkReader.from_pretrained(tmp_path).eval()
    assert isinstance(AutoConfig.from_pretrained(tmp_path), ChunkReaderConfig)
    for name in (
        "thresholds",
        "depth_thresholds",
        "order",
        "pooling",
        "special_tokens",
        "id2label",
    ):
        assert getattr(loaded.config, name) == getattr(reader.config, name)
    documents = random_words(LENGTHS)
    a, b = dense(reader, documents), dense(loaded, documents)
    torch.testing.assert_close(a.exit_logits, b.exit_logits, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pooling", ["recurrent", "attention"])
def test_weights_missing_from_a_checkpoint_start_sane_and_the_others_stay(
    pooling, tmp_path: Path
) -> None:
    reader = make(pooling=pooling, skim_buckets=20)
    kept = {k: v.clone() for k, v in reader.state_dict().items() if k.startswith("encoder.")}
    kept["pooling.scales"] = reader.pooling.scales.detach().clone()
    reader.save_pretrained(tmp_path, state_dict=dict(kept))  # it empties what it is given
    loaded = ChunkReader.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        elif name.startswith("skim.") or "correct" in name or name.endswith("project_bias"):
            assert not value.any(), name  # no opinion yet
        else:
            assert torch.isfinite(value).all() and 0 < value.abs().max() <= 2, name


def test_training_starts_from_the_encoder_and_reaches_every_weight(random_words) -> None:
    for pooling in ("recurrent", "attention"):
        reader = make(pooling=pooling, skim_buckets=20, pooling_dropout=0.0)
        documents = random_words(LENGTHS)
        batch = evidence_of(reader, documents).batch(range(len(documents)))
        reader.train()
        reader.encoder.requires_grad_(False)
        reader.skim.requires_grad_(False)
        exits = torch.randint(0, 3, batch["chunk_mask"].shape)
        loss = reader(**batch, exits=exits, labels=torch.tensor([0, 1, 2, 0, 1, 2])).loss
        loss.backward()
        for name, parameter in reader.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_loss_is_the_mean_over_the_answers_that_exist(random_words) -> None:
    reader = make(pooling="recurrent", skim_buckets=20)
    documents = random_words((25, 3))
    labels = torch.tensor([2, 0])
    output = dense(reader, documents, labels=labels)
    # The skim's answer comes first; then three chunks, and one.
    told = [*output.exit_logits[0, 1:4], output.exit_logits[1, 1]]
    losses = [-row.log_softmax(-1)[k] for row, k in zip(told, (2, 2, 2, 0), strict=True)]
    torch.testing.assert_close(output.loss, torch.stack(losses).mean())
    soft = dense(reader, documents, labels=torch.eye(3)[labels])  # probabilities, as of a teacher
    torch.testing.assert_close(soft.loss, output.loss)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"split": "words"}, r"split \('words'\) must be one of \['sentences', 'tokens'\]"),
        ({"order": "backwards"}, r"order \('backwards'\) must be one of"),
        ({"order": "skim"}, r"order \('skim'\) needs classes, and a reader that skims"),
        ({"pooling": "max"}, r"pooling \('max'\) must be one of"),
        ({"pooling": "recurrent"}, r"pooling \('recurrent'\) needs an encoder that tells what"),
        ({"chunk_size": 2}, r"chunk_size \(2\) must leave room for at least one token"),
        ({"max_share": 1.5}, r"max_share \(1.5\) must be between 0"),
        ({"criterion": "hope"}, r"criterion \('hope'\) must be one of"),
        ({"skim_buckets": -1}, r"skim_buckets \(-1\) must be a whole number >= 0"),
        ({"skim_buckets": 2.5}, r"skim_buckets \(2.5\) must be a whole number"),
        ({"thresholds": []}, r"thresholds \(\[\]\) must hold at least one number"),
        ({"depth_thresholds": [0.5]}, r"depth_thresholds \(\[0.5\]\) must hold one number for"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(config, message) -> None:
    with pytest.raises(Exception, match=message):
        plain(**config)


def test_poolings_are_those_that_the_configuration_knows() -> None:
    assert set(POOLINGS) == {"mean", "recurrent", "attention"}
    for pooling in POOLINGS:
        assert make(pooling=pooling).config.pooling == pooling
