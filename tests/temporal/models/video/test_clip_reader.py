"""Any video classifier read clip by clip: the running mean of its probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from temporal.models import ClipReader, RunningMeanPolicy

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


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


@torch.no_grad()
def clip_reader(**config) -> ClipReader:
    classifier = VideoMAEForVideoClassification(
        VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, num_labels=3, **SIZES)
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
