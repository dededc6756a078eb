"""How a reader with exits over depth learns: which exits teach which weights, and from what.

A regime is a row of `REGIMES`. Its loss is a weighted sum over the exits, so that a new regime is
mostly a new list of weights.

E exits, B sources, K classes (1 in regression).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


def _by_depth(num_exits: int, step: int) -> list[float]:
    """PABEE, equation 5: the deeper an exit, the more it counts."""
    total = num_exits * (num_exits + 1) / 2
    return [(k + 1) / total for k in range(num_exits)]


def _last(num_exits: int, step: int) -> list[float]:
    return [0.0] * (num_exits - 1) + [1.0]


def _all(num_exits: int, step: int) -> list[float]:
    return [1.0] * num_exits


def _all_but_last(num_exits: int, step: int) -> list[float]:
    return [1.0] * (num_exits - 1) + [0.0]


def _alternating(num_exits: int, step: int) -> list[float]:
    """BERxiT counts iterations from 1: the odd ones are the steps 0, 2, 4..."""
    return _last(num_exits, step) if step % 2 == 0 else _all(num_exits, step)


@dataclass(frozen=True, kw_only=True, slots=True)
class Regime:
    """One way to train a reader with exits."""

    trains: frozenset[str]
    """What is not frozen, of `"classifier"` (the encoder with the last exit), `"exits"` (the
    others) and the learned criteria by name."""
    weights: Callable[[int, int], list[float]]
    """`(num_exits, step) -> weight of each exit's loss`, with optimizer steps counted from 0. An
    exit of weight 0 gets no gradients at all, so that the optimizer leaves it as it is."""
    distils: bool = False
    """The exits learn from the last one's answer instead of from labels."""
    separates: bool = False
    """An exit's loss reaches no further back than the exit before it."""


_ALL = frozenset({"classifier", "exits", "certainty"})
_EXITS = frozenset({"exits", "certainty"})

REGIMES: dict[str, Regime] = {
    # All exits and the encoder at once (PABEE: Zhou et al., NeurIPS 2020, section 3.3).
    "joint": Regime(trains=_ALL, weights=_by_depth),
    # Ordinary fine-tuning: the first stage of the two below, if there is no classifier yet.
    "last_exit": Regime(trains=frozenset({"classifier"}), weights=_last),
    # The second stage of DeeBERT (Xin et al., ACL 2020, section 3.2): exits on a frozen encoder.
    "two_stage": Regime(trains=_EXITS, weights=_all_but_last),
    # The same with the last exit for a teacher (FastBERT: Liu et al., ACL 2020, section 3.3).
    "distillation": Regime(trains=_EXITS, weights=_all_but_last, distils=True),
    # BERxiT (Xin et al., EACL 2021, section 3.2).
    "alternating": Regime(trains=_ALL, weights=_alternating),
    # SWEET (Rotem et al., ACL 2023, section 4): the exits' gradients cannot conflict. It supposes
    # that layers share no weights; where they do (ALBERT), those learn from every exit.
    "gradient_separated": Regime(trains=_ALL, weights=_all, separates=True),
    # The learned criteria alone, on a reader that stays as it is (CATs: Schuster et al., EMNLP
    # 2021, section 4).
    "criteria": Regime(trains=frozenset({"certainty", "consistency"}), weights=_all_but_last),
}


def answers(logits_BK: Tensor) -> Tensor:
    """What an exit says: class numbers, int64 `[B]`; in regression its outputs `[B]`."""
    return logits_BK[:, 0] if logits_BK.shape[-1] == 1 else logits_BK.argmax(-1)


def closeness(logits_BK: Tensor, truth_B: Tensor) -> Tensor:
    """How near an exit's answer is to the truth: float `[B]` in [0, 1].

    1 where it is the same class and 0 elsewhere; in regression 1 - tanh |difference| (BERxiT,
    section 3.3).
    """
    if logits_BK.shape[-1] == 1:
        return 1 - (logits_BK[:, 0] - truth_B).abs().tanh()
    return (logits_BK.argmax(-1) == truth_B).to(logits_BK.dtype)


def task_loss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """The mean cross-entropy of one exit, or its mean squared error in regression; a scalar."""
    if logits_BK.shape[-1] == 1:
        return F.mse_loss(logits_BK[:, 0], labels_B.to(logits_BK.dtype))
    return F.cross_entropy(logits_BK, labels_B)


def distillation_loss(logits_BK: Tensor, teacher_BK: Tensor) -> Tensor:
    """KL(teacher || exit) of their distributions; a scalar.

    FastBERT (section 3.3) distils by this divergence. It is taken from the teacher's side: an exit
    is then as unsure as what it sees lets it be. The other side, KL(exit || teacher), lets it
    settle on one class, and its confidence says little (on SST-2 the first exit's temperature was
    3.5, and 1.3 this way).

    In regression, where there are no distributions, the mean squared difference.
    """
    teacher_BK = teacher_BK.detach()
    if logits_BK.shape[-1] == 1:
        return F.mse_loss(logits_BK, teacher_BK)
    return F.kl_div(
        logits_BK.log_softmax(-1),
        teacher_BK.log_softmax(-1),
        log_target=True,
        reduction="batchmean",
    )


def exit_loss(regime: Regime, logits_BK: Tensor, last_BK: Tensor, labels_B: Tensor) -> Tensor:
    """What one exit is to learn in a regime; a scalar."""
    if regime.distils:
        return distillation_loss(logits_BK, last_BK)
    return task_loss(logits_BK, labels_B)
