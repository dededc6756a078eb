"""Coded frames that no other frame refers to: they need not be decoded on the way to others.

The headers of H.264, HEVC and MPEG-1, 2 and 4 say so. They are read while indexing; nothing is
decoded. Whatever is not understood counts as referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .recovery import unit_length_bytes

IsDisposable = Callable[[memoryview], bool]

_H264_SLICES = frozenset((1, 2, 3, 4, 5))
_DAMAGED = 31  # no unit of this type: stands for one that cannot be
_H264_OTHERS = frozenset((14, 20, 21, _DAMAGED))  # scalable and multiview coding: not looked into
_HEVC_PICTURES = 32  # unit types below it code pictures
_HEVC_LAST_LEADING = 14  # of these, the even ones up to here are sub-layer non-reference pictures
_MPEG4_PICTURE, _MPEG2_PICTURE = 0xB6, 0x00
_BIDIRECTIONAL_MPEG4, _BIDIRECTIONAL_MPEG2 = 2, 3


def disposable_test(codec: str, extradata: bytes | None) -> IsDisposable | None:
    """Return what tells whether a packet's frame is referred to by no other; None: nothing can.

    Args:
        codec: The codec's name.
        extradata: What the container says before the first packet.
    """
    if codec == "h264":
        length_bytes = unit_length_bytes(extradata)
        return lambda packet: _all(_h264_units(packet, length_bytes))
    if codec == "hevc":
        length_bytes = _hevc_length_bytes(extradata)
        return lambda packet: _all(_hevc_units(packet, length_bytes))
    if codec == "mpeg4":
        return lambda packet: _all(_mpeg4_pictures(packet))
    if codec in ("mpeg1video", "mpeg2video"):
        return lambda packet: _all(_mpeg2_pictures(packet))
    return None


def _all(marks: Iterator[bool]) -> bool:
    """Whether there are marks and all are true; the first false one ends it."""
    found = False
    for mark in marks:
        if not mark:
            return False
        found = True
    return found


def _h264_units(packet: memoryview, length_bytes: int) -> Iterator[bool]:
    """For each slice whether `nal_ref_idc` is 0 (ITU-T H.264, 7.4.1)."""
    for place in _units(packet, length_bytes):
        kind = packet[place] & 31 if place < len(packet) else _DAMAGED
        if kind in _H264_SLICES:
            yield not packet[place] & 0xE0  # the forbidden bit, too: set, it tells damage
        elif kind in _H264_OTHERS:
            yield False


def _hevc_units(packet: memoryview, length_bytes: int) -> Iterator[bool]:
    """For each slice whether it is of a sub-layer non-reference picture (ITU-T H.265, 7.4.2.2).

    Those may be referred to from higher temporal layers, so in a stream that has such layers none
    counts: `TemporalId` is above 0 somewhere, and pictures on it are not told apart here.
    """
    for place in _units(packet, length_bytes):
        if place + 1 >= len(packet):
            yield False
            return
        kind = packet[place] >> 1
        layer = (packet[place] & 1) << 5 | packet[place + 1] >> 3
        if kind < _HEVC_PICTURES:
            is_single_layer = layer == 0 and packet[place + 1] & 7 == 1
            yield is_single_layer and kind <= _HEVC_LAST_LEADING and kind % 2 == 0


def has_temporal_layers(packet: memoryview, extradata: bytes | None) -> bool:
    """Whether an HEVC packet's pictures lie on a temporal layer above the first."""
    for place in _units(packet, _hevc_length_bytes(extradata)):
        if place + 1 < len(packet) and packet[place] >> 1 < _HEVC_PICTURES:
            return packet[place + 1] & 7 > 1
    return False


def _mpeg4_pictures(packet: memoryview) -> Iterator[bool]:
    """For each picture whether it is bidirectional (ISO/IEC 14496-2, `vop_coding_type`)."""
    for place in _start_codes(packet):
        if packet[place] == _MPEG4_PICTURE:
            known = place + 1 < len(packet)
            yield known and packet[place + 1] >> 6 == _BIDIRECTIONAL_MPEG4


def _mpeg2_pictures(packet: memoryview) -> Iterator[bool]:
    """For each picture whether it is bidirectional (ISO/IEC 13818-2, `picture_coding_type`)."""
    for place in _start_codes(packet):
        if packet[place] == _MPEG2_PICTURE:
            known = place + 2 < len(packet)
            yield known and packet[place + 2] >> 3 & 7 == _BIDIRECTIONAL_MPEG2


def _hevc_length_bytes(extradata: bytes | None) -> int:
    """Bytes of the length before each unit; 0 where start codes part them."""
    return (extradata[21] & 3) + 1 if extradata and len(extradata) > 22 and extradata[0] == 1 else 0


def _units(packet: memoryview, length_bytes: int) -> Iterator[int]:
    """Where each unit's header byte is; at last the packet's end if its lengths do not add up."""
    if not length_bytes:
        yield from _start_codes(packet)
        return
    place, end = 0, len(packet)
    while place + length_bytes < end:
        size = int.from_bytes(packet[place : place + length_bytes], "big")
        place += length_bytes
        if size:
            yield place
        place += size
    if place != end:
        yield end


def _start_codes(packet: memoryview) -> Iterator[int]:
    """Where the byte after each start code is."""
    data = bytes(packet)
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 3:
        yield place + 3
        place = data.find(b"\0\0\1", place + 3)
