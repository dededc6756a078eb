"""What readers of single frames share around what each chooses: pixels, weights, training, cost.

Such a reader has a `FrameConfig`, a `backbone` (`ImageBackbone`), and the stage `features`, of
`_features` or another function.

S frames of each of B videos, C, H, W, D feature width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..exit_reader import ExitReader
from ..on_backbone import OnBackbone
from .frame_training import FrameTraining


class FrameReader(OnBackbone, FrameTraining, ExitReader):
    """Mixed into a reader with an exit after each frame; see the head of this file."""

    main_input_name = "pixel_values"
    unit = "frame"

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) at which frames are read; of a row of D features, (1, D)."""
        model: Any = self
        backbone, side = model.backbone, model.config.image_size
        return (1, backbone.num_features) if backbone.takes_features else (side, side)

    def glance_box(self, side: int) -> tuple[int, int]:
        """(height, width) of a glance that is `side` wide, at pixels or at a row of features."""
        model: Any = self
        return (1, side) if model.backbone.takes_features else (side, side)

    # Training ------------------------------------------------------------------------------------

    def sequence_features(self, pixel_values: Tensor | None, features: Tensor | None) -> Tensor:
        """Features `[B, S, D]` of the frames that a `forward` is given.

        Args:
            pixel_values: `[B, S, 3, H, W]`, 0 to 255; or
            features: `[B, S, D]`, made before.

        Raises:
            ValueError: not exactly one of them is given.
        """
        if (pixel_values is None) == (features is None):
            raise ValueError("give one of pixel_values and features")
        if pixel_values is None:
            assert features is not None
            return features.to(self.dtype)  # type: ignore[attr-defined]  # the model has it
        flat = self.training_features(pixel_values.flatten(0, 1))
        return flat.unflatten(0, pixel_values.shape[:2])

    # Cost ----------------------------------------------------------------------------------------

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all `num_frames` frames."""
        model: Any = self
        per_frame = model.features.macs_per_row
        if per_frame is None:
            return None
        return round(per_frame * min(units_total, model.config.num_frames))
