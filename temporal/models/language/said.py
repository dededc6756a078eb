"""What a look said, and how certain it is of it.

Of options: a choice by the probabilities of their tokens. Of an answer that the model writes: by
the probabilities of the tokens that it wrote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one look said."""

    text: str
    """The answer: an option, or what the model wrote."""

    confidence: float
    """Of options: the probability of the best among them. Else `exp` of the mean log-probability of
    the answer's tokens. In [0, 1]."""

    margin: float
    """Of options: the lead of the best over the second. Else the mean lead of an answer's tokens
    over the likeliest other ones. In [-1, 1]."""

    scores: tuple[float, ...] = ()
    """Log-probability of each option, of all its tokens; empty where the model wrote."""

    tokens: tuple[int, ...] = ()
    """Of the answer that the model wrote, with what ends it."""


def of_options(options: Sequence[str], scores_K: Tensor) -> Said:
    """What is said by the options' log-probabilities, float64 `[K]`."""
    shares_K = scores_K.double().softmax(-1)
    top, places = shares_K.topk(2)
    return Said(
        text=options[int(places[0])],
        confidence=float(top[0]),
        margin=float(top[0] - top[1]),
        scores=tuple(scores_K.tolist()),
    )


def of_words(
    text: str, tokens: Sequence[int], logs: Sequence[float], leads: Sequence[float]
) -> Said:
    """What is said by an answer's tokens.

    Args:
        text: the answer.
        tokens: of it.
        logs: log-probability of each token.
        leads: lead of each token over the likeliest other one, in probability.
    """
    count = max(len(logs), 1)
    return Said(
        text=text,
        confidence=math.exp(math.fsum(logs) / count) if logs else 1.0,
        margin=math.fsum(leads) / count if leads else 1.0,
        tokens=tuple(tokens),
    )


def certainty_of(said: Sequence[Said], criterion: str) -> float:
    """How certain the newest of the looks is.

    Args:
        said: of the looks so far, at least one.
        criterion: `"confidence"`, `"margin"`, or `"patience"`: how many looks in a row, the newest
            included, have said the same (1 at the first).
    """
    newest = said[-1]
    if criterion == "patience":
        same = 0
        for one in reversed(said):
            if one.text.strip() != newest.text.strip():
                break
            same += 1
        return float(same)
    return newest.margin if criterion == "margin" else newest.confidence


def words_of(rows_L3: Tensor) -> tuple[list[int], list[float], list[float]]:
    """Tokens, log-probabilities and leads of what `answering` gives for a written answer."""
    tokens = [int(token) for token in rows_L3[:, 0].tolist()]
    return tokens, rows_L3[:, 1].tolist(), rows_L3[:, 2].tolist()


def logs_and_leads(logits_BV: Tensor, tokens_B: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each token, and its lead over the likeliest other one, float64 `[B]`."""
    logs_BV = logits_BV.double().log_softmax(-1)
    own_B = logs_BV.gather(-1, tokens_B[:, None])[:, 0]
    others_BV = logs_BV.scatter(-1, tokens_B[:, None], -torch.inf)
    return own_B, own_B.exp() - others_BV.amax(-1).exp()
