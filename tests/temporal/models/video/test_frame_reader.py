"""What readers of single frames share for their training."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from .video_readers import SIDE, video_reader


def test_features_made_before_give_the_answer_of_the_pixels() -> None:
    reader = video_reader("frame_exit")
    pixels = torch.randint(0, 256, (2, 5, 3, SIDE, SIDE), dtype=torch.uint8)
    times = torch.tensor([[0.5, 0.0, 0.9, 0.2, 0.7]]).expand(2, -1)
    with torch.no_grad():
        features = reader.training_features(pixels.flatten(0, 1)).unflatten(0, (2, 5))
        torch.testing.assert_close(reader.sequence_features(pixels, None), features)
        torch.testing.assert_close(
            reader(features=features, times=times).exit_logits, reader(pixels, times).exit_logits
        )
    for given in ((pixels, features), (None, None)):
        with pytest.raises(ValueError, match="one of pixel_values and features"):
            reader.sequence_features(*given)


def test_frames_of_a_training_are_those_that_are_read() -> None:
    reader = video_reader("frame_exit")
    assert reader.training_frames(40, [0, 20]) == reader.reading_order(40, [0, 20])


def test_each_video_has_a_loss_of_its_task() -> None:
    reader = video_reader("frame_exit")
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 0.0, -1.0, 0.0]])
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    one = reader.answer_losses(logits, torch.tensor([3, 0]), weights)
    total = math.exp(2) + 2 + math.exp(-1)
    torch.testing.assert_close(one, torch.tensor([4 * math.log(4), math.log(total) - 2]))

    reader.config.problem_type = "multi_label_classification"
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    several = reader.answer_losses(logits, labels)
    torch.testing.assert_close(several[0], torch.tensor(math.log(2)))
    second = F.softplus(torch.tensor([2.0, 0.0, 1.0, 0.0])).mean()
    torch.testing.assert_close(several[1], second)
    output = reader(features=torch.randn(2, 5, 16), times=torch.rand(2, 5), labels=labels)
    assert output.loss.isfinite()
