"""What a reader of frames gives to its training (`pipelines/training/video/frames.py`).

Its `forward` takes those of the following that it needs, and a training gives it what its signature
names, of the S frames of each video in the order of `training_frames`:

`pixel_values`  `[B, S, 3, H, W]`, 0 to 255, at `frame_size`; or
`features`      `[B, S, D]`, what `training_features` made of them before
`glances`       `[B, S, 3, h, w]`, 0 to 255, the same frames at `glance_size`
`sounds`        `[B, S, M, L]`, what is heard around them at `sound_size` (`hearing.sounds_at`)
`motion`        `[B, S]`, how much each frame seems to change (`Handle.motion`)
`motion_profile` `[B, P]`, what `profile_from` makes of the whole video's, where it `sees_profile`
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
from torch import Tensor
from torch.nn import functional as F

from ...policies.read import uniform
from ..every_exit import certainties, exits_taken
from ..exit_reader import ExitsOutput


class FrameTraining:
    """Mixed into a reader of frames; see the head of this file."""

    glance_size: tuple[int, int] | None = None
    """(height, width) at which frames are glanced at for a policy; None: it does not glance."""
    sound_size: tuple[int, int] | None = None
    """(mel bands, steps of 10 ms) that are heard around each frame; None: it does not listen."""
    feature_fields: tuple[str, ...] = ("image_size", "pixel_mean", "pixel_std")
    """Fields of the configuration, the backbone's aside, that `training_features` depends on."""

    chooses_by_motion: bool = False
    """Whether `training_frames` is to be told `motion=`, how much each frame of the video moves
    (`known_motion` of `Handle.motion`), float `[N]`."""
    sees_profile: bool = False
    """Whether `forward` is to be given `motion_profile`, which `profile_from(motion_N, levels)`
    makes of `Handle.motion` and `levels_of` in motion_evidence.py."""
    has_frame_features: bool = True
    """Whether single frames have features (`training_features`), which a training may keep."""
    backbone_class: str = "AutoModel"
    """Name of the class of transformers that loads what `from_backbone` takes."""
    frames_per_exit: int = 1
    """Frames that are read before each exit."""

    @classmethod
    def exits_fit_convexly(cls, config: Any) -> bool:
        """Whether all that such a reader learns on features is a convex problem.

        A few steps of L-BFGS solve it (`temporal.training.exits`).

        Args:
            config: of the reader.
        """
        return False

    def training_frames(self, num_frames: int, keyframes: Sequence[int]) -> list[int]:
        """The frames of a video that `forward` wants, in its order.

        Args:
            num_frames: frames in the video, at least 1.
            keyframes: frame indices that decode alone.
        """
        return uniform(num_frames, self.config.num_frames)  # type: ignore[attr-defined]

    def prepare_training(self, features_NSD: Tensor, times_NS: Tensor) -> None:
        """Set what is not learned by gradients, once before a training. Default: nothing.

        Args:
            features_NSD: of clips that are trained on, as many as suffice for statistics.
            times_NS: when their frames are, as shares of the clips.
        """

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
        return exits[rows_B, taken_B], (taken_B + 1).float() * self.frames_per_exit

    @property
    def glances_at_all(self) -> bool:
        """Whether a reading glances at all frames of `training_frames`. Default: if it glances."""
        return self.glance_size is not None

    def frames_seen(self, output: ExitsOutput, num_frames: int) -> Tensor:
        """Which frames of a `forward` in eval mode a reading looks at, to read or to glance at.

        Each of them has to be decoded. Default: all, if it glances at all; else those that the
        output says were `picked`, or else the first ones, as many as are read.

        Args:
            output: what `forward` gave.
            num_frames: S, which it was given of each video.

        Returns:
            Bool `[B, S]`, in the order of `training_frames`.
        """
        read_BS = self.frames_read(output, num_frames)
        return torch.ones_like(read_BS) if self.glances_at_all else read_BS

    def frames_read(self, output: ExitsOutput, num_frames: int) -> Tensor:
        """Which frames of a `forward` in eval mode a reading reads, as `frames_seen` has them."""
        _, read_B = self.settled(output)
        seen_BS = read_B.new_zeros(len(read_B), num_frames, dtype=torch.bool)
        picked = getattr(output, "picked", None)
        if picked is None:
            picked = torch.arange(num_frames, device=read_B.device).expand(len(read_B), -1)
        is_read_BE = torch.arange(picked.shape[1], device=read_B.device) < read_B[:, None]
        is_read_BE = is_read_BE & (picked >= 0)
        # -1, after the end, goes to a column that is cut off.
        places_BE = picked.masked_fill(~is_read_BE, num_frames)
        wider_BS = F.pad(seen_BS, (0, 1)).scatter(1, places_BE, True)
        return wider_BS[:, :num_frames]

    def _exits_taken(self, output: ExitsOutput) -> Tensor:
        """The exit that answers each video, `[B]`."""
        config: Any = self.config  # type: ignore[attr-defined]  # the model has it
        exits = output.exit_logits
        assert exits is not None
        if not config.thresholds or len(config.thresholds) != exits.shape[1] - 1:
            return torch.full((len(exits),), exits.shape[1] - 1, device=exits.device)
        said = exits.float().cpu()
        return exits_taken(certainties(config, said), config.thresholds).to(exits.device)
