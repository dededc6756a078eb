"""What readers of single frames share around what each chooses: pixels, weights, training, cost.

Such a reader has a `FrameConfig`, a `backbone` (`ImageBackbone`), and the stage `features`, of
`_features` or another function. Its `forward` takes those of the following that it needs, and a
training gives it what its signature names, of the S frames of each video in the order of
`training_frames`:

`pixel_values`  `[B, S, 3, H, W]`, 0 to 255, at `frame_size`; or
`features`      `[B, S, D]`, what `training_features` made of them before
`glances`       `[B, S, 3, h, w]`, 0 to 255, the same frames at `glance_size`
`motion`        `[B, S]`, how much each frame seems to change (`Handle.motion`)
`times`         `[B, S]`, index as a share of the video's length
`labels`        int64 `[B]`, or float `[B, K]` of several labels
`class_weights` `[K]`

In eval mode it says what `read` says of the same frames; its loss holds all there is to learn.

B videos, S frames, C, H, W, D feature width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from ...backbones.image import describe
from ...policies.read import uniform
from ..every_exit import certainties, exits_taken
from ..exit_reader import ExitReader, ExitsOutput


class FrameReader(ExitReader):
    """Mixed into a reader with an exit after each frame; see the head of this file."""

    main_input_name = "pixel_values"
    unit = "frame"
    glance_size: tuple[int, int] | None = None
    """(height, width) at which frames are glanced at for a policy; None: it does not glance."""
    feature_fields: tuple[str, ...] = ("image_size", "pixel_mean", "pixel_std")
    """Fields of the configuration, the backbone's aside, that `training_features` depends on."""

    @classmethod
    def exits_fit_convexly(cls, config: Any) -> bool:
        """Whether all that such a reader learns on features is a convex problem.

        A few steps of L-BFGS solve it (`temporal.training.exits`).

        Args:
            config: of the reader.
        """
        return False

    @classmethod
    def from_backbone(cls, backbone: nn.Module, **config: Any) -> Any:
        """Put an untrained reader on an image backbone whose weights are kept.

        Args:
            backbone: an image model of transformers without its classes, or an `EfficientNetLite0`.
            **config: fields of the configuration, `num_labels` among them.
        """
        reader: Any = cls
        model = reader(reader.config_class(backbone=describe(backbone), **config))
        model.backbone.model.load_state_dict(backbone.state_dict(), strict=False)
        return model

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

    # Training ------------------------------------------------------------------------------------

    def training_frames(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The frames of a video that `forward` wants, in its order.

        Args:
            num_frames: frames in the video, at least 1.
            keyframes: frame indices that decode alone.
        """
        return uniform(num_frames, self.config.num_frames)  # type: ignore[attr-defined]

    def training_features(self, frames_NCHW: Tensor) -> Tensor:
        """What `forward` takes as `features` of single frames, `[N, D]`.

        Kept for a training whose backbone is frozen: a frame is then seen once.

        Args:
            frames_NCHW: 0 to 255, any dtype, at `frame_size`.
        """
        return self._features(frames_NCHW)

    def prepare_training(self, features_NSD: Tensor, times_NS: Tensor) -> None:
        """Set what is not learned by gradients, once before a training. Default: nothing.

        Args:
            features_NSD: of clips that are trained on, as many as suffice for statistics.
            times_NS: when their frames are, as shares of the clips.
        """

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

    def answer_losses(
        self, logits_BK: Tensor, labels: Tensor, class_weights: Tensor | None = None
    ) -> Tensor:
        """How wrong an answer is, for each video, `[B]`.

        Cross-entropy; of several labels at a time (`problem_type`), the mean of theirs; of a
        regression, the squared error.

        Args:
            logits_BK: an exit's.
            labels: int64 `[B]`, or float `[B, K]` of several labels or a regression.
            class_weights: `[K]`; a class's share of the loss.
        """
        task = self.config.problem_type  # type: ignore[attr-defined]  # the model has it
        if task == "multi_label_classification":
            losses_BK = F.binary_cross_entropy_with_logits(
                logits_BK, labels.to(logits_BK.dtype), weight=class_weights, reduction="none"
            )
            return losses_BK.mean(-1)
        if task == "regression":
            targets_BK = labels.to(logits_BK.dtype).view_as(logits_BK)
            return (logits_BK - targets_BK).square().mean(-1)
        return F.cross_entropy(logits_BK, labels, weight=class_weights, reduction="none")

    def settled(self, output: ExitsOutput) -> tuple[Tensor, Tensor]:
        """What `read` would say after a `forward` in eval mode, and the frames that it would read.

        Args:
            output: what `forward` gave. One with `units_read` has its decisions made; of others the
                first exit that is certain enough answers.

        Returns:
            Logits `[B, K]` and frames, float `[B]`.
        """
        exits, logits = output.exit_logits, output.logits
        assert logits is not None
        units = getattr(output, "units_read", None)
        if units is not None or exits is None:
            return logits, logits.new_ones(len(logits)) if units is None else units.float()
        taken_B = self._exits_taken(output)
        rows_B = torch.arange(len(exits), device=exits.device)
        return exits[rows_B, taken_B], (taken_B + 1).float()

    def _exits_taken(self, output: ExitsOutput) -> Tensor:
        """The exit that answers each video, `[B]`."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        exits = output.exit_logits
        assert exits is not None
        if not config.thresholds or len(config.thresholds) != exits.shape[1] - 1:
            return torch.full((len(exits),), exits.shape[1] - 1, device=exits.device)
        said = exits.float().cpu()
        return exits_taken(certainties(config, said), config.thresholds).to(exits.device)

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
