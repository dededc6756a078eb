"""The readers of benchmark_features.py, and uniform frames with the same kinds of head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GLANCE = 32
"""Numbers of a row that a glance sees."""
BUDGETS = (1.25, 1.5, 2.0)
"""Mean frames that a reader may read of the clips by which its threshold is picked."""
COUNTS = (1, 2, 4)
"""Uniform frames."""
MORE_COUNTS = (8, 16, 25)
"""The same, where no further training is needed for them."""
_GLANCES = {"glance_pixels": GLANCE, "glance_features": 32}
_POOLED = {"pooling": "mean", "exit_decay": 0.003, "standardise_each": False}
_STATE = {"hidden_size": 64}
_PICKS = {"num_frames": 4, "num_candidates": 25, **_STATE}
_SCORES = {"num_frames": 8, "num_candidates": 25, **_GLANCES}
_LOOKS = {"num_frames": 8, **_GLANCES, **_STATE}


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A reader, and how it is asked to halt."""

    model: str
    head: str
    options: dict[str, Any]
    criteria: tuple[str, ...] = ("confidence",)
    is_rival: bool = False
    """Of K candidates it reads all K: its head without a choice is what others are held against."""


CONTESTANTS = [
    Contestant(model="frame_exit", head="pooled", options={"num_frames": 6, **_POOLED}),
    Contestant(model="sc_sampler", head="averaged", options=_SCORES, is_rival=True),
    Contestant(model="oc_sampler", head="averaged", options=_SCORES),
    Contestant(
        model="ada_frame",
        head="recurrent",
        options={**_PICKS, "glance_pixels": GLANCE, "coarse_to_fine": True},
        criteria=("confidence", "utility"),
    ),
    Contestant(
        model="fast_forward",
        head="recurrent",
        options={**_PICKS, "first_place": 0.5, "jumps": [-8, -4, -2, -1, 1, 2, 4, 8]},
        criteria=("confidence", "stop"),
    ),
    Contestant(model="frame_glimpse", head="recurrent", options={**_PICKS, "coarse_to_fine": True}),
    Contestant(model="lite_eval", head="recurrent", options={**_LOOKS, "target_share": 0.15}),
    Contestant(
        model="frame_skip_rnn",
        head="recurrent",
        options={"num_frames": 8, "update_loss_weight": 0.01, **_STATE},
    ),
    Contestant(
        model="frame_skim_rnn", head="recurrent", options={**_LOOKS, "skim_loss_weight": 0.02}
    ),
]


def uniform_readers(count: int) -> list[Contestant]:
    """Readers that read all of so many uniform frames, with heads of their own."""
    all_read = {"read_threshold": 0.0, "update_loss_weight": 0.0}
    every = {"num_frames": count}
    pooled = {**every, **_POOLED, "order": "uniform"}
    return [
        Contestant(model="frame_exit", head="pooled", options=pooled),
        Contestant(
            model="frame_skip_rnn", head="recurrent", options={**every, **_STATE, **all_read}
        ),
    ]
