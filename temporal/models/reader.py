"""What every reader shares: being called on a source, and its policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from torch import Tensor

from ..engine import run_alone
from ..source import Source
from .halting import set_criterion
from .operating_points import apply_point, point_for_budget, point_for_drop
from .policy_space import Answers, Policy, PolicySpace
from .stored_points import check_points


class Reader:
    """Mixed into a model that has `async def read(self, handle)`.

    Called on tensors it is the model's `forward`; called on a source it reads it alone, with the
    code that the engine runs, and returns the `Outcome`.
    """

    unit: str
    """What it reads: `"frame"` or `"token"`."""

    reads_cohorts: bool = False
    """`read` takes a list of handles in lock-step rather than one handle."""

    reads_special_tokens: bool = False
    """A text comes with its tokenizer's special tokens and within its tokenizer's limit, as for a
    classifier; these tokens alone can be answered for."""

    wraps_classifier: bool = False
    """It is made of a classifier, by `from_classifier`."""

    trains_on_units: bool = True
    """`forward` takes what is read, rather than what was computed of it before."""

    checked_weights: Mapping[Path, str] = MappingProxyType({})
    """SHA-256 of the files that it was loaded from, where they were compared with those saved."""

    has_foreign_points: bool = False
    """It was loaded with operating points that were measured on other weights."""

    sampling_fields: ClassVar[Mapping[str, str]] = {}
    """Fields of its configuration that say which frames make a clip, by the option of `pipeline()`
    that sets each."""

    one_label_function: Literal["sigmoid", "softmax"] = "sigmoid"
    """What makes a score of the logit of a single class, as in transformers' pipelines for such
    models, where the configuration does not say it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`reader(source) -> Outcome`, or the model's forward on tensors.

        Raises:
            Exception: whatever ended the reading, with its own traceback.
        """
        if not args or isinstance(args[0], Tensor) or not isinstance(args[0], Source):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]  # PreTrainedModel's
        read: Any = self.read  # type: ignore[attr-defined]  # the class that mixes this in has it
        outcome: Any = run_alone(read, [args[0]] if self.reads_cohorts else args[0])
        outcome = outcome[0] if self.reads_cohorts else outcome
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def set_budget(self, budget: float) -> dict[str, Any] | None:
        """Run at the calibrated operating point that spends most of a budget.

        Args:
            budget: share of the full cost that may be spent, 0 to 1.

        Returns:
            The operating point; None where the reader has a way of its own to keep to a budget.

        Raises:
            ValueError: the budget is not in [0, 1], the reader is not calibrated or its points are
                those of other weights, or no point is so cheap.
        """
        return self._run_at(point_for_budget(self._own_points(), budget))

    def set_max_drop(self, max_drop: float) -> dict[str, Any]:
        """Run at the cheapest operating point that is certified to lose at most so much accuracy.

        Args:
            max_drop: accuracy that may be lost against reading everything, 0 to 1; see
                `temporal.training.calibration` for what is promised.

        Returns:
            The operating point, with the confidence.

        Raises:
            ValueError: the drop is not in [0, 1], the reader is not calibrated, or its points are
                those of other weights.
        """
        return self._run_at(point_for_drop(self._own_points(), max_drop))

    def _own_points(self) -> list[dict[str, Any]] | None:
        if self.has_foreign_points:
            raise ValueError(
                "the operating points of this reader were measured on other weights than its own, "
                "and promise nothing of these: run temporal calibrate"
            )
        return self._stored_points()

    def _stored_points(self) -> list[dict[str, Any]] | None:
        # A classifier of transformers, read in pieces, has no field for them.
        config = self.config  # type: ignore[attr-defined]  # every reader has it
        check_points(config)
        return getattr(config, "operating_points", None)

    def _run_at(self, point: dict[str, Any]) -> dict[str, Any]:
        apply_point(self.config, point)  # type: ignore[attr-defined]
        return point

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt by a criterion at one threshold for all exits, instead of the calibrated policy.

        Args:
            name: one of `temporal.policies.halt.CRITERIA`.
            threshold: certainty at which to halt; None: never.

        Raises:
            ValueError: the name is not a criterion, or this reader has no exits.
        """
        set_criterion(self.config, name, threshold)  # type: ignore[attr-defined]

    def set_sampling(self, order: str) -> None:
        """Read frames or clips of a video in another order.

        Args:
            order: one of `temporal.policies.read.ORDERS`, or `"motion"`.

        Raises:
            ValueError: there is no such order; or the reader was trained or calibrated in its own.
        """
        name = self.config.model_type  # type: ignore[attr-defined]  # every reader has it
        raise ValueError(
            f"sampling ({order!r}) is for classifiers that are read without training; this reader "
            f"({name}) reads in the order that it was trained or calibrated in: leave it out"
        )

    @classmethod
    def from_installed_weights(cls, config: Any) -> Any:
        """The reader that a configuration saved without weights describes.

        Returns:
            None: its weights are in no installed package, and have to lie beside the configuration.
        """
        return None

    def learn_tokens(self, tokenizer: Any) -> None:
        """Note which tokens mean something to it; called before a training on texts."""

    @property
    def plain_classifier(self) -> Any:
        """The classifier inside it that transformers can run; None: it has none."""
        return None

    @property
    def depth_reader(self) -> Any:
        """The reader with exits over its layers that it is, or has inside; None: there is none."""
        return None

    def policy_space(self) -> PolicySpace:
        """What may be turned on this reader: the policies that a calibration tries.

        Raises:
            ValueError: nothing may, so far as is known.
        """
        name = self.config.model_type  # type: ignore[attr-defined]  # every reader has it
        raise ValueError(
            f"model_type ({name}) must have exits, or a family of policies: its reader has no "
            "policy_space()"
        )

    def full_policy(self) -> Policy:
        """The policy under which nothing is skipped and nothing halted; audits compare with it.

        Raises:
            ValueError: there is none, so far as is known.
        """
        points = self._stored_points()
        return dict(points[0]["policy"]) if points else self.policy_space().full

    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> Answers | None:
        """What it says of sources wherever it may halt, from reading all of them once.

        Args:
            sources: each is done with when the next one is asked for.
            batch_size: sources computed at a time, where it can be more than one.

        Returns:
            None: that cannot be told, and the reader must be read under each policy.
        """
        return None

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading a source of so many units with nothing skipped and nothing halted.

        By the same count as the MACs in a trace, so that their ratio is the share that was spent.
        From what the stages measured while they ran; None where that does not tell.
        """
        return None
