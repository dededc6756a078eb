"""Where a video moves, told from the sizes of its packets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .index import VideoIndex


def packet_motion(index: VideoIndex) -> NDArray[np.float32]:
    """How much each frame seems to change; see `temporal.data.evidence.packet_motion`.

    Returns:
        float32 [N], each frame's packet size over the mean size of its kind.
    """
    count = len(index)
    own = index.frame_packets
    if not index.is_ordered:  # which packet makes which frame is a guess: the stored order
        own = np.flatnonzero(index.packets.is_shown)[-count:]
    is_key = index.packets.is_key[own]
    decoded = np.argsort(own, kind="stable")  # frame indices in decoding order
    is_between = np.zeros(count, dtype=bool)  # shown before a frame that was decoded before
    is_between[decoded] = decoded < np.maximum.accumulate(decoded)
    values = np.ones(count, dtype=np.float32)
    for kind in (~is_key & ~is_between, ~is_key & is_between):
        if kind.any():
            values[kind] = index.packet_bytes[kind] / index.packet_bytes[kind].mean()
    others = np.flatnonzero(~is_key)
    if len(others):
        keys = np.flatnonzero(is_key)
        after = np.searchsorted(others, keys)
        before = others[np.maximum(after - 1, 0)]
        values[keys] = (values[before] + values[others[np.minimum(after, len(others) - 1)]]) / 2
    return values
