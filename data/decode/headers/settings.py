"""What an H.264 stream says of itself before its first picture (its sequence parameter set).

With it, a file need not be probed: finding out size and format by decoding a first picture costs
as much as reading one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from .bits import Bits

_SETTINGS = 7  # unit type
_WITH_CHROMA = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_OTHER_ASPECT = 255
_PLANES = 3  # chroma formats: 0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """A sequence parameter set (ITU-T H.264, 7.3.2.1.1 and E.1.1)."""

    width: int
    """Pixels across that are shown."""

    height: int
    """Pixels down that are shown."""

    chroma_format: int
    """0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4."""

    bits_per_sample: int
    """Of luma and chroma, the larger one."""

    is_progressive: bool
    """Whether all pictures are whole frames."""

    is_full_range: bool
    """Whether samples go from 0 to 255."""

    frame_number_bits: int
    """Bits of `frame_num` in slice headers; 0 where these have another form."""

    max_reordered: int | None
    """Pictures that a decoder must hold back at most; None where it is not said."""

    crop_left: int = 0
    """Pixels left of those that are shown."""

    @property
    def columns_kept(self) -> int:
        """Columns left of those to be shown that FFmpeg's decoder leaves in."""
        return columns_kept(self.crop_left, self.chroma_format, self.bits_per_sample)

    @property
    def pixel_format(self) -> str | None:
        """The name of the decoder's format; None for what is not 8 bit 4:2:0."""
        if self.chroma_format != 1 or self.bits_per_sample != 8:
            return None
        return "yuvj420p" if self.is_full_range else "yuv420p"


def columns_kept(crop_left: int, chroma_format: int, bits_per_sample: int) -> int:
    """How many of the columns to be cropped on the left FFmpeg's decoders leave in.

    They do so lest memory be unaligned: their images are wider than the header says.
    """
    half = 1 if chroma_format in (1, 2) else 0  # chroma has half the columns
    step = 1 << (5 + half - (bits_per_sample > 8))
    return crop_left % step


@functools.lru_cache(maxsize=64)  # a file is asked for them when it is opened, and indexed
def read_settings(extradata: bytes | None) -> Settings | None:
    """Read what the container holds; None where there is not exactly one set that can be read.

    Args:
        extradata: What the container says before the first packet.
    """
    units = _parameter_sets(extradata or b"")
    if not units or any(unit != units[0] for unit in units):
        return None
    try:
        return _read(Bits(units[0][1:]))
    except EOFError:
        return None


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


def _read(bits: Bits) -> Settings:
    profile = bits.read(8)
    bits.read(16)  # constraints, level
    bits.read_unsigned()  # its own number
    chroma, depth, has_planes = 1, 8, False
    if profile in _WITH_CHROMA:
        chroma = bits.read_unsigned()
        has_planes = chroma == _PLANES and bool(bits.read(1))
        depth += max(bits.read_unsigned(), bits.read_unsigned())
        bits.read(1)
        if bits.read(1):
            for number in range(8 if chroma != _PLANES else 12):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_number_bits = bits.read_unsigned() + 4
    _skip_order(bits)
    bits.read_unsigned()  # reference frames
    bits.read(1)
    columns, rows = bits.read_unsigned() + 1, bits.read_unsigned() + 1
    is_progressive = bool(bits.read(1))
    if not is_progressive:
        rows *= 2
        bits.read(1)
    bits.read(1)
    left = right = top = bottom = 0
    if bits.read(1):
        left, right, top, bottom = (bits.read_unsigned() for _ in range(4))
    across = 2 if chroma in (1, 2) else 1
    down = (2 if chroma == 1 else 1) * (1 if is_progressive else 2)
    is_full_range, max_reordered = _usability(bits) if bits.read(1) else (False, None)
    return Settings(
        width=16 * columns - across * (left + right),
        height=16 * rows - down * (top + bottom),
        chroma_format=chroma,
        bits_per_sample=depth,
        is_progressive=is_progressive,
        is_full_range=is_full_range,
        frame_number_bits=0 if has_planes else frame_number_bits,
        max_reordered=max_reordered,
        crop_left=across * left,
    )


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.read_signed() + 256) % 256
        last = following or last


def _skip_order(bits: Bits) -> None:
    """Pass over how the order of pictures is coded."""
    kind = bits.read_unsigned()
    if kind == 0:
        bits.read_unsigned()
    elif kind == 1:
        bits.read(1)
        bits.read_signed()
        bits.read_signed()
        for _ in range(min(bits.read_unsigned(), 255)):
            bits.read_signed()


def _usability(bits: Bits) -> tuple[bool, int | None]:
    """Return whether samples have their full range, and how many pictures are reordered."""
    if bits.read(1) and bits.read(8) == _OTHER_ASPECT:
        bits.read(32)
    if bits.read(1):
        bits.read(1)
    is_full_range = False
    if bits.read(1):
        bits.read(3)
        is_full_range = bool(bits.read(1))
        if bits.read(1):
            bits.read(24)
    if bits.read(1):
        bits.read_unsigned()
        bits.read_unsigned()
    if bits.read(1):
        bits.read(65)  # clock
    rates = [bits.read(1) and _skip_rates(bits) for _ in range(2)]
    if any(rates):
        bits.read(1)
    bits.read(1)
    if not bits.read(1):
        return is_full_range, None
    bits.read(1)
    for _ in range(4):
        bits.read_unsigned()
    return is_full_range, bits.read_unsigned()


def _skip_rates(bits: Bits) -> bool:
    count = min(bits.read_unsigned() + 1, 32)
    bits.read(8)
    for _ in range(count):
        bits.read_unsigned()
        bits.read_unsigned()
        bits.read(1)
    bits.read(20)
    return True
