"""Settings of a `VideoLanguageReader`: frames, looks, and when they are enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

from ...checks import check_count, check_in, check_range

LANGUAGE_CRITERIA = ("confidence", "margin", "patience")
"""How certain an answer may be found, see `temporal.models.language.said`."""

ORDERS = ("uniform", "motion", "query")


class VideoLanguageConfig(PreTrainedConfig):
    """What a `VideoLanguageReader` looks at, and when it halts.

    Args:
        num_frames: frames of the full reading. None: those that the processor itself would sample
            where it does (`do_sample_frames`, `fps`, `max_frames` ...), else 32.
        first_frames: frames of the first look.
        growth: each look has so many times the frames of the one before.
        order: `"uniform"`; `"motion"`: frames between which about as much moves, by packets; or
            `"query"`: frames that fit the question, by `scorer`, few of which are scored.
        scorer: name or folder of a CLIP or SigLIP model, for `"query"`.
        max_visual_tokens: of a prompt; looks are cut to it. None: as many as the frames have.
        criterion: how certain an answer is, one of `LANGUAGE_CRITERIA`.
        threshold: how certain is enough; None: never, all looks are taken up to the last.
        repeat_threshold: drop a visual token whose cosine to the one of the same place in the frame
            (or pair) before is above it, before the language model. None: none is dropped. It
            changes answers.
        operating_points: what a calibration found, see `temporal.models.operating_points`.
    """

    model_type = "video_language_reader"
    policy_fields = ("criterion", "threshold", "repeat_threshold")

    def __init__(
        self,
        num_frames: int | None = None,
        first_frames: int = 4,
        growth: float = 2.0,
        order: str = "uniform",
        scorer: str | None = None,
        max_visual_tokens: int | None = None,
        criterion: str = "confidence",
        threshold: float | None = None,
        repeat_threshold: float | None = None,
        operating_points: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_frames = num_frames
        self.first_frames = first_frames
        self.growth = growth
        self.order = order
        self.scorer = scorer
        self.max_visual_tokens = max_visual_tokens
        self.criterion = criterion
        self.threshold = threshold
        self.repeat_threshold = repeat_threshold
        self.operating_points = operating_points
        self.check()

    def check(self) -> None:
        """Raise ValueError unless every field has a value that it can have."""
        for name in ("num_frames", "max_visual_tokens"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), 1)
        check_count("first_frames", self.first_frames, 1)
        if not self.growth > 1:
            raise ValueError(f"growth ({self.growth}) must be > 1, e.g. 2: looks must grow")
        check_in("order", self.order, ORDERS)
        if self.order == "query" and self.scorer is None:
            raise ValueError(
                "order ('query') needs scorer=, the name or folder of a model that matches images "
                "and texts (CLIP, SigLIP)"
            )
        check_in("criterion", self.criterion, LANGUAGE_CRITERIA)
        if self.repeat_threshold is not None:
            check_range("repeat_threshold", self.repeat_threshold, -1.0, 1.0)
