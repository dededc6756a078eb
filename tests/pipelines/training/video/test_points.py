"""Operating points from what readers say of clips, whatever their policy is."""

from __future__ import annotations

from typing import Any

import torch
from transformers import ViTConfig

from temporal.models import READERS
from temporal.models.operating_points import point_for_budget
from temporal.pipelines.training.video.fit import Asked
from temporal.pipelines.training.video.points import store_points

_VIT = ViTConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=32,
    patch_size=16,
)
LABELS = torch.tensor([0, 0, 1, 1])


def reader_of(name: str) -> Any:
    kind: Any = READERS[name]
    fields = {"backbone": _VIT.to_dict(), "image_size": 32, "num_labels": 2}
    return kind(kind.config_class(**fields, num_frames=4, hidden_size=64))


def said(logits_NEK: torch.Tensor, frames: float) -> Asked:
    return Asked(
        logits_NK=logits_NEK[:, -1],
        exits_NEK=logits_NEK,
        frames_N=torch.full((len(logits_NEK),), frames),
        seen_NS=torch.ones(len(logits_NEK), 4, dtype=torch.bool),
    )


def test_a_threshold_of_reading_is_asked_at_each_of_its_levels() -> None:
    """Whoever reads 4 frames is right; from 0.6 on it reads one, and is wrong about a clip."""
    reader = reader_of("lite_eval")
    right = torch.nn.functional.one_hot(LABELS, 2).float()[:, None].repeat(1, 4, 1)
    wrong = right.clone()
    wrong[0] = 1 - wrong[0]
    asked: list[float] = []

    def ask(policy: dict[str, Any]) -> Asked:
        asked.append(policy["read_threshold"])
        return said(right, 4.0) if asked[-1] < 0.6 else said(wrong, 1.0)

    store_points(reader, ask, LABELS)
    assert asked[0] == 0.0 and len(asked) == len(set(asked)) > 5
    full, cheap = reader.config.operating_points
    assert (full["accuracy"], full["cost"]) == (1.0, 4.0)
    assert (cheap["accuracy"], cheap["cost"], cheap["cost_share"]) == (0.75, 1.0, 0.25)
    assert point_for_budget(reader.config.operating_points, 0.5) == cheap


def test_a_criterion_of_a_readers_own_gives_way_to_one_of_all() -> None:
    """What an exit expects of reading on, its logits do not tell; their confidence they do."""
    reader = reader_of("ada_frame")
    assert reader.config.criterion == "utility"
    sure = 8 * torch.nn.functional.one_hot(LABELS, 2).float()[:, None].repeat(1, 4, 1)
    store_points(reader, lambda policy: said(sure, 4.0), LABELS)
    points = reader.config.operating_points
    assert reader.config.criterion == "utility"  # until a point is chosen
    assert points[-1]["policy"]["criterion"] == "confidence"
    assert (points[-1]["cost"], points[-1]["accuracy"]) == (1.0, 1.0)
