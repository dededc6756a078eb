"""Any classifier read piece by piece: the running mean of its probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    XLNetConfig,
)

from temporal.models import ChunkReader, ClipReader, RunningMeanPolicy
from temporal.models.encoders import max_positions

SIZES = {
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
}
CLS, SEP = 1, 2


@torch.no_grad()
def chunk_reader(**config) -> ChunkReader:
    classifier = BertForSequenceClassification(BertConfig(num_labels=3, **SIZES))
    for parameter in classifier.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return ChunkReader(classifier, ([CLS], [SEP]), **config)


@torch.no_grad()
def chunk_scores(reader: ChunkReader, ids: Tensor) -> Tensor:
    """Each chunk's probabilities by the classifier itself, one chunk at a time: `[C, K]`."""
    size = reader.chunk_size - 2
    rows = [torch.tensor([[CLS, *part.tolist(), SEP]]) for part in ids.split(size)]
    return torch.cat([reader.classifier(input_ids=row).logits.softmax(-1) for row in rows])


def test_a_text_is_answered_by_the_mean_over_its_chunks(random_words, read_all) -> None:
    reader = chunk_reader()
    documents = random_words((35, 3, 10, 11))
    outcomes = read_all(reader, [documents[:2], documents[2:]])
    for doc, outcome, chunks in zip(documents, outcomes, (4, 1, 1, 2), strict=True):
        want = chunk_scores(reader, doc.ids).mean(0)
        torch.testing.assert_close(outcome.value.softmax(-1), want, atol=1e-5, rtol=0)
        assert (outcome.trace.exit, outcome.trace.num_exits) == (chunks - 1, chunks)
        assert outcome.trace.units_read == len(doc) and not outcome.trace.halted
    assert reader.classify.rows == 8


def test_a_text_of_one_chunk_gets_the_classifiers_own_logits(random_words, read_all) -> None:
    reader = chunk_reader()
    (doc,) = random_words([6])
    ids = torch.tensor([[CLS, *doc.ids.tolist(), SEP]])
    with torch.no_grad():
        want = reader.classifier(input_ids=ids).logits[0]
    torch.testing.assert_close(read_all(reader, [[doc]])[0].value, want, atol=1e-5, rtol=0)


def test_a_budget_reads_that_share_of_the_chunks(random_words, read_all) -> None:
    reader = chunk_reader()
    reader.set_budget(0.5)
    documents = random_words((40, 8, 30))
    outcomes = read_all(reader, [documents])
    assert [outcome.trace.units_read for outcome in outcomes] == [20, 8, 10]
    assert [outcome.trace.halted_at for outcome in outcomes] == [19, None, 9]
    assert reader.classify.rows == 2 + 1 + 1
    want = chunk_scores(reader, documents[0].ids)[:2].mean(0)
    torch.testing.assert_close(outcomes[0].value.exp(), want, atol=1e-5, rtol=0)


def test_it_halts_when_the_running_mean_is_certain(random_words, read_all) -> None:
    reader = chunk_reader()
    documents = random_words([50] * 12)
    scores = torch.stack([chunk_scores(reader, doc.ids) for doc in documents])
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
    assert reader.classify.rows == sum(step + 1 for step in steps)


@pytest.mark.parametrize(
    ("total", "budget", "pieces"), [(10, 1.0, 10), (10, 0.3, 3), (10, 0.0, 1), (3, 0.5, 1)]
)
def test_a_budget_allows_whole_pieces_and_at_least_one(total, budget, pieces) -> None:
    assert RunningMeanPolicy(budget=budget).pieces(total) == pieces


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": 2}, r"budget \(2\) must be between 0"),
        ({"criterion": "hope"}, r"criterion \('hope'\) must be one of"),
    ],
)
def test_a_wrong_policy_is_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        RunningMeanPolicy(**fields)


def test_a_chunk_is_never_longer_than_the_models_positions() -> None:
    assert chunk_reader(chunk_size=500).chunk_size == 12
    assert chunk_reader(chunk_size=7).chunk_size == 7
    roberta = RobertaForSequenceClassification(RobertaConfig(**SIZES, pad_token_id=1))
    assert max_positions(roberta.config) == 10
    assert max_positions(XLNetConfig()) is None


@torch.no_grad()
def clip_reader(**config) -> ClipReader:
    sizes = {key: SIZES[key] for key in SIZES if key.startswith(("hidden", "num", "inter"))}
    classifier = VideoMAEForVideoClassification(
        VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, num_labels=3, **sizes)
    )
    for parameter in classifier.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return ClipReader(classifier, **{"num_clips": 3, "sampling_rate": 2, **config})


def test_clips_stay_inside_the_video() -> None:
    reader = clip_reader()
    assert reader.clip(4, 9) == [1, 3, 5, 7]
    assert reader.clip(0, 9) == [0, 2, 4, 6]
    assert reader.clip(8, 9) == [2, 4, 6, 8]
    assert reader.clip(0, 1) == [0, 0, 0, 0]
    assert reader.clip(2, 4) == [0, 2, 3, 3]


@torch.no_grad()
def clip_scores(reader: ClipReader, video, centres: list[int]) -> Tensor:
    scores = []
    for centre in centres:
        clip = reader.clip(centre, len(video))
        pixels = torch.stack([video.pixels(frame, (32, 32)) for frame in clip]).float()
        logits = reader.classifier(pixel_values=((pixels - 127.5) / 127.5)[None]).logits
        scores.append(logits[0].softmax(-1))
    return torch.stack(scores)


def test_a_video_is_answered_by_the_mean_over_its_clips(frames, read_all) -> None:
    reader = clip_reader()
    videos = [frames(40), frames(21)]
    outcomes = read_all(reader, videos)
    for video, outcome, middle in zip(videos, outcomes, (20, 10), strict=True):
        want = clip_scores(reader, video, [middle, 0, len(video) - 1]).mean(0)
        torch.testing.assert_close(outcome.value.exp(), want, atol=1e-5, rtol=0)
        assert not outcome.trace.halted and len(video.asked) == 12


def test_clips_beyond_the_budget_or_the_halt_are_never_asked_for(frames) -> None:
    reader = clip_reader()
    reader.set_budget(0.7)
    video = frames(40)
    trace = reader(video).trace
    assert video.asked == [*reader.clip(20, 40), *reader.clip(0, 40)] == list(trace.read)
    assert (trace.exit, trace.num_exits, trace.halted_at) == (1, 3, 0)
    reader.set_budget(1.0)
    reader.set_policy("confidence", 0.0)
    video = frames(40)
    assert reader(video).trace.halted_at == 20
    assert video.asked == reader.clip(20, 40)
    assert reader.classify.rows == 3
