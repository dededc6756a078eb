"""What readers on an image backbone share, whatever they ask of frames: pixels, weights, costs.

Such a reader has a configuration with `backbone`, `pixel_mean` and `pixel_std`, and a `backbone`
(`ImageBackbone`).

B frames, C, H, W, D feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ..backbones.image import describe
from ..stage import Stage


class OnBackbone:
    """Mixed into a `PreTrainedModel` that reads frames by an image model."""

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

    def training_features(self, frames_NCHW: Tensor) -> Tensor:
        """What `forward` takes as features of single frames, `[N, D]`.

        Kept for a training whose backbone is frozen: a frame is then seen once.

        Args:
            frames_NCHW: 0 to 255, any dtype, at the size that the reader reads.
        """
        return self._features(frames_NCHW)

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

    @staticmethod
    def macs_of(rows: Sequence[tuple[Stage, int]]) -> int | None:
        """MACs of so many rows of some stages; None before all of them have run."""
        macs = [(stage.macs_per_row, count) for stage, count in rows]
        if any(each is None for each, _ in macs):
            return None
        return round(sum(each * count for each, count in macs if each is not None))
