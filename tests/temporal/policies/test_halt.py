"""Halting criteria, computed by hand from probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from temporal.policies.halt import (
    CRITERIA,
    FOR_REGRESSION,
    LearnedGate,
    confidence,
    criterion,
    entropy,
    lead,
    margin,
    patience,
    stability,
    utility_drop,
    window,
)


def exits(*steps: list[list[float]]) -> Tensor:
    """Logits `[E, B, K]` whose softmax gives these probabilities."""
    return torch.tensor(steps, dtype=torch.float64).log()


TWO = exits([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], [[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])


def test_confidence_is_the_largest_probability_of_the_newest_exit() -> None:
    torch.testing.assert_close(confidence(TWO).tolist(), [0.5, 0.8])


def test_margin_is_the_lead_over_the_second() -> None:
    torch.testing.assert_close(margin(TWO).tolist(), [0.1, 0.7])


def test_entropy_is_normalised_and_turned_round() -> None:
    by_hand = [
        1 + sum(p * math.log(p) for p in (0.5, 0.4, 0.1)) / math.log(3),
        1 + sum(p * math.log(p) for p in (0.1, 0.1, 0.8)) / math.log(3),
    ]
    torch.testing.assert_close(entropy(TWO).tolist(), by_hand)
    assert entropy(torch.zeros(1, 1, 4)).item() == pytest.approx(0)  # no idea at all
    assert entropy(torch.tensor([[[100.0, 0, 0, 0]]])).item() == pytest.approx(1)


def running_means(*said: float) -> torch.Tensor:
    """What frames say of the first of two classes, as logits `[E, 1, 2]` of their running mean."""
    means = torch.tensor(said).cumsum(0) / torch.arange(1, len(said) + 1)
    return torch.stack([means, 1 - means], -1)[:, None].log()


def test_lead_is_the_probability_that_the_leader_of_a_running_mean_stays() -> None:
    logits_E1K = running_means(0.6, 0.7, 0.8)  # leads of 0.2, 0.4, 0.6, and none as one more
    t = 0.3 / ((0.01 + 0.01 + 0.09 + 0.09) / 3 / 4) ** 0.5

    def probability(t: float) -> float:
        z = t * (1 - 1 / 12) / (1 + t**2 / 6) ** 0.5
        return 0.5 * (1 + math.erf(z / 2**0.5))

    assert 0.9 < probability(t) < 0.949  # which is Student's: it errs on the safe side
    assert lead(logits_E1K).item() == pytest.approx(probability(t), abs=1e-4)
    of_four = lead(logits_E1K, num_exits=4)  # of which one is left
    assert of_four.item() == pytest.approx(probability(2 * t), abs=1e-4)
    several = torch.sigmoid(logits_E1K.softmax(-1).logit()).logit()
    same = lead(several, problem_type="multi_label_classification")
    assert same.item() == pytest.approx(lead(logits_E1K).item(), abs=1e-4)
    assert lead(logits_E1K[..., :1]).item() == 0


def test_a_small_lead_that_all_confirm_is_surer_than_a_large_one_of_two_that_differ() -> None:
    steady, torn = running_means(0.51, 0.512, 0.511), running_means(0.99, 0.2, 0.9)
    assert lead(steady).item() > 0.9 > lead(torn).item()
    longer = running_means(0.51, 0.512, 0.511, 0.511, 0.511)
    assert lead(steady[:1]).item() < lead(steady[:2]).item() < lead(steady).item()
    assert lead(steady).item() < lead(longer).item() < 1


def test_stability_is_how_little_the_answer_moved() -> None:
    assert stability(TWO[:1]).tolist() == [0, 0]
    # (|0.5 - 0.7| + |0.4 - 0.2| + 0) / 2 and (0.15 + 0.15 + 0.3) / 2.
    torch.testing.assert_close(stability(TWO).tolist(), [1 - 0.2, 1 - 0.3])


def answers(*labels: int) -> Tensor:
    """One source whose exits answer with these labels."""
    return torch.nn.functional.one_hot(torch.tensor(labels), 3)[:, None].float()


@pytest.mark.parametrize(
    ("labels", "same_in_a_row"),
    [((2,), 1), ((0, 1), 1), ((1, 1), 2), ((1, 0, 0, 0), 3), ((0, 0, 1, 0, 0), 2), ((2,) * 5, 5)],
)
def test_patience_counts_the_newest_run_of_one_answer(
    labels: tuple[int, ...], same_in_a_row: int
) -> None:
    assert patience(answers(*labels)).tolist() == [same_in_a_row]


def test_a_patience_of_two_halts_after_two_exits_agreed_with_the_one_before() -> None:
    """PABEE's t counts agreements: t = 2 needs three equal answers, a threshold of 3 here."""
    run = answers(1, 0, 0, 0, 0)
    halts = [bool(patience(run[: k + 1]) >= 2 + 1) for k in range(len(run))]
    assert halts == [False, False, False, True, True]


def test_patience_counts_each_source_by_itself() -> None:
    batch = torch.cat([answers(0, 0, 0), answers(1, 0, 0), answers(0, 0, 1)], dim=1)
    assert patience(batch).tolist() == [3, 2, 1]


def test_the_window_is_as_sure_as_its_least_sure_exit_was_of_the_newest_answer() -> None:
    three = exits(
        [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]],
        [[0.6, 0.4], [0.7, 0.3], [0.2, 0.8]],
        [[0.8, 0.2], [0.6, 0.4], [0.9, 0.1]],
    )
    torch.testing.assert_close(window(three, window_size=3).tolist(), [0.6, 0.4, 0.2])
    torch.testing.assert_close(window(three, window_size=2).tolist(), [0.6, 0.6, 0.2])
    torch.testing.assert_close(window(three[:2], window_size=2).tolist(), [0.6, 0.4, 0.8])
    assert window(three[:2], window_size=3).tolist() == [0, 0, 0]  # not yet so many exits
    # ELBERT: both exits of the window lean to one side by a margin of 0.05.
    halts = window(three, window_size=2) >= 0.5 + 0.05
    assert halts.tolist() == [True, True, False]


def outputs(*values: float) -> Tensor:
    """One source's exits in regression."""
    return torch.tensor(values)[:, None, None]


def test_in_regression_patience_counts_outputs_that_stayed_within_the_tolerance() -> None:
    run = outputs(2.0, 1.0, 1.4, 1.1, 1.2)
    counts = [int(patience(run[: k + 1], tolerance=0.35)) for k in range(5)]
    assert counts == [1, 1, 1, 2, 3]
    assert int(patience(outputs(1.0, 1.3, 1.6, 1.9), tolerance=0.35)) == 4  # each to the one before
    assert int(patience(outputs(1.0, 1.5), tolerance=0.5)) == 1  # less than, not up to


def test_in_regression_the_window_says_how_far_its_outputs_lie_apart() -> None:
    run = outputs(2.0, 1.0, 1.5, 1.25)
    assert window(run, window_size=3).item() == pytest.approx(1 / 1.5)
    assert window(run, window_size=2).item() == pytest.approx(1 / 1.25)
    assert window(run[:2], window_size=3).item() == 0
    tau = 0.4  # moved by less than tau: over the threshold
    assert [bool(window(run, window_size=size) > 1 / (1 + tau)) for size in (2, 3)] == [True, False]


def test_only_some_criteria_tell_regressions_apart() -> None:
    torch.manual_seed(0)
    logits_EBK = torch.randn(4, 20, 1)
    for name in FOR_REGRESSION:
        told = criterion(name, tolerance=0.5, window_size=2)(logits_EBK)
        assert told.unique().numel() > 1, name
    for name in ("confidence", "stability"):  # the others even fail
        assert CRITERIA[name](logits_EBK).unique().numel() == 1, name


def test_a_criterion_takes_the_settings_that_it_knows() -> None:
    told = criterion("window", window_size=2, tolerance=0.3, hidden_size=8)
    assert told(TWO).tolist() == window(TWO, window_size=2).tolist() != window(TWO).tolist()
    assert criterion("margin", window_size=2) is margin


@given(
    st.lists(st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3), min_size=1, max_size=5)
)
def test_every_criterion_stays_in_its_range_and_ignores_a_shift(logits: list[list[float]]) -> None:
    logits_EBK = torch.tensor(logits)[:, None]
    for name, certainty in CRITERIA.items():
        value = certainty(logits_EBK)
        assert value.shape == (1,)
        low, high = (1, len(logits)) if name == "patience" else (0, 1)
        assert low - 1e-5 <= value.item() <= high + 1e-5, name
        if name not in ("lead", "patience", "window"):  # ties may fall differently after rounding
            torch.testing.assert_close(certainty(logits_EBK + 2), value, atol=1e-4, rtol=0)
    assert confidence(logits_EBK).item() >= 1 / 3 - 1e-6


def test_only_the_newest_exit_matters_to_criteria_without_memory() -> None:
    for certainty in (confidence, margin, entropy):
        assert torch.equal(certainty(TWO), certainty(TWO[-1:]))


def test_an_unknown_criterion_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"criterion \('luck'\) must be one of \['confidence'"):
        criterion("luck")
    assert criterion("margin") is margin


def test_the_gate_gives_one_logit_a_source_and_sees_both_states() -> None:
    gate = LearnedGate(6, hidden_size=4)
    state, previous = torch.randn(5, 6), torch.randn(5, 6)
    logits = gate(state, previous)
    assert logits.shape == (5,)
    # By hand: the same network on both, codes side by side.
    codes = torch.cat([gate.encode(state), gate.encode(previous)], 1)
    torch.testing.assert_close(logits, (codes @ gate.decide.weight.T + gate.decide.bias)[:, 0])
    logits.sum().backward()
    assert all(weight.grad is not None for weight in gate.parameters())
    torch.testing.assert_close(gate(state[2:3], previous[2:3]), logits[2:3])


def test_the_utility_has_dropped_when_it_stays_below_its_best() -> None:
    utility_EB = torch.tensor([[0.5, 0.1], [0.3, 0.4], [0.1, 0.2]])
    assert utility_drop(utility_EB[:1]).tolist() == [0.0, 0.0]
    assert utility_drop(utility_EB).tolist() == pytest.approx([0.4, 0.2])
    assert utility_drop(utility_EB, steps=2).tolist() == pytest.approx([0.2, 0.0])
    assert utility_drop(utility_EB, steps=4).tolist() == [0.0, 0.0]
