"""Learned halting criteria: what they see, what they learn, and that a reader keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from temporal.models import EarlyExit
from temporal.models.depth.learned_criteria import (
    LEARNED_CRITERIA,
    Certainty,
    Consistency,
    consistency_features,
)
from temporal.models.depth.regimes import answers

from ..encoder_families import LENGTHS, make

P_EBK = torch.tensor([[[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]], [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]])


def test_consistency_sees_the_newest_exit_and_the_history_of_its_answer() -> None:
    first = consistency_features(P_EBK[:1].log())
    torch.testing.assert_close(first[0].tolist(), [0.7, 0.2, 0.1, 0.7, 0.5])
    both = consistency_features(P_EBK.log())
    torch.testing.assert_close(both[0].tolist(), [0.5, 0.3, 0.2, 0.5, 0.2, 0.7])
    torch.testing.assert_close(both[1].tolist(), [0.6, 0.3, 0.1, 0.6, 0.3, 0.2])


def test_consistency_sees_how_far_a_regression_has_moved() -> None:
    outputs_EBK = torch.tensor([1.0, 3.0, 2.5])[:, None, None]
    assert consistency_features(outputs_EBK).tolist() == [[2.5, -1.5, 0.5]]
    assert consistency_features(outputs_EBK[:1]).tolist() == [[1.0]]


@pytest.mark.parametrize("num_labels", [1, 2, 5])
@pytest.mark.parametrize("name", LEARNED_CRITERIA)
def test_a_learned_criterion_gives_one_logit_a_source_at_every_exit(name, num_labels) -> None:
    learned = LEARNED_CRITERIA[name](4, 6, num_labels)
    logits_EBK, seen_BD = torch.randn(3, 7, num_labels), torch.randn(7, 6)
    for k in range(1, 4):
        said_B = learned(logits_EBK[:k], seen_BD)
        assert said_B.shape == (7,)
        one = learned(logits_EBK[:k, 2:3], seen_BD[2:3])
        torch.testing.assert_close(one, said_B[2:3])  # sources do not mix


def test_certainty_is_one_map_for_all_exits_and_learns_to_be_right() -> None:
    certainty = Certainty(4, 6, 3)
    seen_BD = torch.randn(2, 6)
    by_hand = seen_BD @ certainty.linear.weight[0] + certainty.linear.bias
    for k in (1, 2):
        torch.testing.assert_close(certainty(P_EBK[:k].log().float(), seen_BD), by_hand)
    # BERxiT, section 3.3: (certainty - 1 [answer = label])^2; the first source is wrong here.
    loss = certainty.loss(by_hand, P_EBK[0].log(), P_EBK[1].log(), torch.tensor([1, 2]))
    sure = by_hand.sigmoid()
    torch.testing.assert_close(loss, (sure[0] ** 2 + (1 - sure[1]) ** 2) / 2)


def test_consistency_learns_whether_the_last_exit_answers_the_same() -> None:
    said_B = torch.tensor([0.3, -0.4])
    never_asked = torch.tensor([9, 9])  # labels do not matter
    loss = Consistency(3, 6, 3).loss(said_B, P_EBK[0].log(), P_EBK[1].log(), never_asked)
    agrees = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(loss, F.binary_cross_entropy(said_B.sigmoid(), agrees))


def test_in_regression_certainty_is_nearness_to_the_label_and_consistency_to_the_last() -> None:
    said_B, outputs_BK, last_BK = torch.zeros(1), torch.tensor([[1.0]]), torch.tensor([[1.5]])
    near = 1 - torch.tanh(torch.tensor([2.0, 0.5]))  # to the label 3, to the last exit
    loss = Certainty(3, 6, 1).loss(said_B, outputs_BK, last_BK, torch.tensor([3.0]))
    torch.testing.assert_close(loss, (0.5 - near[0]) ** 2)
    loss = Consistency(3, 6, 1).loss(said_B, outputs_BK, last_BK, torch.tensor([3.0]))
    torch.testing.assert_close(loss, torch.tensor(2.0).log())  # of 0.5, whatever the target


@pytest.mark.parametrize("name", LEARNED_CRITERIA)
def test_a_reader_keeps_what_it_learned(name, tmp_path: Path, random_words, padded) -> None:
    reader = make(learned_criteria=[name], criterion=name, thresholds=[0.6, 0.7])
    reader.save_pretrained(tmp_path)
    loaded = EarlyExit.from_pretrained(tmp_path)
    assert (loaded.config.criterion, loaded.config.thresholds) == (name, [0.6, 0.7])
    inputs = padded(random_words(LENGTHS))
    with torch.no_grad():
        want, got = reader(*inputs), loaded(*inputs)
    torch.testing.assert_close(got.certainties, want.certainties)
    assert want.certainties.std() > 0 and ((want.certainties > 0) & (want.certainties < 1)).all()


@pytest.mark.parametrize("name", LEARNED_CRITERIA)
def test_a_reader_in_half_precision_asks_it_too(name, random_words, read_all) -> None:
    reader = make(learned_criteria=[name], criterion=name, thresholds=[0.0, 0.0])
    outcomes = read_all(reader.to(torch.bfloat16), [random_words(LENGTHS)])
    assert all(outcome.trace.exit == 0 for outcome in outcomes)


@pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2"])
def test_a_saved_reader_can_be_given_a_criterion_to_learn(
    family, tmp_path: Path, random_words, padded
) -> None:
    reader = make(family)
    reader.save_pretrained(tmp_path)
    more = EarlyExit.from_pretrained(
        tmp_path, learned_criteria=["certainty", "consistency"], regime="criteria"
    )
    for name, weight in more.learned.named_parameters():
        assert torch.isfinite(weight).all() and weight.abs().max() < 2, name
        assert weight.any() or name.endswith("bias"), name
    inputs = padded(random_words(LENGTHS))
    with torch.no_grad():
        torch.testing.assert_close(more(*inputs).exit_logits, reader(*inputs).exit_logits)


@pytest.mark.parametrize("num_labels", [1, 3])
@pytest.mark.parametrize("name", LEARNED_CRITERIA)
def test_each_learns_what_can_be_told_from_what_it_sees(name, num_labels) -> None:
    torch.manual_seed(0)
    learned = LEARNED_CRITERIA[name](3, 6, num_labels)
    logits_EBK, seen_BD = 2 * torch.randn(2, 200, num_labels), torch.randn(200, 6)
    # The second exit is to be trusted where it says what the first said; and what the exit saw
    # tells of each source whether its label is that answer too.
    now, before = answers(logits_EBK[1]), answers(logits_EBK[0])
    trust = (now == before) if num_labels > 1 else (now - before).abs() < 2
    far = torch.where(trust, now, now + 5) if num_labels == 1 else torch.where(trust, now, now - 1)
    truth = torch.where(seen_BD[:, 0] > 0, now, now + (5 if num_labels == 1 else 1))
    last_BK = far[:, None] if num_labels == 1 else F.one_hot(far % 3, 3).float()
    labels = truth if num_labels == 1 else truth % 3
    optimizer = torch.optim.Adam(learned.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        learned.loss(learned(logits_EBK, seen_BD), logits_EBK[1], last_BK, labels).backward()
        optimizer.step()
    sure = learned(logits_EBK, seen_BD).detach().sigmoid()
    good = seen_BD[:, 0] > 0 if name == "certainty" else trust
    assert 20 < good.sum() < 180
    assert ((sure > 0.5) == good).float().mean() > 0.9
