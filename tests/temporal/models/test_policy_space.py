"""What a reader says of itself is what it does: its answers replay any policy of its space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

from temporal.models import READERS, ChunkReader, EarlyExit
from temporal.models.every_exit import EveryExit
from temporal.models.operating_points import apply_point
from temporal.models.policy_space import PolicySpace
from temporal.models.recurrent.readers import RecurrentReader
from temporal.models.stored_points import check_points

from .chunk_readers import CLS, SEP, classifier, make, plain, shaken
from .video.video_readers import READ_BY_THRESHOLD, VIDEO_READERS, video_reader


def early_exit() -> Any:
    reader = EarlyExit.from_classifier(classifier(max_position_embeddings=64))
    return shaken(reader)


def without_padding() -> Any:
    """A classifier that takes no padding, whose chunks have different lengths."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=100, n_embd=16, n_layer=1, n_head=2, n_positions=16, num_labels=3
    )
    inner = shaken(GPT2ForSequenceClassification(config))
    return ChunkReader.from_classifier(inner, ([CLS], [SEP]), chunk_size=9).eval()


READERS_OF_TEXTS: dict[str, Callable[[], Any]] = {
    "early_exit": early_exit,
    "whole classifier": plain,
    "whole classifier without padding": without_padding,
    "chunks, depth and a skim": lambda: make(skim_buckets=20, order="skim"),
}


def check_replay(reader: Any, sources: list[Any], items: list[Any], read_all: Any) -> None:
    policies = reader.policy_space().policies(num_points=8, num_levels=3)
    answers = reader.answers(sources, batch_size=2)
    assert list(answers.rows) == list(range(len(sources))) and not answers.faults
    said_PN, costs_PN = answers.under(policies)
    assert said_PN.shape == costs_PN.shape == (len(policies), len(sources))
    assert (costs_PN <= costs_PN[0]).all()
    if reader.policy_space().ordered:
        assert (costs_PN[1:] <= costs_PN[:-1]).all()
    for k in {0, 1, len(policies) // 2, len(policies) - 1}:
        apply_point(reader.config, {"policy": policies[k]})
        outcomes = read_all(reader, items)
        assert [int(outcome.value.argmax()) for outcome in outcomes] == said_PN[k].tolist()
    assert len(costs_PN.unique(dim=0)) > 1


@pytest.mark.parametrize("name", sorted({*VIDEO_READERS} - {*READ_BY_THRESHOLD}))
def test_answers_of_a_reader_of_videos_replay_its_policies(name: str, frames, read_all) -> None:
    reader = video_reader(name)
    videos = [frames(count) for count in (40, 21, 33, 64, 25, 57)]
    check_replay(reader, videos, videos, read_all)


@pytest.mark.parametrize("name", READERS_OF_TEXTS)
def test_answers_of_a_reader_of_texts_replay_its_policies(
    name: str, random_words, read_all
) -> None:
    torch.manual_seed(1)
    reader = READERS_OF_TEXTS[name]()
    documents = random_words((20, 7, 31, 12, 20, 9))
    check_replay(reader, documents, [documents], read_all)


@pytest.mark.parametrize("name", sorted({*VIDEO_READERS} - {*READ_BY_THRESHOLD}))
def test_videos_that_fail_or_are_too_short_are_left_out(name: str, frames) -> None:
    reader = video_reader(name)
    videos = [frames(40), frames(40, broken=range(40)), frames(2), frames(33)]
    answers = reader.answers(iter(videos))
    assert "is broken" in str(answers.faults[1])
    if getattr(reader, "ends_itself", False):  # then no video is too short
        assert list(answers.rows) == [0, 2, 3] and sorted(answers.faults) == [1]
    else:
        assert list(answers.rows) == [0, 3] and sorted(answers.faults) == [1, 2]
        assert "too short" in str(answers.faults[2])
    with pytest.raises(ValueError, match="none can: frame .* is broken"):
        reader.answers([videos[1]])


@pytest.mark.parametrize(
    "name", [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]
)
def test_recurrent_readers_are_read_under_each_policy(name: str, recurrent_reader) -> None:
    check_policies_to_read_under(recurrent_reader(name))


@pytest.mark.parametrize("name", READ_BY_THRESHOLD)
def test_readers_of_frames_by_a_threshold_are_read_under_each(name: str) -> None:
    check_policies_to_read_under(video_reader(name))


def check_policies_to_read_under(reader: Any) -> None:
    space = reader.policy_space()
    policies = space.policies()
    assert policies[0] == space.full and len(policies) > 5
    assert reader.answers([]) is None
    fields = set(reader.config.policy_fields)
    assert all(policy.keys() <= fields for policy in policies)
    reader.config.operating_points = [{"policy": policy, "cost_share": 1.0} for policy in policies]
    check_points(reader.config)


def test_an_ordered_space_has_as_many_policies_as_points_are_wanted() -> None:
    space = PolicySpace(full={"a": 0}, cheaper=lambda count: [{"a": k} for k in range(count)])
    assert len(space.policies(num_points=5, num_levels=2)) == 5
    several = PolicySpace(full=space.full, cheaper=space.cheaper, ordered=False)
    assert len(several.policies(num_points=5, num_levels=2)) == 3
    closed = PolicySpace(full=space.full, cheaper=space.cheaper, closed_because="it is closed")
    with pytest.raises(ValueError, match="it is closed"):
        closed.policies()


def test_exits_told_how_certain_they_are_by_one_criterion() -> None:
    reader = early_exit()
    said = EveryExit(
        config=reader.config,
        logits_NEK=torch.zeros(2, reader.config.num_exits, 3),
        sizes_N=torch.tensor([1.0, 3.0]),
        rows=range(2),
        told_NE=torch.tensor([[0.1, 0.9], [0.8, 0.2]]),
    )
    never = {"criterion": "confidence", "thresholds": None}
    half = {"criterion": "confidence", "thresholds": [0.5, 0.5]}
    _, costs_PN = said.under([never, half])
    assert costs_PN.tolist() == [[1.5, 4.5], [1.0, 1.5]]  # sizes 1/2 and 3/2, times the exit
    with pytest.raises(ValueError, match=r"criterion \('margin'\) must be the reader's"):
        said.under([{**half, "criterion": "margin"}])
