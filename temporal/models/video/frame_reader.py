"""What readers of single frames share around what each chooses: pixels, weights, training, cost.

Such a reader has a `FrameConfig`, a `backbone` (`ImageBackbone`), and the stage `features`, of
`_features` or another function.

S frames of each of B videos, C, H, W, D feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ...backbones.image import describe
from ...stage import Stage
from ..exit_reader import ExitReader
from .frame_training import FrameTraining


class FrameReader(FrameTraining, ExitReader):
    """Mixed into a reader with an exit after each frame; see the head of this file."""

    main_input_name = "pixel_values"
    unit = "frame"

    @classmethod
    def from_backbone(cls, backbone: nn.Module, **config: Any) -> Any:
        """Put an untrained reader on an image backbone whose weights are kept.

        Args:
            backbone: an image model of transformers without its classes, an `EfficientNetLite0`,
                or `GivenFeatures`.
            **config: fields of the configuration, `num_labels` among them.
        """
        reader: Any = cls
        model = reader(reader.config_class(backbone=describe(backbone), **config))
        model.backbone.model.load_state_dict(backbone.state_dict(), strict=False)
        return model

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

    def normalised(self, frames_BCHW: Tensor) -> Tensor:
        """0-255 pixels of any dtype as the backbone takes them, where it is and of its dtype."""
        model: Any = self
        frames_BCHW = frames_BCHW.to(model.device, model.dtype)
        scale_C11 = frames_BCHW.new_tensor(model.config.pixel_std)[:, None, None]
        mean_C11 = frames_BCHW.new_tensor(model.config.pixel_mean)[:, None, None]
        return (frames_BCHW - mean_C11) / scale_C11

    def _features(self, frames_BCHW: Tensor) -> Tensor:
        """0-255 frames to the backbone's features `[B, D]`; given ones as they are."""
        model: Any = self
        if model.backbone.takes_features:
            frames_BCHW = frames_BCHW.to(model.device, model.dtype)
        else:
            frames_BCHW = self.normalised(frames_BCHW)
        features_BD: Tensor = model.backbone.features(frames_BCHW)
        return features_BD

    # Training ------------------------------------------------------------------------------------

    def training_features(self, frames_NCHW: Tensor) -> Tensor:
        """What `forward` takes as `features` of single frames, `[N, D]`.

        Kept for a training whose backbone is frozen: a frame is then seen once.

        Args:
            frames_NCHW: 0 to 255, any dtype, at `frame_size`.
        """
        return self._features(frames_NCHW)

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

    # Weights and cost ----------------------------------------------------------------------------

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

    @staticmethod
    def macs_of(rows: Sequence[tuple[Stage, int]]) -> int | None:
        """MACs of so many rows of some stages; None before all of them have run."""
        macs = [(stage.macs_per_row, count) for stage, count in rows]
        if any(each is None for each, _ in macs):
            return None
        return round(sum(each * count for each, count in macs if each is not None))
