"""Which frames of a stream cannot be trusted, where there is no index to ask (see `damage`)."""

from __future__ import annotations

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..decoders.damage import INTRA
from ..headers.recovery import recovery_frames
from ..headers.units import h264_length_bytes
from ..packets.trusted import has_true_keyframes


class Trust:
    """Follows a decode forward: after damage, nothing is good until a whole keyframe comes out.

    Args:
        context: The decoder.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self._has_true_keys = has_true_keyframes(context.codec)
        self._is_h264 = context.name == "h264"
        self._length_bytes = h264_length_bytes(context.extradata) if self._is_h264 else 0
        self._keys_are_false = False
        self._is_first = True
        self._is_begun_again = False
        self._is_recovering = False
        self._is_lost = False
        self._failed: set[int | None] = set()  # times of packets that the decoder refused

    def fail(self, packet: Packet) -> None:
        """The decoder refused a packet: what it has of the picture may still come out."""
        self._failed.add(packet.pts)

    def begin(self) -> None:
        """The decoder was emptied; the next packet is a keyframe."""
        self._is_first = self._is_begun_again = True
        self._is_recovering = self._is_lost = False
        self._failed.clear()

    @property
    def can_begin_again(self) -> bool:
        """Whether what is called a keyframe is one, with this codec."""
        return self._has_true_keys

    def is_entry(self, packet: Packet) -> bool:
        """Whether a decode may begin at this packet and give what one from the start would."""
        if not packet.is_keyframe or self._keys_are_false or not self._has_true_keys:
            return False
        return not (self._is_h264 and recovery_frames(memoryview(packet), self._length_bytes))

    def accepts(self, frame: VideoFrame) -> bool:
        """Whether a frame is good; called for each that comes out, in this order."""
        is_first, self._is_first = self._is_first, False
        is_intra = int(frame.pict_type) in INTRA
        if frame.is_corrupt:
            # Where pictures are refreshed bit by bit, one that is not corrupt is whole.
            self._is_recovering |= is_first and not is_intra
            self._is_lost |= not self._is_recovering
            return False
        is_false = is_first and not is_intra and not self._is_recovering
        if is_false and self._is_begun_again:
            self._keys_are_false = True  # the container calls it a keyframe, and it is not one
            self._is_lost = True
        self._is_recovering = False
        self._is_lost &= not (is_intra and frame.key_frame)
        return not self._is_lost and frame.pts not in self._failed
