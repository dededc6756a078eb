"""The reader of videos of docs/add_a_reader.md keeps the laws of its room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from temporal.models import ReaderRecord
from temporal.models.every_exit import EveryExit
from temporal.models.stored_points import NEVER

from .... import added_readers as page
from .video_laws import LAWS, World, outcomes_of
from .video_readers import SIDE, video_reader


@pytest.fixture(scope="module")
def outliers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReaderRecord]:
    with page.added(page.VIDEO, tmp_path_factory.mktemp("video")) as record:
        yield record


@pytest.mark.parametrize("law", LAWS)
def test_law_of_video_readers(law: str, outliers: ReaderRecord, world: World) -> None:
    LAWS[law](outliers.model_type, world)


def test_frames_are_read_by_what_the_glance_shows(outliers: ReaderRecord, world: World) -> None:
    reader = video_reader(outliers.model_type)
    video = world.frames(40)
    trace = reader(video).trace
    middles = [(2 * k + 1) * 40 // 32 for k in range(16)]
    assert video.glanced == middles
    small = torch.stack([video.pixels(frame, (64, 64)) for frame in middles]).double()
    differs = (small - small.mean(0)).abs().mean((1, 2, 3)).tolist()
    farthest = sorted(range(16), key=lambda k: -differs[k])[:5]
    assert list(trace.read) == [middles[k] for k in farthest]
    assert set(trace.skimmed) == set(middles) - set(trace.read)


def test_exits_are_asked_by_its_own_reading(outliers: ReaderRecord, world: World) -> None:
    """What it would answer under thresholds is what it answers under them."""
    reader = video_reader(outliers.model_type)
    reader.config.thresholds = [0.7] * 4
    videos = world.videos((30, 4, 31, 32, 33, 34))
    videos.append(world.frames(40, broken=[1]))
    answers = reader.answers(iter(videos))
    assert isinstance(answers, EveryExit) and reader.config.thresholds == [0.7] * 4
    assert list(answers.rows) == [0, 2, 3, 4, 5]
    assert "too short" in str(answers.faults[1]) and isinstance(answers.faults[6], OSError)
    frames = list(reader(videos[0]).trace.read)
    reader.config.thresholds = None
    frames = list(reader(videos[0]).trace.read)
    dense = reader(videos[0].read(frames, size=(SIDE, SIDE))[None]).exit_logits[0]
    torch.testing.assert_close(answers.logits_NEK[0], dense.detach(), atol=1e-4, rtol=1e-5)
    policies = reader.policy_space().policies(num_points=6)
    assert policies[0] == {"criterion": "confidence", "thresholds": [NEVER] * 4}
    said, costs = answers.under(policies)
    kept = [videos[k] for k in answers.rows]
    for policy, said_N, costs_N in zip(policies, said, costs, strict=True):
        reader.config.thresholds = policy["thresholds"]
        read = outcomes_of(reader, kept)
        assert [int(outcome.value.argmax()) for outcome in read] == said_N.tolist()
        assert [outcome.trace.exit + 1 for outcome in read if outcome.trace] == costs_N.tolist()
    with pytest.raises(ValueError, match="none can: too short for all 5 exits: 2"):
        reader.answers([world.frames(2)])


def test_training_lowers_its_loss(outliers: ReaderRecord) -> None:
    reader = video_reader(outliers.model_type)
    inputs = torch.randint(0, 256, (4, 5, 3, SIDE, SIDE))
    optimizer = torch.optim.Adam(reader.train().parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = reader(inputs, labels=torch.tensor([0, 1, 1, 0])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
