"""Of which codecs a packet that is called a keyframe is one.

Many old ones have no such mark in their data: containers then call every packet a keyframe,
although each codes only what changed. They are decoded from the start, so that a frame is the one
asked for.
"""

from __future__ import annotations

from av.codec import Codec

_MARKED = frozenset(
    {
        "av1",
        "avs2",
        "avs3",
        "cavs",
        "cfhd",
        "dirac",
        "evc",
        "ffv1",
        "h261",
        "h263",
        "h263i",
        "h263p",
    }
    | {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "mss2", "png", "snow", "svq1", "svq3"}
    | {"flv1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "rv10", "rv20", "rv30", "rv40", "rv60"}
    | {"theora", "vc1", "vp3", "vp4", "vp5", "vp6", "vp6a", "vp6f", "vp7", "vp8", "vp9", "vvc"}
    | {"wmv1", "wmv2", "wmv3", "webp"}
)
"""Those whose pictures say themselves that they refer to no other, which containers repeat."""


def has_true_keyframes(codec: Codec) -> bool:
    """Whether decoding may begin at a packet that is called a keyframe."""
    return codec.intra_only or codec.canonical_name in _MARKED
