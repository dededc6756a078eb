"""H.264 reference pictures that are missing, told from the frame numbers in the packets.

Each reference picture counts `frame_num` up by one, and what follows it carries the next number. A
number that was left out is a picture that was lost. A decoder makes one up from what it decoded
last, and does not say so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bits import Bits

UNKNOWN = -1
_SETTINGS, _WHOLE_KEYFRAME = 7, 5  # unit types: sequence parameters, an IDR slice
_HEADER_BYTES = 16  # of a slice, in which its frame number stands
_WITH_CHROMA = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))


class FrameNumbers:
    """Collects the frame numbers of a stream's pictures, in decoding order.

    Args:
        extradata: What the container says before the first packet.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._bits = number_bits(extradata)
        self._numbers: list[int] = []
        self._are_whole: list[bool] = []

    def add(self, slice_unit: bytes) -> None:
        """Take the next picture's first slice from its header byte on; empty where there is none.

        Source: ITU-T H.264, 7.3.3 (`slice_header`).
        """
        number = UNKNOWN
        if slice_unit and self._bits:
            bits = Bits(bytes(slice_unit[1:_HEADER_BYTES]))
            try:
                for _ in range(3):  # its place, its type, its picture parameters
                    bits.read_unsigned()
                number = bits.read(self._bits)
            except EOFError:
                pass
        self._numbers.append(number)
        self._are_whole.append(bool(slice_unit) and slice_unit[0] & 31 == _WHOLE_KEYFRAME)

    def find_gaps(self, is_referred: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say of each picture whether one before it is missing, or whether that cannot be told.

        Args:
            is_referred: [P] whether the picture is a reference picture.

        Returns:
            [P]
        """
        if not self._bits:
            return np.ones(len(is_referred), dtype=np.bool_)
        numbers = np.array(self._numbers, dtype=np.int64)
        place = np.where(is_referred, np.arange(len(numbers)), 0)
        before = np.concatenate([[0], np.maximum.accumulate(place)[:-1]]) if len(place) else place
        wanted = (numbers[before] + 1) % (1 << self._bits)
        is_start = np.array(self._are_whole, dtype=np.bool_)
        is_start[:1] = True
        return (numbers == UNKNOWN) | ((numbers != wanted) & ~is_start)


def number_bits(extradata: bytes | None) -> int:
    """Read how many bits a frame number has; 0 where that is not known or not the same for all."""
    found = {_number_bits(unit) for unit in _parameter_sets(extradata or b"")}
    return found.pop() if len(found) == 1 else 0


def _parameter_sets(extradata: bytes) -> list[bytes]:
    if extradata[:1] != b"\1":
        units = extradata.split(b"\0\0\1")[1:]
        return [unit for unit in units if unit and unit[0] & 31 == _SETTINGS]
    sets, place = [], 6
    for _ in range(extradata[5] & 31 if len(extradata) > 5 else 0):
        size = int.from_bytes(extradata[place : place + 2], "big")
        sets.append(extradata[place + 2 : place + 2 + size])
        place += 2 + size
    return sets


def _number_bits(unit: bytes) -> int:
    """Of one set of sequence parameters (ITU-T H.264, 7.3.2.1.1)."""
    bits = Bits(unit[1:])
    try:
        profile = bits.read(8)
        bits.read(16)  # constraints, level
        bits.read_unsigned()  # its own number
        if profile in _WITH_CHROMA:
            chroma = bits.read_unsigned()
            if chroma == 3 and bits.read(1):
                return 0  # three separate planes: slice headers have another form
            bits.read_unsigned()  # bits of luma
            bits.read_unsigned()  # and of chroma
            bits.read(1)
            if bits.read(1):
                for number in range(8 if chroma != 3 else 12):
                    if bits.read(1):
                        _skip_scaling_list(bits, 16 if number < 6 else 64)
        return bits.read_unsigned() + 4
    except EOFError:
        return 0


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.read_signed() + 256) % 256
        last = following or last
