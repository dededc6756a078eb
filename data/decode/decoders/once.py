"""What comes with one packet and holds for those after it: palettes, new headers, new sizes.

A demuxer gives it once, when it passes by, and a decoder keeps it: after a seek it is missing.
"""

from __future__ import annotations

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

HAVE_HEADERS = frozenset({"theora", "vp8"})
"""Codecs with packets that make no picture, where recordings are joined in Ogg."""


def carries_once(packet: Packet, context: VideoCodecContext) -> bool:
    """Whether a packet carries what a decoder is told once.

    Args:
        packet: A coded frame.
        context: Its decoder; what that was opened with is nothing new when it comes once more.
    """
    if context.name == "theora" and is_header(packet, "theora"):
        return True
    found = list(packet.iter_sidedata())
    if not found:
        return False
    kinds = {one.data_type for one in found}
    if kinds & {"palette", "param_change"}:
        return True
    new = [bytes(one) for one in found if one.data_type == "new_extradata"]
    return any(one and one != context.extradata for one in new)


def is_header(packet: Packet, codec: str) -> bool:
    """Whether a packet makes no picture but begins a new recording (chained Ogg)."""
    if codec == "theora":
        return memoryview(packet)[0] & 0x80 != 0
    return codec == "vp8" and memoryview(packet)[:5] == b"OVP80"
