"""Configuration of an `EarlyExit`: the encoder, where its exits are, and when they answer."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from .checks import check_in
from .halting import check_halting


class EarlyExitConfig(PreTrainedConfig):
    """The encoder's own configuration, where its exits are, and when they may answer."""

    model_type = "early_exit"

    encoder: dict | None = None
    """Configuration of the wrapped classifier, with its `model_type`."""
    exit_layers: list[int] | None = None
    """Layers after which there is an exit, counted from 1; the last layer is always one.
    Default: every layer."""
    exit_pooling: str = "mean"
    """What an exit before the last sees: the mean over tokens, or the first token. Early layers
    have not gathered much in the first token yet. The last exit is the classifier's own."""
    criterion: str = "confidence"
    """One of `temporal.policies.halt.CRITERIA`."""
    thresholds: list[float] | None = None
    """Certainty at which each exit but the last answers; None: nothing halts."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.halting`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.encoder is None:
            return  # transformers builds an empty configuration to compare with
        encoder = self.encoder_config()
        self.id2label, self.label2id = encoder.id2label, encoder.label2id
        num_layers = int(encoder.num_hidden_layers)
        layers = sorted({*(self.exit_layers or range(1, num_layers + 1)), num_layers})
        if layers[0] < 1 or layers[-1] > num_layers:
            raise ValueError(
                f"exit_layers ({self.exit_layers}) must lie between 1 and the encoder's "
                f"{num_layers} layers"
            )
        self.exit_layers = layers
        check_in("exit_pooling", self.exit_pooling, ("mean", "first"))
        check_halting(self, len(layers))

    def encoder_config(self) -> PreTrainedConfig:
        """The wrapped classifier's configuration as an object."""
        fields = dict(self.encoder or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
