"""Temperature scaling: how sure the exits are, brought in line with how often they are right.

N sources, E exits, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

_COLDEST, _HOTTEST = 0.05, 20.0


def fit_temperatures(logits_NEK: Tensor, labels_N: Tensor) -> list[float]:
    """The temperature of each exit that makes its probabilities fit the labels best.

    Minimises the negative log-likelihood of softmax(logits / T) (Guo et al., "On Calibration of
    Modern Neural Networks", ICML 2017, section 4.2). It is convex in 1 / T, so the root of its
    derivative is found by bisection, within [0.05, 20]: exits that are always right would
    otherwise ask for T = 0.

    Args:
        logits_NEK: on held-out sources, at least one.
        labels_N: int64.

    Returns:
        One temperature for each exit.
    """
    logits_NEK = logits_NEK.double()
    of_label_E = logits_NEK[torch.arange(len(labels_N)), :, labels_N].mean(0)
    low_E = torch.full_like(of_label_E, 1 / _HOTTEST)
    high_E = torch.full_like(of_label_E, 1 / _COLDEST)
    for _ in range(60):
        middle_E = (low_E + high_E) / 2
        p_NEK = (logits_NEK * middle_E[:, None]).softmax(-1)
        # d NLL / d (1 / T): the logit that is expected minus that of the label.
        too_sure_E = (p_NEK * logits_NEK).sum(-1).mean(0) > of_label_E
        low_E = torch.where(too_sure_E, low_E, middle_E)
        high_E = torch.where(too_sure_E, middle_E, high_E)
    return (2 / (low_E + high_E)).tolist()
