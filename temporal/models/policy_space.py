"""What a reader brings to its calibration: what may be turned on it, and what its exits say.

`Reader.policy_space()` names the policies that are worth trying. `Reader.answers(sources)` says, of
readers that can tell it from one reading of everything, what each of them would have answered and
about what it would have cost; any other reader is read once under each policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

Policy = dict[str, Any]
"""Values for policy fields of a reader's configuration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySpace:
    """The policies of a reader that are worth trying.

    Example:
        >>> space = PolicySpace.of_field("read_threshold", [0.0, 0.5, 0.9])
        >>> space.policies()
        [{'read_threshold': 0.0}, {'read_threshold': 0.5}, {'read_threshold': 0.9}]
    """

    full: Policy
    """Nothing is skipped and nothing halts. For readers that answer worse beyond what they were
    trained as: as they were trained."""
    cheaper: Callable[[int], Sequence[Policy]]
    """All others, for a number of levels of each thing that may be turned; a space that is fixed
    takes no notice of it."""
    ordered: bool = True
    """Whether each reads no more than the one before, whatever the sources. Then all held-out rows
    test them; else some rows find an order first."""
    closed_because: str | None = None
    """Why nothing may be turned, in a sentence; None: something may."""

    @classmethod
    def of_field(cls, name: str, values: Sequence[Any]) -> PolicySpace:
        """One field of the configuration.

        Args:
            name: the field.
            values: the one that reads everything, and others that read less and less.
        """
        full, *others = ({name: value} for value in values)
        return cls(full=full, cheaper=lambda _: others)

    def policies(self, *, num_points: int = 20, num_levels: int = 8) -> list[Policy]:
        """The full reading, and the others.

        Args:
            num_points: policies of an ordered space, where their number is free.
            num_levels: levels of each thing that may be turned, where there are several.

        Raises:
            ValueError: nothing may be turned.
        """
        if self.closed_because is not None:
            raise ValueError(self.closed_because)
        return [self.full, *self.cheaper(num_points - 1 if self.ordered else num_levels)]


class Answers(Protocol):
    """What a reader says of sources wherever it may halt, from reading all of them once."""

    @property
    def rows(self) -> Sequence[int]:
        """Numbers of the sources that were read in full, in the order of all else: N."""

    @property
    def faults(self) -> Mapping[int, Exception]:
        """Why others were not, by their numbers."""

    def under(self, policies: Sequence[Policy]) -> tuple[Tensor, Tensor]:
        """What P policies would have answered, and about what each reading would have cost.

        Returns:
            Class numbers, int64, and costs, in proportion to what is computed: both `[P, N]`.
        """
