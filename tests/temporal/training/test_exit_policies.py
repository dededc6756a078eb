"""Policies of readers with exits: what thresholds do, shared and searched."""

from __future__ import annotations

import math
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from temporal.policies.halt import CRITERIA
from temporal.training.calibration import measure
from temporal.training.exit_policies import (
    NEVER,
    ExitAnswers,
    certainties,
    exits_taken,
    searched_thresholds,
    shared_thresholds,
)


def config(
    criterion: str = "confidence", temperatures: list[float] | None = None
) -> SimpleNamespace:
    return SimpleNamespace(criterion=criterion, temperatures=temperatures)


def logits(rows: list[list[tuple[float, int]]]) -> Tensor:
    """`[N, E, 2]` logits from each exit's (probability, class)."""
    out = torch.empty(len(rows), len(rows[0]), 2)
    for n, row in enumerate(rows):
        for e, (probability, answer) in enumerate(row):
            out[n, e] = math.log(1 - probability)
            out[n, e, answer] = math.log(probability)
    return out


# Four sources, three exits; exit 0 is wrong about the third, right answers are 0, 1, 0, 1.
LOGITS = logits(
    [
        [(0.9, 0), (0.95, 0), (0.99, 0)],
        [(0.6, 1), (0.9, 1), (0.99, 1)],
        [(0.7, 1), (0.6, 0), (0.99, 0)],
        [(0.55, 1), (0.6, 1), (0.7, 1)],
    ]
)
LABELS = torch.tensor([0, 1, 0, 1])


def answers(logits_NEK: Tensor, labels_N: Tensor, lengths_N: Tensor | None = None) -> ExitAnswers:
    num_sources, num_exits, _ = logits_NEK.shape
    shares_E = torch.arange(1, num_exits + 1) / num_exits
    lengths_N = torch.ones(num_sources) if lengths_N is None else lengths_N
    return ExitAnswers(
        certainties=certainties(config(), logits_NEK),
        losses_NE=logits_NEK.argmax(-1) != labels_N[:, None],
        costs_NE=lengths_N[:, None] * shares_E,
        cost_unit="layers",
    )


def test_exits_taken_by_hand() -> None:
    sure = certainties(config(), LOGITS)
    assert exits_taken(sure, [0.8, 0.8]).tolist() == [0, 1, 2, 2]
    assert exits_taken(sure, [0.65, 0.95]).tolist() == [0, 2, 0, 2]
    assert exits_taken(sure, [NEVER, NEVER]).tolist() == [2] * 4
    assert exits_taken(sure, [0.0, 0.0]).tolist() == [0] * 4
    # Two answers in a row agree at exit 1, but for the third source, which changes its mind.
    assert exits_taken(certainties(config("patience"), LOGITS), [2, 2]).tolist() == [1, 1, 2, 1]
    with pytest.raises(ValueError, match=r"thresholds \(1\) must be as many as exits - 1 \(2\)"):
        exits_taken(sure, [0.5])


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_exits_taken_is_what_a_reader_does_step_by_step(name) -> None:
    logits_NEK = 2 * torch.randn(40, 4, 3)
    thresholds = [0.8, 0.6, 0.5] if name != "patience" else [2, 2, 3]
    want = []
    for n in range(40):
        step = 0
        while step < 3:
            if CRITERIA[name](logits_NEK[n, : step + 1, None])[0] >= thresholds[step]:
                break
            step += 1
        want.append(step)
    assert len(set(want)) > 1
    assert exits_taken(certainties(config(name), logits_NEK), thresholds).tolist() == want


def test_a_grid_by_hand() -> None:
    lengths = torch.tensor([1.0, 2.0, 3.0, 4.0])
    grid = answers(LOGITS, LABELS, lengths).grid("confidence", [[0.8, 0.8], [0.5, 0.5]])
    assert grid.policies[0] == {"criterion": "confidence", "thresholds": [NEVER, NEVER]}
    assert grid.policies[1]["thresholds"] == [0.8, 0.8]
    assert grid.losses_PN.tolist() == [[False] * 4, [False] * 4, [False, False, True, False]]
    costs = [[1, 2, 3, 4], [1 / 3, 4 / 3, 3, 4], [1 / 3, 2 / 3, 1, 4 / 3]]
    torch.testing.assert_close(grid.costs_PN, torch.tensor(costs))


@pytest.mark.parametrize(("criterion", "num_classes"), [("confidence", 4), ("entropy", 4)])
def test_shared_thresholds_fall_from_certain_to_what_all_exits_reach(
    criterion, num_classes
) -> None:
    rows = shared_thresholds(criterion, 4, num_classes, count=9)
    levels = [row[0] for row in rows]
    assert len(rows) == 9 and all(row == [row[0]] * 3 for row in rows)
    assert levels == sorted(levels, reverse=True) and levels[0] == pytest.approx(0.999)
    assert levels[-1] == pytest.approx(0.25 if criterion == "confidence" else 0.01)


def test_shared_thresholds_of_patience_are_all_that_there_are() -> None:
    assert shared_thresholds("patience", 4, 2) == [[3.0] * 3, [2.0] * 3, [1.0] * 3]


def test_exits_before_min_exit_never_answer() -> None:
    for row in shared_thresholds("confidence", 3, 2, min_exit=1):
        assert min(exits_taken(certainties(config(), LOGITS), row)) >= 1
    for row in searched_thresholds(answers(LOGITS, LABELS), min_exit=1):
        assert row[0] == NEVER
    with pytest.raises(ValueError, match=r"min_exit \(2\) must be >= 0 and < exits - 1 \(2\)"):
        shared_thresholds("confidence", 3, 2, min_exit=2)


def noisy(num_sources: int, seed: int) -> ExitAnswers:
    """Three exits, each surer and better than the one before; the first is far too sure."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(0, 2, (num_sources,), generator=generator)
    signs_N1 = 2.0 * labels_N[:, None] - 1
    noise_N3 = torch.randn(num_sources, 3, generator=generator) * torch.tensor([1.5, 0.8, 0.4])
    evidence_N3 = (signs_N1 + noise_N3) * torch.tensor([6.0, 2.0, 2.0])
    return answers(torch.stack([-evidence_N3, evidence_N3], -1), labels_N)


def test_the_search_finds_what_trying_all_thresholds_finds() -> None:
    run = noisy(60, seed=1)
    found = searched_thresholds(run)
    levels = [[NEVER, *run.certainties[:, k].tolist()] for k in (0, 1)]
    everything = measure(run.grid("confidence", list(product(*levels))))
    searched = measure(run.grid("confidence", found))
    assert len(found) > 2
    for price in (0.1, 0.3, 1.0):
        best = min(price * point.cost_share - point.accuracy for point in everything)
        mine = min(price * point.cost_share - point.accuracy for point in searched)
        assert mine <= best + 0.01


def test_searched_thresholds_serve_exits_of_different_sureness_better() -> None:
    searched = searched_thresholds(noisy(2000, seed=2))
    shared = shared_thresholds("confidence", 3, 2, count=40)
    fresh = noisy(2000, seed=3)

    def accuracy(thresholds: list[list[float]], budget: float) -> float:
        points = measure(fresh.grid("confidence", thresholds))
        return max(point.accuracy for point in points if point.cost_share <= budget)

    assert accuracy(searched, 0.6) > accuracy(shared, 0.6) + 0.02


@pytest.mark.parametrize("wrong", ["certainties", "costs_NE", "none"])
def test_shapes_that_do_not_fit_are_refused(wrong) -> None:
    run = answers(LOGITS, LABELS)
    parts = {name: getattr(run, name) for name in ("certainties", "losses_NE", "costs_NE")}
    if wrong == "none":
        parts = {name: part[:0] for name, part in parts.items()}
    else:
        parts[wrong] = parts[wrong][:, :1]
    with pytest.raises(ValueError, match="must hold"):
        ExitAnswers(cost_unit="layers", **parts)
