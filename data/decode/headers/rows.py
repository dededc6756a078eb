"""MPEG-2 pictures that lack rows: the decoder leaves there whatever its memory held before.

It marks most damage, but a packet that was cut between two rows is whole to it, and the picture
then depends on what was decoded before it. In MPEG-2 every row of macroblocks begins with a start
code that holds its number, so rows that are missing can be told from the packet alone.
"""

from __future__ import annotations

from collections.abc import Callable

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from .gif import is_whole
from .units import start_codes

_SEQUENCE = 0xB3  # start code of what says how tall the pictures after it are
_EXTENSION, _PICTURE = 0xB5, 8  # start code, and the kind that describes a picture
_WHOLE_FRAME = 3  # structure of a picture that is no single field
_LAST_ROW = 0xAF
_TALL = 2800  # pixels down, from which row numbers have further bits elsewhere


def rows_check(context: VideoCodecContext) -> Callable[[Packet], bool]:
    """Return a function that says whether a packet has all rows of its picture.

    Of MPEG-2, and of GIF, where it asks for the data that code them. It is asked of packets in the
    order in which they are decoded: where recordings are joined, the pictures after a new header
    may have another number of rows.
    """
    if context.name == "gif":
        return lambda packet: is_whole(bytes(packet))
    if context.name != "mpeg2video" or not context.height:
        return lambda packet: True
    height = context.height

    def check(packet: Packet) -> bool:
        nonlocal height
        data = bytes(packet)
        height = told_height(data) or height
        return height > _TALL or has_all_rows(data, -(-height // 16))

    return check


def told_height(packet: bytes) -> int:
    """Pixels down, as a sequence header in an MPEG-2 packet says; 0 where it has none."""
    for place in start_codes(packet):
        if packet[place] == _SEQUENCE and place + 3 < len(packet):
            return (packet[place + 2] & 15) << 8 | packet[place + 3]
        if 1 <= packet[place] <= _LAST_ROW:
            return 0  # it comes before a picture
    return 0


def has_all_rows(packet: bytes, rows: int) -> bool:
    """Whether an MPEG-2 packet has each row of macroblocks.

    Args:
        packet: One coded picture. Both fields of a frame count as one where they lie in one packet.
        rows: Macroblocks down.
    """
    found = set()
    is_field = False
    for place in start_codes(packet):
        code = packet[place]
        if 1 <= code <= _LAST_ROW:
            found.add(code)
        elif code == _EXTENSION and place + 3 < len(packet) and packet[place + 1] >> 4 == _PICTURE:
            is_field |= packet[place + 3] & 3 != _WHOLE_FRAME
    return len(found) >= (rows // 2 if is_field else rows)
