"""ChunkReader around a classifier as it is: the mean over its chunks, which no training made."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    MPNetConfig,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLNetConfig,
)

from temporal.backbones.text import max_positions
from temporal.models import ChunkReader, EarlyExit
from temporal.policies.halt import CRITERIA

from ..chunk_readers import (
    CHUNKS,
    CLS,
    LENGTHS,
    SEP,
    SIZES,
    classifier,
    dense,
    make,
    plain,
    shaken,
)


@torch.no_grad()
def chunk_scores(reader: ChunkReader, ids: Tensor) -> Tensor:
    """Each chunk's probabilities by the classifier itself, one chunk at a time: `[C, K]`."""
    count = math.ceil(len(ids) / reader.chunk_tokens)
    cuts = [k * len(ids) // count for k in range(count + 1)]
    parts = [ids[a:b].tolist() for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    rows = [torch.tensor([[CLS, *part, SEP]]) for part in parts]
    inner = reader.encoder.classifier
    return torch.cat([inner(input_ids=row).logits.softmax(-1) for row in rows])


@pytest.mark.parametrize("make_reader", [plain, make], ids=["any classifier", "early exit"])
def test_a_text_is_answered_by_the_mean_over_its_chunks(
    make_reader, random_words, read_all
) -> None:
    reader = make_reader()
    documents = random_words(LENGTHS)
    outcomes = read_all(reader, [documents[:2], documents[2:]])
    for document, outcome, chunks in zip(documents, outcomes, CHUNKS, strict=True):
        want = chunk_scores(reader, document.ids).mean(0)
        torch.testing.assert_close(outcome.value.softmax(-1), want, atol=1e-5, rtol=0)
        assert (outcome.trace.exit, outcome.trace.num_exits) == (chunks - 1, chunks)
        assert outcome.trace.units_read == len(document) and not outcome.trace.halted


def test_a_text_of_one_chunk_gets_the_classifiers_own_logits(random_words, read_all) -> None:
    reader = plain()
    (document,) = random_words([6])
    ids = torch.tensor([[CLS, *document.ids.tolist(), SEP]])
    with torch.no_grad():
        want = reader.encoder.classifier(input_ids=ids).logits[0]
    torch.testing.assert_close(read_all(reader, [[document]])[0].value, want, atol=1e-5, rtol=0)


def test_a_budget_reads_that_share_of_the_chunks(random_words, read_all) -> None:
    reader = plain()
    reader.set_budget(0.5)
    documents = random_words((40, 8, 30))
    outcomes = read_all(reader, [documents])
    assert [outcome.trace.units_read for outcome in outcomes] == [20, 8, 10]
    assert [outcome.trace.halted_at for outcome in outcomes] == [19, None, 9]
    assert reader.encoder.classify.rows == 2 + 1 + 1
    want = chunk_scores(reader, documents[0].ids)[:2].mean(0)
    torch.testing.assert_close(outcomes[0].value.exp(), want, atol=1e-5, rtol=0)


def test_it_halts_when_the_running_mean_is_certain(random_words, read_all) -> None:
    reader = make()
    reader.config.depth_thresholds = [0.0, 0.0]
    reader.set_policy("confidence", 0.5)
    assert reader.config.depth_thresholds is None
    reader = plain()
    documents = random_words([50] * 12)
    scores = torch.stack([chunk_scores(reader, document.ids) for document in documents])
    means = scores.cumsum(1) / torch.arange(1, 6)[:, None]
    level = means[:, 0].amax(-1).median().item() - 1e-4
    reader.set_policy("confidence", level)
    reached = means.amax(-1) >= level
    reached[:, -1] = True  # the last chunk always answers
    steps = reached.int().argmax(1).tolist()  # the first of the largest
    assert len(set(steps)) > 1
    outcomes = read_all(reader, [documents[:5], documents[5:]])
    assert [outcome.trace.exit for outcome in outcomes] == steps
    assert [outcome.trace.units_read for outcome in outcomes] == [10 * (s + 1) for s in steps]
    assert reader.encoder.classify.rows == sum(step + 1 for step in steps)


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_every_criterion_is_asked_of_all_answers_so_far(criterion, random_words, read_all) -> None:
    reader = plain(criterion=criterion, window_size=2)
    (document,) = random_words([60])
    answers = dense(reader, [document]).exit_logits.transpose(0, 1)
    options = {"window_size": 2} if criterion == "window" else {}
    certainty = [CRITERIA[criterion](answers[: k + 1], **options).item() for k in range(6)]
    level = max(certainty[:5])
    reader.config.thresholds = [level - 1e-5]
    want = next(k for k, value in enumerate(certainty) if value >= level - 1e-5)
    assert read_all(reader, [[document]])[0].trace.exit == want


def test_regression_averages_numbers(random_words, read_all) -> None:
    config = BertConfig(num_labels=1, problem_type="regression", **SIZES)
    inner = shaken(BertForSequenceClassification(config))
    reader = ChunkReader.from_classifier(inner, ([CLS], [SEP]))
    assert reader.config.criterion == "window"
    (document,) = random_words([20])
    rows = [[CLS, *part.tolist(), SEP] for part in document.ids.split(10)]
    with torch.no_grad():
        want = inner(input_ids=torch.tensor(rows)).logits.mean(0)
    torch.testing.assert_close(read_all(reader, [[document]])[0].value, want, atol=1e-5, rtol=0)


def test_the_classifier_is_a_part_of_the_reader_and_no_copy() -> None:
    inner = classifier()
    before = {name: value.clone() for name, value in inner.state_dict().items()}
    reader = ChunkReader.from_classifier(inner)
    assert reader.encoder.classifier is inner
    early_exit = EarlyExit.from_classifier(inner)
    assert ChunkReader.from_classifier(early_exit, pooling="recurrent").encoder is early_exit
    for name, value in inner.state_dict().items():
        assert torch.equal(value, before[name])  # nothing was initialised anew


def test_a_chunk_is_never_longer_than_the_models_positions() -> None:
    assert plain(chunk_size=500).chunk_tokens == 10
    assert plain(chunk_size=7).chunk_tokens == 5
    roberta = RobertaForSequenceClassification(RobertaConfig(**SIZES, pad_token_id=1))
    assert max_positions(roberta.config) == 10
    # Whatever its padding's id is, it counts from 1 on.
    assert max_positions(MPNetConfig(**SIZES, pad_token_id=5)) == 10
    assert max_positions(XLNetConfig()) is None
    assert ChunkReader.from_classifier(roberta, chunk_size=None).chunk_tokens == 10
