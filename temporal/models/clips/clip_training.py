"""What a `ClipReader` gives to its training: all frames of its clips, one clip after another."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..video.frame_training import FrameTraining
from ..video.motion import Motion


class ClipTraining(FrameTraining):
    """Mixed into `ClipReader`."""

    has_frame_features = False
    backbone_class = "AutoModelForVideoClassification"

    @classmethod
    def from_backbone(cls, backbone: nn.Module, **config: Any) -> Any:
        """A reader around a copy of a video classifier.

        Args:
            backbone: any `AutoModelForVideoClassification`, of the classes of the configuration.
            **config: fields of the configuration.
        """
        reader: Any = cls
        return reader.from_classifier(copy.deepcopy(backbone), **config)

    @property
    def backbone(self) -> nn.Module:
        """The classifier without its head."""
        model: Any = self
        return model.classifier.base_model

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) at which frames are read."""
        model: Any = self
        return model.config.frame_size

    @property
    def frames_per_exit(self) -> int:  # type: ignore[override]  # its configuration says it
        """Frames of a clip."""
        model: Any = self
        return model.config.num_frames

    @property
    def chooses_by_motion(self) -> bool:  # type: ignore[override]  # its configuration says it
        """Whether the places of clips depend on how much the video's frames move."""
        model: Any = self
        return bool(model.config.order == "motion")

    def training_frames(
        self, num_frames: int, keyframes: Sequence[int], motion: Motion | None = None
    ) -> list[int]:
        """The frames of all clips of a video of so many frames, in reading order."""
        model: Any = self
        return [frame for _, clip in model.clips(num_frames, motion) for frame in clip]
