"""Any video classifier read clip by clip: the running mean of its probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from temporal.data import Video
from temporal.engine import Engine
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
    sizes = {"image_size": 32, "num_frames": config.get("num_frames", 4), **SIZES}
    classifier = VideoMAEForVideoClassification(
        VideoMAEConfig(patch_size=16, num_labels=3, **sizes)
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


def in_the_last_ten(video):
    """Nothing moves but the last ten frames."""
    video.motion = lambda: np.array([0.0] * (len(video) - 10) + [4.0] * 10, dtype=np.float32)
    return video


def test_clips_are_placed_where_something_moves(frames) -> None:
    reader = clip_reader(order="motion")
    video = in_the_last_ten(frames(40))
    trace = reader(video).trace
    # Of the ten the quantiles 1/6, 1/2, 5/6, the middle one first: 35, 31 and 38.
    assert list(trace.read) == [f for c in (35, 31, 38) for f in reader.clip(c, 40)]
    assert tuple(video.asked) == trace.read and not video.glanced
    assert reader.training_frames(40, [], video.motion()) == list(trace.read)
    told = reader.answers([in_the_last_ten(frames(40))]).logits_NEK[0, -1]
    torch.testing.assert_close(told, reader(in_the_last_ten(frames(40))).value)
    reader.set_policy("confidence", 0.0)
    assert reader(in_the_last_ten(frames(40))).trace.halted_at == 35


@pytest.mark.parametrize(
    ("order", "want", "short"),
    [
        ("motion", [31, 33, 36, 38], [0, 1, 2, 2]),
        ("uniform", [5, 15, 25, 35], [0, 1, 2, 2]),
        ("coarse_to_fine", [0, 2, 4, 7], [0, 2, 2, 2]),
    ],
)
def test_one_clip_may_come_from_all_over_the_video(frames, order, want, short) -> None:
    reader = clip_reader(num_clips=None, order=order)
    assert list(reader(in_the_last_ten(frames(40))).trace.read) == want
    still = frames(3)
    still.motion = lambda: np.zeros(3, dtype=np.float32)
    outcome = reader(still)
    assert outcome.error is None and list(outcome.trace.read) == short


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"order \('hope'\) must be one of"):
        clip_reader(order="hope")


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


def test_a_broken_frame_is_seen_as_its_neighbour_and_reported(frames, read_all) -> None:
    reader = clip_reader()
    middle, *others = (clip for _, clip in reader.clips(40))
    assert middle == [17, 19, 21, 23]
    bad, good = frames(40, broken=[21]), frames(40)
    outcome = reader(bad)
    assert str(outcome.fault) == "frame 21 is broken"
    assert list(outcome.trace.read) == [17, 19, 23, *others[0], *others[1]]
    assert (outcome.trace.halted, outcome.trace.exit, outcome.trace.num_exits) == (False, 2, 3)
    seen = [[17, 19, 19, 23], *others]
    pixels = torch.stack([torch.stack([good.pixels(k, (32, 32)) for k in clip]) for clip in seen])
    with torch.no_grad():
        scores = reader.classifier((pixels.float() - 127.5) / 127.5).logits.softmax(-1)
    torch.testing.assert_close(outcome.value.exp(), scores.mean(0), atol=1e-5, rtol=0)


def test_a_video_with_a_broken_frame_is_calibrated_as_it_is_read(frames) -> None:
    reader = clip_reader()
    clip = reader.clip(20, 40)
    told = reader.answers([frames(40, broken=[21]), frames(40, broken=clip), frames(40)])
    assert told.rows == [0, 2] and str(told.faults[1]) == f"frame {clip[0]} is broken"
    want = reader(frames(40, broken=[21])).value
    torch.testing.assert_close(told.logits_NEK[0, -1], want, atol=1e-5, rtol=0)
    assert (told.logits_NEK[0] - told.logits_NEK[1]).abs().max() > 1e-4


def test_a_clip_that_is_broken_is_passed_over(frames) -> None:
    reader = clip_reader(num_frames=2)
    outcome = reader(frames(40, broken=reader.clip(0, 40)))
    assert (outcome.trace.exit, outcome.trace.num_exits, outcome.trace.halted_at) == (1, 3, None)
    assert list(outcome.trace.read) == [*reader.clip(20, 40), *reader.clip(39, 40)]


def test_a_single_clip_survives_a_broken_frame(frames) -> None:
    reader = clip_reader(num_clips=None)
    whole = reader.whole(40)
    outcome = reader(frames(40, broken=whole[:1]))
    assert list(outcome.trace.read) == whole[1:] and outcome.fault is not None


def test_a_video_of_broken_frames_fails_alone(frames) -> None:
    reader = clip_reader()
    bad, good = Engine(2).run(reader.read, [frames(40, broken=range(40)), frames(40)])
    assert isinstance(bad.error, OSError) and good.error is None


def test_clips_of_one_gop_decode_it_once(single_gop) -> None:
    reader = clip_reader()
    video = Video(single_gop)
    trace = reader(video).trace
    # The last clip ends at 59, and the first lies before the middle one.
    assert trace.cost.frames_decoded == max(trace.read) + 1 == 60
