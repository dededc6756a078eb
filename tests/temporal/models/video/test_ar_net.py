"""ARNet: what it does at each frame, what it pays, and that it learns to pay where it matters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from temporal.models import ARNetConfig

from .test_samplers import GLANCE, fresh
from .video_readers import SIDE, video_reader


def steered(actions: list[int], **fields: Any) -> Any:
    """A reader whose policy takes these actions at the frames that it glances at, one by one."""
    reader = fresh("ar_net", **fields).eval()
    count = len(reader.sizes) + len(reader.skips)

    def decide(glances: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen = int(state[0][0, 0])
        wish = torch.nn.functional.one_hot(torch.tensor([(actions + [0] * 9)[seen]]), count).float()
        return wish.expand(len(glances), -1), state[0] + 1, state[1]

    reader._decide = decide
    reader.decide.fn = decide
    return reader


def test_sizes_and_skips_are_done_as_the_policy_says(frames: Any) -> None:
    # Frames 5, 15, 25, ... of 100: large, small, skip two, large, skip four (which ends it).
    reader = steered([0, 1, 3, 0, 4], num_frames=8, skips=[1, 2, 4])
    video = frames(100)
    asked: list[Any] = []
    read = video.read

    def noted(units: Any, **options: Any) -> Any:
        asked.append((*units, options["size"][0]))
        return read(units, **options)

    video.read = noted
    trace = reader(video).trace
    order = [6, 18, 31, 43, 56, 68, 81, 93]
    assert asked == [(6, SIDE), (18, SIDE // 2), (56, SIDE)]
    assert video.glanced == [order[k] for k in (0, 1, 2, 4, 5)]
    assert (trace.read, trace.skimmed) == ((6, 18, 56), (31, 68))
    assert (trace.exit, trace.num_exits, trace.halted_at) == (7, 8, None)
    assert (reader.features.rows, reader.smaller[0].rows) == (2, 1)


def test_forward_does_the_same_by_hand() -> None:
    reader = steered([0, 1, 3, 0, 4], num_frames=8, skips=[1, 2, 4])
    features = torch.randn(1, 8, 2 * 16)
    with torch.no_grad():
        output = reader(features=features, glances=torch.zeros(1, 8, 3, GLANCE, GLANCE))
        large, small = reader.classify(features.unflatten(-1, (2, 16)))[0].unbind(1)
    assert output.actions.tolist() == [[0, 1, 3, -1, 0, 4, -1, -1]]
    assert output.units_read.tolist() == [3]
    mean = (large[0] + small[1]) / 2
    last = (large[0] + small[1] + large[4]) / 3
    for step, want in enumerate([large[0], mean, mean, mean, *[last] * 4]):
        torch.testing.assert_close(output.exit_logits[0, step], want)


def test_reading_at_any_size_equals_forward(frames: Any) -> None:
    reader = video_reader("ar_net")
    with torch.no_grad():
        reader.policy.bias.zero_()
        reader.policy.weight.mul_(3)
    taken = set()
    for length in (40, 3, 41, 42, 43):
        order = reader.training_frames(length, [])
        video = frames(length)
        parts = [reader._features(video.read(order, size=(s, s))) for s in reader.sizes]
        small = video.glance(order, size=reader.glance_size)
        with torch.no_grad():
            output = reader(features=torch.cat(parts, -1)[None], glances=small[None])
        outcome = reader(frames(length))
        torch.testing.assert_close(outcome.value, output.logits[0], atol=1e-4, rtol=1e-5)
        assert outcome.trace.units_read == output.units_read[0]
        taken |= set(output.actions.flatten().tolist())
    assert taken >= {0, 1}


def test_the_first_frame_is_read_whatever_the_policy_wants(frames: Any) -> None:
    reader = steered([2] * 5, skips=[9])
    assert list(reader(frames(50)).trace.read) == [5]


def test_the_policy_pays_by_hand() -> None:
    reader = fresh("ar_net", skips=[1], cost_weight=0.5, balance_weight=2.0)
    # Large, small, skip, passed over; large four times.
    choice = torch.zeros(2, 4, 3)
    choice[0, 0, 0] = choice[0, 1, 1] = choice[0, 2, 2] = 1
    choice[1, :, 0] = 1
    spent = (5 * 1 + 1 * 0.25) / 8
    balance = (5 / 7 - 1 / 3) ** 2 + 2 * (1 / 7 - 1 / 3) ** 2
    assert reader._policy_loss(choice).item() == pytest.approx(0.5 * spent + 2 * balance)


def test_features_are_of_all_sizes() -> None:
    reader = video_reader("ar_net")
    pixels = torch.randint(0, 256, (2, 3, 1, 1)).expand(-1, -1, SIDE, SIDE)
    with torch.no_grad():
        large, small = reader.training_features(pixels).unflatten(-1, (2, -1)).unbind(1)
        torch.testing.assert_close(large, reader._features(pixels))
        half = pixels[:, :, : SIDE // 2, : SIDE // 2]
        torch.testing.assert_close(small, reader._features(half), atol=1e-4, rtol=1e-4)


def large_tells(num_videos: int, num_frames: int = 6) -> dict[str, torch.Tensor]:
    """A frame that a glance finds bright shows the class, at the large size alone."""
    features = 0.3 * torch.randn(num_videos, num_frames, 2, 16)
    glances = torch.randint(0, 120, (num_videos, num_frames, 3, GLANCE, GLANCE))
    labels, told = torch.randint(2, (num_videos,)), torch.randint(num_frames, (num_videos,))
    rows = torch.arange(num_videos)
    features[rows, told, 0, labels] += 4
    glances[rows, told] += 130
    return {"features": features.flatten(2), "glances": glances, "labels": labels}


def test_it_learns_to_pay_where_it_matters() -> None:
    sizes = {"num_frames": 6, "num_labels": 2, "glance_pixels": GLANCE, "glance_features": 16}
    reader = fresh("ar_net", **sizes, hidden_size=16).train()
    own = [value for name, value in reader.named_parameters() if not name.startswith("backbone")]
    optimizer = torch.optim.Adam(own, lr=0.01)
    for _ in range(160):
        loss = reader(**large_tells(32)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given = large_tells(256)
    with torch.no_grad():
        output = reader.eval()(**given)
    right = (output.logits.argmax(-1) == given["labels"]).double().mean()
    large = (output.actions == 0).sum(1).double().mean()
    assert right > 0.9 and large < 2  # of six frames; one tells


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_sizes": [112, 224]}, r"image_sizes \(\[112, 224\]\) must fall from image_size"),
        ({"image_sizes": [200]}, r"image_sizes \(\[200\]\) must fall from image_size \(224\)"),
        ({"image_sizes": []}, r"image_sizes \(\[\]\) must fall"),
        ({"skips": [0]}, r"skips \(0\) must be a whole number"),
        ({"temperature": 0}, r"temperature \(0\) must be between"),
    ],
)
def test_a_wrong_configuration_names_parameter_value_and_rule(fields: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        ARNetConfig(**fields)


def test_sizes_follow_the_largest() -> None:
    assert ARNetConfig().image_sizes == [224, 168, 112, 84]
    assert ARNetConfig(image_size=64).image_sizes == [64, 48, 32, 24]
