"""What readers of single frames share around what each chooses: pixels, weights, cost.

Such a reader has a `FrameConfig`, a `backbone` (`ImageBackbone`), and the stage `features`, of
`_features` or another function.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ..exit_reader import ExitReader


class FrameReader(ExitReader):
    """Mixed into a reader with an exit after each frame; see the head of this file."""

    main_input_name = "pixel_values"
    unit = "frame"

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) at which frames are read."""
        side = self.config.image_size  # type: ignore[attr-defined]  # the model has it
        return side, side

    def normalised(self, frames_BCHW: Tensor) -> Tensor:
        """0-255 pixels of any dtype as the backbone takes them, where it is and of its dtype."""
        model: Any = self
        frames_BCHW = frames_BCHW.to(model.device, model.dtype)
        scale_C11 = frames_BCHW.new_tensor(model.config.pixel_std)[:, None, None]
        mean_C11 = frames_BCHW.new_tensor(model.config.pixel_mean)[:, None, None]
        return (frames_BCHW - mean_C11) / scale_C11

    def _features(self, frames_BCHW: Tensor) -> Tensor:
        """0-255 frames to the backbone's features `[B, D]`."""
        backbone: Any = self.backbone  # type: ignore[attr-defined]  # the model has it
        return backbone.features(self.normalised(frames_BCHW))

    def _init_weights(self, module: nn.Module) -> None:
        inner = self.backbone.model  # type: ignore[attr-defined]  # the model has it
        if isinstance(inner, PreTrainedModel) and module in set(inner.modules()):
            inner._init_weights(module)
            return
        super()._init_weights(module)  # type: ignore[misc]  # PreTrainedModel's
        if isinstance(module, nn.BatchNorm2d):
            starts = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
            for name, value in starts.items():
                init.constant_(module.get_buffer(name), value)
            if module.affine:
                init.ones_(module.weight)
                init.zeros_(module.bias)

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all `num_frames` frames."""
        model: Any = self
        per_frame = model.features.macs_per_row
        if per_frame is None:
            return None
        return round(per_frame * min(units_total, model.config.num_frames))
