"""LSTM-Shuttle: after some tokens, the state says how far to go on, or back, or to stop.

Fu & Ma, "Speed Reading: Learning to Read ForBackward via Shuttle" (EMNLP 2018, D18-1474).
"""

from __future__ import annotations

from typing import Any

from ...checks import check_range
from .lstm_jump import LSTMJump, LSTMJumpConfig


class LSTMShuttleConfig(LSTMJumpConfig):
    """Sizes and policy of an `LSTMShuttle`: those of an `LSTMJump`, and how far it goes back."""

    model_type = "lstm_shuttle"

    max_back: int = 40
    """The farthest step back, counted from the first token of the block that was just read."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("max_back", self.max_back, 1, 1_000_000)


class LSTMShuttle(LSTMJump):
    """An LSTM-Jump that may also go back, to tokens that it left out or wants to read again.

    "Speed Reading: Learning to Read ForBackward via Shuttle", Fu & Ma, EMNLP 2018.

    Its actions are steps of -`max_back` to `max_jump` tokens; 0 stops, and so does a step that
    leads out of the text. A token that is read twice counts as read once, and as two in the cost.
    """

    config_class = LSTMShuttleConfig
    base_model_prefix = "lstm_shuttle"

    @property
    def num_backward(self) -> int:
        """How many of the policy's actions go back; the next one stops, the others go forward."""
        return self.config.max_back
