"""H.264 reference pictures that are missing, told from the frame numbers in the packets.

Each reference picture counts `frame_num` up by one, and what follows it carries the next number. A
number that was left out is a picture that was lost. A decoder makes one up from what it decoded
last, and does not say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .settings import read_settings

UNKNOWN = -1
_WHOLE_KEYFRAME = 5  # type of a slice of an IDR picture
HEAD_BYTES = 16
"""Of a slice, from its header byte on, in which its frame number stands."""
_WORD = 64  # bits that are looked at together


class FrameNumbers:
    """Collects the heads of a stream's pictures, in decoding order.

    Args:
        extradata: What the container says before the first packet.
    """

    def __init__(self, extradata: bytes | None) -> None:
        settings = read_settings(extradata)
        self._bits = settings.frame_number_bits if settings is not None else 0
        self._heads: list[bytes] = []

    def add(self, slice_unit: bytes) -> None:
        """Take the next picture's first slice, `HEAD_BYTES` of it; empty where there is none."""
        self._heads.append(slice_unit)

    def find_gaps(self, is_referred: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say for each picture whether one before it is missing, or whether that cannot be told.

        Args:
            is_referred: [P] whether the picture is a reference picture.

        Returns:
            [P]
        """
        if not self._bits:
            return np.ones(len(is_referred), dtype=np.bool_)
        numbers = _frame_numbers(self._heads, self._bits)
        place = np.where(is_referred, np.arange(len(numbers)), 0)
        before = np.concatenate([[0], np.maximum.accumulate(place)[:-1]]) if len(place) else place
        wanted = (numbers[before] + 1) % (1 << self._bits)
        starts = [head[:1] != b"" and head[0] & 31 == _WHOLE_KEYFRAME for head in self._heads]
        is_start = np.array(starts, dtype=np.bool_)
        is_start[:1] = True
        return (numbers == UNKNOWN) | ((numbers != wanted) & ~is_start)


def _frame_numbers(heads: Sequence[bytes], bits: int) -> NDArray[np.int64]:
    """The frame number of each slice; `UNKNOWN` where there is none.

    Those that are laid out as nearly all are, without an escape and in 64 bits, are read together.

    Source: ITU-T H.264, 7.3.3 (`slice_header`).
    """
    numbers = np.full(len(heads), UNKNOWN, dtype=np.int64)
    is_whole = np.array([len(head) == HEAD_BYTES for head in heads], dtype=np.bool_)
    rows = np.flatnonzero(is_whole)
    whole = b"".join(head for head in heads if len(head) == HEAD_BYTES)
    bytes_R16 = np.frombuffer(whole, dtype=np.uint8).reshape(len(rows), HEAD_BYTES)
    after = bytes_R16[:, 1:]
    escapes = (after[:, :-2] == 0) & (after[:, 1:-1] == 0) & (after[:, 2:] == 3)
    word = np.ascontiguousarray(after[:, : _WORD // 8]).view(">u8")[:, 0].astype(np.uint64)
    used, is_odd = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.bool_)
    for _ in range(3):  # Exp-Golomb numbers: its place, its type, its picture parameters
        top = (word << np.minimum(used, _WORD - 1).astype(np.uint64)) >> np.uint64(_WORD - 32)
        length = np.frexp(top.astype(np.float64))[1]  # bits of the number: exact below 2 ** 53
        is_odd |= length == 0
        used += 2 * (32 - length) + 1
    is_odd |= used + bits > _WORD
    # An escape behind the number does not matter.
    first = np.where(escapes.any(axis=1), escapes.argmax(axis=1) + 2, HEAD_BYTES)
    is_odd |= 8 * first < used + bits
    used = np.minimum(used, _WORD - 1)
    numbers[rows] = (word << used.astype(np.uint64)) >> np.uint64(_WORD - bits)
    for row in (*np.flatnonzero(~is_whole), *rows[is_odd]):
        numbers[row] = _frame_number(heads[row], bits) if heads[row] else UNKNOWN
    return numbers


def _frame_number(slice_unit: bytes, bits: int) -> int:
    """The number of one slice, however its head is laid out."""
    data = slice_unit[1:HEAD_BYTES].replace(b"\0\0\3", b"\0\0")
    value, left = int.from_bytes(data, "big"), 8 * len(data)
    for _ in range(3):
        left -= 2 * (left - value.bit_length()) + 1
        if left < bits:
            return UNKNOWN
        value &= (1 << left) - 1
    return value >> left - bits
