"""Tell a model which training step it is."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback


class TrainingStep(TrainerCallback):
    """Sets `training_step`, from 0, before each step of the optimizer, in a model that has it.

    A `SkimRNN` anneals its temperature by it, an `EarlyExit` alternates its losses. A resumed
    training goes on counting where it was interrupted.
    """

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by `Trainer`."""
        model = getattr(kwargs["model"], "module", kwargs["model"])  # not its wrapper
        if hasattr(model, "training_step"):
            model.training_step = state.global_step
