"""Configuration of a `ClipEarlyExit`: that of a `ClipReader`, and its exits over depth."""

from __future__ import annotations

from typing import Any, ClassVar

from ...backbones.video import family_of
from ...checks import check_in, num_classes
from .configuration_clip_reader import ClipReaderConfig

DEPTH_REGIMES = ("joint", "two_stage", "distillation", "gradient_separated")
"""Of `temporal.models.depth.regimes.REGIMES`, those that need no second training of a criterion."""


class ClipEarlyExitConfig(ClipReaderConfig):
    """Which clips are read, after which layers each may be answered, and when reading halts."""

    model_type = "clip_early_exit"
    policy_fields: ClassVar[tuple[str, ...]] = (*ClipReaderConfig.policy_fields, "depth_thresholds")

    exit_layers: list[int] | None = None
    """Layers after which there is an exit, counted from 1; the last layer is always one. Default:
    every layer."""
    depth_thresholds: list[float] | None = None
    """Certainty, by the criterion, at which each exit but the last answers for a clip; None: all
    layers of each clip are computed."""
    regime: str = "joint"
    """How it is trained, one of `DEPTH_REGIMES`; what of the classifier is frozen is the training's
    to say."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.classifier is None:
            return  # transformers builds an empty configuration to compare with
        count = num_layers(self.classifier_config())
        layers = sorted({*(self.exit_layers or range(1, count + 1)), count})
        if layers[0] < 1 or layers[-1] > count:
            raise ValueError(
                f"exit_layers ({self.exit_layers}) must lie between 1 and the classifier's "
                f"{count} layers"
            )
        self.exit_layers = layers
        check_in("regime", self.regime, DEPTH_REGIMES)
        thresholds = self.depth_thresholds
        if thresholds is not None and len(thresholds) != len(layers) - 1:
            raise ValueError(
                f"depth_thresholds ({thresholds}) must hold one number for each of the "
                f"{len(layers) - 1} exits before the last layer"
            )
        if num_classes(self) == 1 or self.problem_type in (
            "regression",
            "multi_label_classification",
        ):
            raise ValueError(
                f"problem_type ({self.problem_type!r}) with {num_classes(self)} labels must be one "
                "of several classes: an exit tells how certain it is of one answer"
            )


def num_layers(classifier_config: Any) -> int:
    """Layers of a video classifier.

    Raises:
        ValueError: its layers cannot be run one by one.
    """
    return family_of(classifier_config, "exit_layers").num_layers(classifier_config)
