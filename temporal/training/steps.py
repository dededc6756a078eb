"""Tell a model which training step it is."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback


class TellStep(TrainerCallback):
    """Sets `model.training_step`, from 0, before each step of the optimizer.

    A `SkimRNN` anneals its temperature by it, an `EarlyExit` alternates its losses. A resumed
    training goes on counting where it was interrupted.
    """

    def on_step_begin(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Called by `Trainer`."""
        getattr(model, "module", model).training_step = state.global_step  # unwrapped
