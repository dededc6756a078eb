"""Where to look next: a place in a source, as a share of its length, and learning to choose it.

B sources, S candidates, n decisions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sample_place(mean_n: Tensor, deviation: float) -> tuple[Tensor, Tensor]:
    """Draw places from normal distributions about the policy's; what falls outside is at the edge.

    The policy of Yeung et al. (CVPR 2016, section 3.2) and AdaFrame (Wu et al., CVPR 2019, section
    3.2). AdaFrame cuts the distribution off at the edges instead. That makes a wide one likeliest
    to hit a place near an edge from beyond it, so that the means run to 0 and 1: the policy would
    be best as it is drawn, and not as it is read, by its means.
    Uses torch's global generator.

    Args:
        mean_n: in [0, 1].
        deviation: of the normal distribution.

    Returns:
        Places `[n]` in [0, 1] without gradients, and the log density of the draws with the mean's.
    """
    drawn_n = (mean_n + deviation * torch.randn_like(mean_n)).detach()
    distance_n = (drawn_n - mean_n) / deviation
    scale = math.log(deviation * math.sqrt(2 * math.pi))
    return drawn_n.clamp(0, 1), -distance_n.square() / 2 - scale


def nearest_free(wish_B: Tensor, places_BS: Tensor, free_BS: Tensor) -> Tensor:
    """The candidate nearest to a place among those that are free, the first of several: `[B]`.

    Args:
        wish_B: places.
        places_BS: of the candidates.
        free_BS: bool, whether it may be taken; one of each row must be.
    """
    distance_BS = (places_BS - wish_B[:, None]).abs().masked_fill(~free_BS, torch.inf)
    return distance_BS.argmin(1)
