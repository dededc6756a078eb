"""What a decoder must have seen of a file's beginning before it may begin elsewhere."""

from __future__ import annotations

import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext


def needs_beginning(context: VideoCodecContext) -> bool:
    """Whether decoding depends on something that only the first packet says.

    Older x264 coded 4:4:4 video in another way than the standard. Its version stands in a message
    at the very beginning, and decoders that miss it decode all frames wrong.
    """
    return context.name == "h264" and "444" in (context.pix_fmt or "")


def show_beginning(context: VideoCodecContext, first: Packet) -> None:
    """Let the decoder see the first packet's messages; no picture is decoded."""
    context.skip_frame = "ALL"
    try:
        context.decode(first)
    except av.error.FFmpegError:
        pass  # a broken beginning is found by whoever reads it
    finally:
        context.skip_frame = "DEFAULT"
    context.flush_buffers()
