"""How an H.264 or HEVC stream says that its pictures are to be turned: a message before a picture.

Decoders attach it to that one picture. It holds for those after it, too, so it is read here from
the first packet, as the decoder reads it, without decoding anything.
"""

from __future__ import annotations

from collections.abc import Callable

from ..pictures.orientation import UPRIGHT, Orientation, from_message
from .bits import Bits
from .units import h264_length_bytes, hevc_length_bytes, unit_places

_DISPLAY = 47  # kind of message
_HEAD_BYTES = 4096  # what describes a picture comes before it
_H264_MESSAGES, _HEVC_MESSAGES = 6, 39


def orientation_reader(
    codec: str, extradata: bytes | None
) -> Callable[[memoryview], Orientation] | None:
    """Return a function that reads a packet's orientation; None for codecs without such messages.

    Args:
        codec: The codec's name.
        extradata: What the container says before the first packet.
    """
    if codec == "h264":
        length = h264_length_bytes(extradata)
        return lambda packet: _find(packet, length, 1, lambda first: first & 31 == _H264_MESSAGES)
    if codec == "hevc":
        length = hevc_length_bytes(extradata)
        return lambda packet: _find(
            packet, length, 2, lambda first: first >> 1 & 63 == _HEVC_MESSAGES
        )
    return None


def _find(
    packet: memoryview, length_bytes: int, header: int, is_message: Callable[[int], bool]
) -> Orientation:
    head = packet[:_HEAD_BYTES]
    places = [place for place in unit_places(head, length_bytes) if place < len(head)]
    for place, following in zip(places, [*places[1:], len(head)], strict=True):
        if is_message(head[place]):
            found = _read(bytes(head[place + header : following]))
            if found is not None:
                return found
    return UPRIGHT


def _read(messages: bytes) -> Orientation | None:
    """Find the display orientation among a unit's messages; None when there is none."""
    data, place = messages.replace(b"\0\0\3", b"\0\0"), 0
    while place + 2 < len(data):
        numbers = []
        for _ in range(2):  # kind, then size: bytes of 255 and a last one are added up
            number = 0
            while place < len(data) and data[place] == 255:
                number, place = number + 255, place + 1
            number += data[place] if place < len(data) else 0
            numbers.append(number)
            place += 1
        kind, size = numbers
        if kind == _DISPLAY:
            return _message(Bits(data[place : place + size], is_plain=True))
        place += size
    return None


def _message(bits: Bits) -> Orientation | None:
    try:
        if bits.read(1):  # cancels what was said before
            return None
        flips_across, flips_down = bool(bits.read(1)), bool(bits.read(1))
        return from_message(bits.read(16), flips_across=flips_across, flips_down=flips_down)
    except EOFError:
        return None
