"""Where a video moves, told from the sizes of its packets."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .index import VideoIndex
from .part import PartIndex

_PREDICTED, _BETWEEN, _KEY = 0, 1, 2
_LONGEST_HISTORY = 16_384  # frames: some ten minutes


def packet_motion(index: VideoIndex) -> NDArray[np.float32]:
    """How much each frame seems to change; see `temporal.data.evidence.packet_motion`.

    Returns:
        float32 [N], each frame's packet size over the mean size of its kind.
    """
    kinds = _kinds(index)
    means = np.ones(2)
    for kind in (_PREDICTED, _BETWEEN):
        if (kinds == kind).any():
            means[kind] = index.packet_bytes[kinds == kind].mean()
    return _over_means(index, kinds, means)


class MotionHistory:
    """What is usual in a stream: its windows are compared with all that came before them."""

    def __init__(self) -> None:
        self._bytes, self._frames = np.zeros(2), np.zeros(2)
        self._values: deque[float] = deque(maxlen=_LONGEST_HISTORY)

    def add(self, index: VideoIndex, num_new: int) -> tuple[NDArray[np.float32], ...]:
        """Take the next window.

        Args:
            index: Of it.
            num_new: Frames at its end that no window before it had.

        Returns:
            float32 [N], each frame's packet size over the mean size of its kind in the stream so
            far; and float32 [M], those of the frames before the window, the latest ten minutes.
        """
        kinds, before = _kinds(index), np.array(self._values, dtype=np.float32)
        new = np.arange(len(index)) >= len(index) - num_new
        for kind in (_PREDICTED, _BETWEEN):
            is_new = new & (kinds == kind)
            self._bytes[kind] += index.packet_bytes[is_new].sum()
            self._frames[kind] += is_new.sum()
        means = np.where(self._frames > 0, self._bytes / np.maximum(self._frames, 1), 1.0)
        values = _over_means(index, kinds, means)
        self._values.extend(values[new].tolist())
        return values, before


def _kinds(index: VideoIndex) -> NDArray[np.int64]:
    """[N] what each frame is predicted from: frames before it, frames on both sides, or none."""
    count = len(index)
    if isinstance(index, PartIndex):  # also from frames that are not in the part
        return _kinds(index.whole)[index.first_frame : index.first_frame + count]
    own = _own_packets(index)
    decoded = np.argsort(own, kind="stable")  # frame indices in decoding order
    is_between = np.zeros(count, dtype=bool)  # shown before a frame that was decoded before
    is_between[decoded] = decoded < np.maximum.accumulate(decoded)
    return np.where(index.packets.is_key[own], _KEY, np.where(is_between, _BETWEEN, _PREDICTED))


def _own_packets(index: VideoIndex) -> NDArray[np.int64]:
    if index.is_ordered:
        return index.frame_packets
    # Which packet makes which frame is a guess: the stored order.
    return np.flatnonzero(index.packets.is_shown)[-len(index) :]


def _over_means(
    index: VideoIndex, kinds: NDArray[np.int64], means: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sizes over the mean of their kind; a keyframe's is the mean of its neighbours."""
    values = np.ones(len(index), dtype=np.float32)
    for kind in (_PREDICTED, _BETWEEN):
        values[kinds == kind] = index.packet_bytes[kinds == kind] / means[kind]
    others = np.flatnonzero(kinds != _KEY)
    if len(others):
        keys = np.flatnonzero(kinds == _KEY)
        after = np.searchsorted(others, keys)
        before = others[np.maximum(after - 1, 0)]
        values[keys] = (values[before] + values[others[np.minimum(after, len(others) - 1)]]) / 2
    return values
