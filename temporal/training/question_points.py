"""Operating points of a `VideoLanguageReader`, from questions that were read in full.

Without right answers the risk is disagreement with the full reading; with them, the drop of
accuracy. Thresholds go down along a path that no data has a say in, so all questions test it; see
`temporal.training.calibration` for what is promised. Several questions about one video count for
less than their number, and the bounds do not know that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..models.language.every_look import EveryLook, language_space
from ..models.operating_points import Point
from .calibration import PolicyGrid, operating_points


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
        right_answers: of all the questions that were asked, those that could not be read included;
            an answer is right where it is the same text, but for spaces around it. None: an answer
            is to agree with the full reading's.
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
    policies = language_space(every.config).policies(num_points=count)
    if right_answers is None:
        wanted, risk = every.texts(policies[0]), "disagreement"
    else:
        num_asked = len(every.rows) + len(every.faults)
        if len(right_answers) != num_asked:
            raise ValueError(
                f"right_answers ({len(right_answers)}) must be one for each of the {num_asked} "
                "questions that were asked"
            )
        wanted, risk = [right_answers[row].strip() for row in every.rows], "accuracy_drop"
    losses = [
        [text != answer for text, answer in zip(every.texts(policy), wanted, strict=True)]
        for policy in policies
    ]
    _, costs_PN = every.under(policies)
    grid = PolicyGrid(
        policies=policies, losses_PN=torch.tensor(losses), costs_PN=costs_PN, cost_unit="frames"
    )
    nothing = torch.arange(0)
    tested = torch.arange(len(wanted))
    points: list[Any] = operating_points(
        grid, nothing, tested, count=count, risk=risk, confidence=confidence
    )
    return [point.to_dict() for point in points]
