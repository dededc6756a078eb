"""What a policy makes decoders do, beside uniform frames."""

from __future__ import annotations

import pytest
import torch

from temporal.pipelines.training.video.decoding import Decoding
from temporal.pipelines.training.video.fit import Asked
from temporal.pipelines.training.video.judge import beside_uniform, said_of
from temporal.training.uniform_curve import UniformCurve


def test_as_many_uniform_frames_as_take_the_same_decoding() -> None:
    uniform = {1: 10.0, 2: 20.0, 4: 60.0}
    for frames, count in ((5.0, 1), (10.0, 1), (15.0, 1.5), (40.0, 3.0), (60.0, 4), (90.0, 4)):
        assert Decoding(frames=frames, uniform=uniform).uniform_count() == pytest.approx(count)


def test_a_policy_that_glances_at_all_is_held_against_all_that_it_decodes() -> None:
    """Right about 60 of 100 clips with one frame: better than one frame, worse than the four."""
    right = torch.arange(100) < 60
    asked = Asked(
        logits_NK=torch.nn.functional.one_hot(right.long(), 2).float(),
        exits_NEK=torch.zeros(100, 1, 2),
        frames_N=torch.ones(100),
        seen_NS=torch.ones(100, 4, dtype=torch.bool),
    )
    known = torch.stack([torch.arange(100) < 40, torch.arange(100) < 80]).float()
    curve = UniformCurve(counts=[1, 4], right=known)
    decoded = Decoding(frames=60.0, uniform={1: 10.0, 4: 60.0})
    found = beside_uniform(asked, torch.ones(100, dtype=torch.long), [curve], [range(100)], decoded)
    assert (found["frames"], found["frames_decoded"]) == (1.0, 60.0)
    assert found["uniform_accuracy"] == pytest.approx(0.4) and found["verdict"] == "better"
    beside = found["at_equal_decoding"]
    assert (beside["uniform_frames"], beside["verdict"]) == (4, "worse")
    assert beside["uniform_accuracy"] == pytest.approx(0.8)
    said = said_of(found, "lite_eval")
    assert "1.00 frames read and 60.0 decoded" in said
    assert "0.400, the policy is better" in said and "0.800, the policy is worse" in said


def test_short_clips_are_joined_with_long_ones() -> None:
    parts = [
        Asked(
            logits_NK=torch.full((1, 2), float(k)),
            exits_NEK=torch.zeros(1, 1, 2),
            frames_N=torch.ones(1),
            seen_NS=torch.ones(1, length, dtype=torch.bool),
        )
        for k, length in enumerate((4, 2))
    ]
    both = Asked.joined(parts, torch.tensor([1, 0]))
    assert both.seen_NS.tolist() == [[True, True, False, False], [True] * 4]
    assert both.logits_NK[:, 0].tolist() == [1.0, 0.0]
