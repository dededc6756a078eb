"""Operating points of a `VideoLanguageReader`, from questions that were read in full.

Without right answers the risk is disagreement with the full reading; with them, the drop of
accuracy. Thresholds go down along a path that no data has a say in, so all questions test it; see
`temporal.training.calibration` for what is promised. Several questions about one video count for
less than their number, and the bounds do not know that.

P policies, N questions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models.language.every_look import EveryLook, language_space
from ..models.operating_points import Point
from ..models.policy_space import Policy
from .calibration import OperatingPoint, PolicyGrid, operating_points


def question_points(
    every: EveryLook,
    right_answers: Sequence[str] | None = None,
    *,
    count: int = 20,
    confidence: float = 0.95,
) -> list[Point]:
    """Operating points, as a reader's configuration stores them.

    Args:
        every: what all looks said, of `VideoLanguageReader.answers`.
        right_answers: see `question_grid`.
        count: points at most.
        confidence: of the bounds.

    Returns:
        The full reading first, each cheaper than the one before. Costs are frames.

    Raises:
        ValueError: there are not as many right answers as questions.

    Example:
        >>> reader.config.operating_points = question_points(reader.answers(asked))
        >>> reader.set_max_drop(0.02)
    """
    points = tested_points(every, right_answers, count=count, confidence=confidence)
    return [point.to_dict() for point in points]


def tested_points(
    every: EveryLook,
    right_answers: Sequence[str] | None = None,
    *,
    count: int = 20,
    risk: str | None = None,
    confidence: float = 0.95,
) -> list[OperatingPoint]:
    """The same before they are stored.

    Args:
        every: what all looks said.
        right_answers: see `question_grid`.
        count: points at most.
        risk: one of `temporal.training.risk.RISKS`, with right answers; None: the drop of accuracy.
            Without them it is disagreement.
        confidence: of the bounds.

    Raises:
        ValueError: there are not as many right answers as questions, or no such risk.
    """
    policies = language_space(every.config).policies(num_points=count)
    grid = question_grid(every, policies, right_answers)
    nothing, tested = torch.arange(0), torch.arange(grid.losses_PN.shape[1])
    risk = "disagreement" if right_answers is None else risk or "accuracy_drop"
    return operating_points(grid, nothing, tested, count=count, risk=risk, confidence=confidence)


def question_grid(
    every: EveryLook, policies: Sequence[Policy], right_answers: Sequence[str] | None = None
) -> PolicyGrid:
    """Which questions are answered wrongly under which policy, and how many frames that takes.

    Args:
        every: what all looks said.
        policies: P, the full reading first.
        right_answers: of all the questions that were asked, those that could not be read included;
            an answer is right where it is the same text, but for spaces around it. None: an answer
            is to agree with the full reading's.

    Raises:
        ValueError: there are not as many right answers as questions.
    """
    if right_answers is None:
        wanted = every.texts(policies[0])
    else:
        num_asked = len(every.rows) + len(every.faults)
        if len(right_answers) != num_asked:
            raise ValueError(
                f"right_answers ({len(right_answers)}) must be one for each of the {num_asked} "
                "questions that were asked"
            )
        wanted = [right_answers[row].strip() for row in every.rows]
    losses = [
        [text != answer for text, answer in zip(every.texts(policy), wanted, strict=True)]
        for policy in policies
    ]
    _, costs_PN = every.under(policies)
    return PolicyGrid(
        policies=policies, losses_PN=torch.tensor(losses), costs_PN=costs_PN, cost_unit="frames"
    )
