"""What an image classifier says of single frames, as votes whose mean is an answer for all.

A vote is the probabilities, of each label by itself where there may be several; of a regression it
is the outputs as they are. A vote that is the only one is the classifier's own answer: where frames
are seen as transformers sees them, a vote therefore keeps what softmax and sigmoid took off.

B frames or videos, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import chooses_one_class, num_classes


def votes(config: Any, logits_BK: Tensor) -> Tensor:
    """A classifier's votes `[B, V]`."""
    if _has_several(config):
        probabilities_BK = logits_BK.sigmoid()
        keeps = config.processor is not None
        return torch.cat([probabilities_BK, logits_BK], -1) if keeps else probabilities_BK
    if not chooses_one_class(config):
        return logits_BK
    probabilities_BK = logits_BK.softmax(-1)
    if config.processor is None:
        return probabilities_BK
    return torch.cat([probabilities_BK, logits_BK.logsumexp(-1, keepdim=True)], -1)


def answer_of(config: Any, mean_BV: Tensor, *, is_only: bool) -> Tensor:
    """Logits `[B, K]` from a mean of votes, or from the only vote."""
    classes = num_classes(config)
    if _has_several(config):
        if is_only and config.processor is not None:
            return mean_BV[:, classes:]
        mean_BK = mean_BV[:, :classes].double()  # in which 1 - 1e-12 is not 1
        return mean_BK.logit(eps=1e-12).to(mean_BV.dtype)
    if not chooses_one_class(config):
        return mean_BV
    logits_BK = mean_BV[:, :classes].clamp(min=1e-12).log()  # of a mean of probabilities
    return logits_BK + mean_BV[:, classes:] if is_only and config.processor else logits_BK


def _has_several(config: Any) -> bool:
    return config.problem_type == "multi_label_classification"
