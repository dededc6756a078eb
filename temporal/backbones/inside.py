"""Networks of transformers inside readers, made anew for the reader's weights."""

from __future__ import annotations

from typing import Any

import torch


def made_inside(auto: Any, config: Any) -> Any:
    """A network of a configuration, with random weights, in the type of the reader around it.

    transformers makes a model in the type that its configuration names, which is what its own
    checkpoint was saved in; the reader's weights would be cast to that.

    Args:
        auto: A class of transformers, such as `AutoModel`.
        config: Of the network.
    """
    return auto.from_config(config, dtype=torch.get_default_dtype())
