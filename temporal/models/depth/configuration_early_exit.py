"""Configuration of an `EarlyExit`: the encoder, its exits, how they learn and when they answer."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from ...checks import check_in, num_classes
from ..halting import check_halting
from .learned_criteria import LEARNED_CRITERIA
from .regimes import REGIMES
from .token_pruning import PRUNERS


class EarlyExitConfig(PreTrainedConfig):
    """The encoder's own configuration, where its exits are, and when they may answer.

    An encoder with `num_labels=1` is a regression, as in transformers.
    """

    model_type = "early_exit"
    policy_fields = ("criterion", "thresholds", "temperatures")
    keys_to_ignore_at_inference = ["exit_states"]  # a Trainer that evaluates would collect them

    encoder: dict | None = None
    """Configuration of the wrapped classifier, with its `model_type`."""
    exit_layers: list[int] | None = None
    """Layers after which there is an exit, counted from 1; the last layer is always one.
    Default: every layer."""
    exit_pooling: str = "mean"
    """What an exit before the last sees: the mean over tokens, or the first token. Early layers
    have not gathered much in the first token yet. The last exit is the classifier's own."""
    exit_head: str = "copy"
    """What an exit before the last answers with: a `"copy"` of the classifier's head, or a single
    `"linear"` layer, which is faster one text at a time; see `temporal.models.depth.depth_exit`."""
    regime: str = "joint"
    """How it is trained: one of `temporal.models.depth.regimes.REGIMES`."""
    criterion: str | None = None
    """One of `temporal.policies.halt.CRITERIA`, or of `learned_criteria`. Default: `"confidence"`,
    or `"window"` in regression."""
    learned_criteria: list[str] | None = None
    """Learned criteria that the reader carries: names from
    `temporal.models.depth.learned_criteria.LEARNED_CRITERIA`."""
    window_size: int = 3
    """Exits that the criterion `"window"` looks back on."""
    tolerance: float = 0.0
    """Regression with the criterion `"patience"`: outputs that differ by less than this agree."""
    thresholds: list[float] | None = None
    """Certainty at which each exit but the last answers; None: nothing halts."""
    temperatures: list[float] | None = None
    """What the logits of each exit but the last are divided by before the criterion sees them,
    unless it is a learned one; None: all are 1. Scores are not scaled."""
    pruning: str | None = None
    """How tokens are dropped between layers: one of `token_pruning.PRUNERS`."""
    pruning_loss_weight: float = 0.1
    """What the training loss pays for tokens that are kept."""
    pruning_soft: bool = False
    """Train with tokens weighed rather than dropped: the first stage of `power` and `ltp`, which
    learns how many to drop. `transkimmer` has no stages."""
    kept_tokens: list[float] | None = None
    """power: what is kept after each layer but the last; up to 1 a share of the text, above 1 a
    number of tokens. None: what the soft stage learned."""
    pruning_threshold: float = 0.01
    """ltp: threshold of the last layer that drops tokens, where the soft stage starts."""
    pruning_temperature: float = 5e-4
    """ltp: how soft the soft stage's thresholds are."""
    operating_points: list[dict] | None = None
    """Calibrated ways to run; see `temporal.models.operating_points`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.encoder is None:
            return  # transformers builds an empty configuration to compare with
        encoder = self.encoder_config()
        self.id2label, self.label2id = encoder.id2label, encoder.label2id
        self.problem_type = encoder.problem_type
        num_layers = int(encoder.num_hidden_layers)
        layers = sorted({*(self.exit_layers or range(1, num_layers + 1)), num_layers})
        if layers[0] < 1 or layers[-1] > num_layers:
            raise ValueError(
                f"exit_layers ({self.exit_layers}) must lie between 1 and the encoder's "
                f"{num_layers} layers"
            )
        self.exit_layers = layers
        self.criterion = self.criterion or ("confidence" if num_classes(self) > 1 else "window")
        self.check()

    @property
    def num_exits(self) -> int:
        """E, the last exit included."""
        return len(self.exit_layers or [])

    def check(self) -> None:
        """Raise ValueError unless the fields fit each other.

        The model asks too: `from_pretrained(path, regime=...)` sets fields of a finished
        configuration.
        """
        check_in("exit_pooling", self.exit_pooling, ("mean", "first"))
        check_in("exit_head", self.exit_head, ("copy", "linear"))
        check_in("regime", self.regime, REGIMES)
        for name in self.learned_criteria or []:
            check_in("learned_criteria", name, LEARNED_CRITERIA)
        if self.window_size < 2:
            raise ValueError(f"window_size ({self.window_size}) must be >= 2 exits")
        num_exits = self.num_exits
        check_halting(self, num_exits)
        if self.problem_type == "multi_label_classification" or (
            self.problem_type == "regression" and num_classes(self) > 1
        ):
            raise ValueError(
                f"problem_type ({self.problem_type!r}) with {num_classes(self)} labels must be "
                "single_label_classification, or regression with one: an exit tells how certain "
                "it is of one answer"
            )
        trains = REGIMES[self.regime].trains
        has = {"classifier", *(["exits"] if num_exits > 1 else []), *(self.learned_criteria or [])}
        if not trains & has:
            raise ValueError(
                f"regime ({self.regime!r}) trains {sorted(trains)}, and of these the reader has "
                "none: give it exit_layers before the last, or learned_criteria"
            )
        self._check_pruning()

    def _check_pruning(self) -> None:
        num_layers = max(self.exit_layers or [])  # the last layer is always an exit
        if self.pruning is not None:
            check_in("pruning", self.pruning, PRUNERS)
        kept = self.kept_tokens
        if kept is not None and (len(kept) != num_layers - 1 or min(kept) <= 0):
            raise ValueError(
                f"kept_tokens ({kept}) must hold one number above 0 for each of the "
                f"{num_layers - 1} layers before the last"
            )

    def encoder_config(self) -> PreTrainedConfig:
        """The wrapped classifier's configuration as an object."""
        fields = dict(self.encoder or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
