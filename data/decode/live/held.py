"""`HeldOpening`: a part of a stream, opened on packets that are in memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import av.error
import numpy as np
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from temporal.trace import Cost

from ..decoders.pyav import PyavReader
from ..files.container import Opened
from ..files.sniff import Checked
from ..packets.index import Packets, VideoIndex, build_index
from ..pictures.orientation import UPRIGHT, Orientation, from_frame
from .cutting import Cut

_FORMAT_FIELDS = ("width", "height", "pix_fmt", "color_range", "colorspace", "codec_tag")


@dataclass(kw_only=True, eq=False)
class LiveDecoder:
    """The decoder of a stream, which its windows take turns with."""

    context: VideoCodecContext
    """The decoder itself; what is said below of its stream holds when that is closed, too."""

    demuxer: str
    """What the packets come from."""

    pixel_format: str
    """How frames are stored; empty where that is not known."""

    time_base: Fraction
    """Seconds per tick."""

    frame_seconds: Fraction
    """Usual time from one frame to the next."""

    lock: threading.RLock
    """Held while it decodes."""

    max_pixels: int
    """Largest frame that is decoded."""

    size: tuple[int, int]
    """(height, width) of the latest frames that were decoded, upright."""

    orientation: Orientation = UPRIGHT
    """How frames are made upright."""

    owner: object = None
    """The window that it decodes for."""

    spent: Cost = field(default_factory=Cost)
    """What it cost so far."""

    def look(self, first: Packet) -> None:
        """Decode the stream's first keyframe, which says how frames are turned, and their size."""
        if not (self.context.name in ("h264", "hevc") or self.demuxer in ("mov", "matroska")):
            return
        start = time.perf_counter()
        with self.lock, suppress(av.error.FFmpegError):  # a broken one is told by its read
            frames = self.context.decode(first) + self.context.decode(None)
            if frames:
                self.orientation = from_frame(frames[0])
                self.size = self.orientation.stored_size(frames[0].height, frames[0].width)
        if self.context.is_open:
            self.context.flush_buffers()
        seconds = time.perf_counter() - start
        self.spent += Cost(frames_decoded=1, bytes_read=first.size, decode_seconds=seconds)

    def apart(self, options: dict[str, str]) -> VideoCodecContext:
        """Make another decoder, with other options."""
        context, own = CodecContext.create(self.context.name, "r"), self.context
        made = cast(Any, context)
        made.extradata = own.extradata
        for name in _FORMAT_FIELDS:
            if (value := getattr(own, name, None)) is not None:
                setattr(made, name, value)
        made.thread_count = 1
        made.flags |= Flags.copy_opaque
        own_options = {"max_pixels": str(self.max_pixels), **options}
        if own.reorder_depth:
            own_options["has_b_frames"] = str(own.reorder_depth)
        made.options = own_options
        made.open()
        return cast(VideoCodecContext, made)


class HeldOpening:
    """Gives a window's index and decoder, as `Opening` gives a file's.

    Args:
        cut: The window's packets.
        decoder: The stream's.
        name: How messages call the window.
    """

    def __init__(self, cut: Cut, decoder: LiveDecoder, name: str) -> None:
        self.lock = decoder.lock
        self._cut, self._decoder, self._name = cut, decoder, name
        self._process = os.getpid()
        self._index: VideoIndex | None = None
        self._reader: PyavReader | None = None

    def own_process(self) -> bool:
        """Refuse to work in a forked process.

        Raises:
            RuntimeError: This is one.
        """
        if self._process != os.getpid():
            raise RuntimeError(
                f"{self._name} was made in another process and is read only there: its packets "
                "and its decoder do not cross to this one"
            )
        return False

    def get_index(self) -> VideoIndex:
        """Return the index of the frames that the window shows."""
        with self.lock:
            if self._index is None:
                self._index = self._build_index()
            return self._index

    def get_backend(self) -> str:
        """Name the decoder."""
        return "pyav"

    def get_checked(self, *, forward_only: bool = False) -> Checked:
        """Refuse: there is no file.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{self._name} is a part of a stream and no file; read its frames, or iterate over the "
            "LiveVideo that it is of"
        )

    def get_reader(self) -> PyavReader:
        """Return the decoder. The caller holds the lock while it is used."""
        if self._decoder.owner is not self:
            self._reader = None  # another window has moved the decoder on
        if self._reader is None:
            opened = self._opened(self._decoder.context)
            self._reader = PyavReader(
                opened, self.get_index(), max_pixels=self._decoder.max_pixels, num_threads=1
            )
            self._decoder.owner = self
        return self._reader

    def open_apart(self, decoder_options: dict[str, str]) -> Opened:
        """Open the packets once more, with a decoder of their own."""
        return self._opened(self._decoder.apart(decoder_options))

    def learn(self) -> None:
        """Note of which size the frames are that were decoded last."""
        context = self._decoder.context
        if context.is_open and context.width and context.height:
            size = (context.height, context.width)
            self._decoder.size = self._decoder.orientation.stored_size(*size)

    def close(self) -> None:
        """Let the decoder go; index and packets stay."""
        with self.lock:
            self._reader = None

    def _opened(self, context: VideoCodecContext) -> Opened:
        packets: Sequence[Packet] = [one.packet for one in self._cut.arrived]
        stream = SimpleNamespace(
            codec_context=context,
            time_base=self._decoder.time_base,
            average_rate=1 / self._decoder.frame_seconds,
            guessed_rate=None,
            frames=0,
            index_entries=(),
        )
        container = SimpleNamespace(
            demux=lambda stream: iter(packets),
            streams=SimpleNamespace(video=(stream,)),
            duration=None,
            close=lambda: None,
        )
        return Opened(
            # Under another name than the demuxer's: what is asked of that needs its file.
            checked=Checked(demuxer="held", name=self._name),
            container=cast(Any, container),
            stream=cast(Any, stream),
            pixel_format=self._decoder.pixel_format,
            decoder_options={},
            held=packets,
        )

    def _build_index(self) -> VideoIndex:
        decoder = self._decoder
        height, width = decoder.size
        return replace(
            build_index(self._opened(decoder.context), self._amend()),
            container=decoder.demuxer,
            height=height,
            width=width,
            rotation=decoder.orientation.degrees,
            is_mirrored=decoder.orientation.is_mirrored,
        )

    def _amend(self) -> Callable[[Packets], Packets]:
        """What a stream knows of its packets, and they do not."""
        cut = self._cut
        pts = np.array([one.pts for one in cut.arrived], dtype=np.int64)
        is_shown = (cut.low <= pts) & (pts < cut.high)
        is_damaged = np.array([one.is_damaged for one in cut.arrived], dtype=np.bool_)
        for array in (is_shown, is_damaged):
            array.setflags(write=False)

        def amend(packets: Packets) -> Packets:
            # Of a packet that shows nothing itself, nothing is asked.
            shown = is_shown & packets.is_shown
            if not shown.any():
                shown = is_shown
            is_disposable = packets.is_disposable & ~is_damaged
            return replace(
                packets, is_shown=shown, is_corrupt=is_damaged, is_disposable=is_disposable
            )

        return amend


def decoder_of(opened: Opened, max_pixels: int) -> LiveDecoder:
    """The decoder of an open stream."""
    context, time_base = opened.stream.codec_context, opened.stream.time_base
    assert time_base is not None
    return LiveDecoder(
        context=context,
        demuxer=opened.checked.demuxer,
        pixel_format=opened.pixel_format,
        time_base=Fraction(time_base),
        frame_seconds=frame_seconds(opened),
        lock=threading.RLock(),
        max_pixels=max_pixels,
        size=(context.height, context.width),
    )


def frame_seconds(opened: Opened) -> Fraction:
    """The usual time from one frame to the next, as a stream says; 1/25 where it does not."""
    rate = opened.stream.average_rate or opened.stream.guessed_rate
    return 1 / Fraction(rate) if rate else Fraction(1, 25)
