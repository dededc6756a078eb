"""What an HEVC stream cuts off the left of its pictures (its sequence parameter set).

Everything else that is asked of HEVC headers, FFmpeg tells; this it does in part (see
`settings.columns_kept`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from .bits import Bits
from .settings import columns_kept
from .units import start_codes

_SETTINGS = 33  # unit type
_PROFILE_BITS, _LEVEL_BITS = 88, 8
_PLANES = 3  # chroma formats: 0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4


@functools.lru_cache(maxsize=64)  # a file is asked for them when it is indexed
def hevc_columns_kept(codec: str, extradata: bytes | None) -> int:
    """Columns left of those to be shown that FFmpeg's decoder leaves in.

    Args:
        codec: The codec's name.
        extradata: What the container says before the first packet.

    Returns:
        0 for other codecs, and where the parameter sets do not agree or cannot be read.
    """
    if codec != "hevc":
        return 0
    found = set()
    for unit in _parameter_sets(extradata or b""):
        try:
            found.add(_read(Bits(unit[2:])))
        except EOFError:
            return 0
    return found.pop() if len(found) == 1 else 0


def _parameter_sets(extradata: bytes) -> Iterator[bytes]:
    for unit in _units(extradata):
        is_of_base_layer = len(unit) > 2 and not unit[0] & 1 and unit[1] >> 3 == 0
        if is_of_base_layer and unit[0] >> 1 & 63 == _SETTINGS:
            yield unit


def _units(extradata: bytes) -> Iterator[bytes]:
    if extradata[:1] != b"\1":
        places = list(start_codes(extradata))
        ends = [place - 3 for place in places[1:]] + [len(extradata)]
        yield from (extradata[place:end] for place, end in zip(places, ends, strict=True))
        return
    place = 23  # as a container stores them: arrays, each of units of one type
    for _ in range(extradata[22] if len(extradata) > 22 else 0):
        count = int.from_bytes(extradata[place + 1 : place + 3], "big")
        place += 3
        for _ in range(count):
            size = int.from_bytes(extradata[place : place + 2], "big")
            yield extradata[place + 2 : place + 2 + size]
            place += 2 + size


def _read(bits: Bits) -> int:
    """Source: ITU-T H.265, 7.3.2.2.1 and 7.3.3."""
    bits.read(4)  # video parameter set
    sub_layers = bits.read(3)
    bits.read(1 + _PROFILE_BITS + _LEVEL_BITS)
    told = [(bits.read(1), bits.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.read(2 * (8 - sub_layers))
    for has_profile, has_level in told:
        bits.read(_PROFILE_BITS * has_profile + _LEVEL_BITS * has_level)
    bits.read_unsigned()  # its own number
    chroma = bits.read_unsigned()
    if chroma == _PLANES:
        bits.read(1)
    bits.read_unsigned()
    bits.read_unsigned()
    if not bits.read(1):
        return 0
    left = bits.read_unsigned() * (2 if chroma in (1, 2) else 1)
    for _ in range(3):
        bits.read_unsigned()
    depth = 8 + max(bits.read_unsigned(), bits.read_unsigned())
    return columns_kept(left, chroma, depth)
