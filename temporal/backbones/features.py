"""`GivenFeatures`: the backbone of a reader whose source gives features in place of pixels.

Somebody else's network has seen the frames before, and what it said of them was kept: each frame is
a row of D numbers, read as a picture of height 1 and width D. A glance at one is a picture of
height 1, too: its first numbers (of principal components, those that tell most).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..checks import check_count

FEATURES = "features"
"""The `model_type` of such a backbone's description."""


class GivenFeatures(nn.Module):
    """No network: a frame's features are what the source gives.

        reader = FastForward.from_backbone(GivenFeatures(256), num_labels=15)
        reader(temporal.data.FrameFeatures(rows_TD))

    Args:
        num_features: D, the width of a frame's row.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        check_count("num_features", num_features, 1)
        self.num_features = num_features

    def forward(self, rows_BD: Tensor) -> Tensor:
        """The rows as they are.

        Raises:
            ValueError: they are not of D numbers each.
        """
        if rows_BD.shape[1:] != (self.num_features,):
            raise ValueError(
                f"frames (of shape {tuple(rows_BD.shape[1:])}) must be rows of {self.num_features} "
                "features: this reader has no network for pixels (temporal.data.FrameFeatures)"
            )
        return rows_BD


def are_given(description: Mapping[str, Any]) -> bool:
    """Whether a backbone that is described so takes features for frames."""
    return bool(description["model_type"] == FEATURES)


def need_pixels(description: Mapping[str, Any], name: str) -> None:
    """Raise ValueError where a reader that sees pixels in its own way would get features."""
    if are_given(description):
        raise ValueError(
            f"backbone ({dict(description)}) must take pixels: {name} chooses sizes or parts of "
            "frames, and features have none"
        )
