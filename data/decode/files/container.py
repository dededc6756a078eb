"""Open a checked source with the demuxer that its bytes name, and pick its video stream."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from ..errors import VideoError
from ..headers import boxes
from ..headers.bombs import find_bomb
from ..headers.settings import read_settings
from ..streaming.guard import BoxGuard
from .sniff import Checked

MAX_PIXELS = 4096 * 2304
"""Pixels of the largest frame that is decoded unless the caller allows more (4K, either way up)."""

_MOST_UNBACKED_BYTES = 64 << 20
# A frame of this size may be announced by a file that is smaller, because it was cut.

_MAX_UNPROBED = 16
"""Streams of a file that can be spared the probing; others are probed."""

_LIST_THEIR_STREAMS = frozenset({"mov", "matroska"})
"""Demuxers that know all streams from the header; the others must be let probe."""

_SILENT_DECODERS = frozenset({"hevc", "mpeg1video", "mpeg2video"})
# They conceal damage, or leave it out, and do not mark the frame, unless told to fail at it.


@dataclass(kw_only=True, slots=True)
class Opened:
    """An open container and the video stream that is read from it."""

    checked: Checked
    """The source."""

    container: InputContainer
    """The open container; closed by whoever holds this."""

    stream: VideoStream
    """The chosen video stream."""

    pixel_format: str
    """How the decoder stores pixels (`"yuv420p"`); empty where that is not known."""

    decoder_options: Mapping[str, str]
    """Options that its decoder is opened with, beside those for safety."""

    held: Sequence[Packet] | None = None
    """Its packets, where they are in memory: `container` and `stream` then only describe them."""

    def close(self) -> None:
        """Close the container."""
        self.container.close()


def open_container(
    checked: Checked,
    *,
    max_pixels: int = MAX_PIXELS,
    decoder_options: Mapping[str, str] | None = None,
    is_known: bool = False,
) -> Opened:
    """Open a source for reading packets; no frame is decoded for the caller.

    Args:
        checked: What `sniff.check_source` allowed.
        max_pixels: Largest width * height that will be decoded.
        decoder_options: FFmpeg options of the decoder (`{"skip_loop_filter": "all"}`).
        is_known: What the header does not say is known: no first frame need be decoded to find it
            out. `pixel_format` may then be empty, and how far frames are reordered be told wrong.

    Raises:
        VideoError: `truncated_header`, `corrupt`, `no_video_stream`, `unsupported_codec`,
            `too_large` or `not_found`.
    """
    _check_header(checked)
    may_do_without = checked.is_seekable and checked.demuxer in _LIST_THEIR_STREAMS
    container, stream = _open(checked, max_pixels, probes=not may_do_without)
    pixel_format = _told_format(stream)
    if may_do_without and not (pixel_format or is_known):
        container.close()
        container, stream = _open(checked, max_pixels, probes=True)
    context = stream.codec_context
    if not (context.width and context.height) and checked.is_seekable:
        # Some decoders that refuse a frame for its size do not tell it either.
        container.close()
        container, stream = _open(checked, None, probes=True)
    return _prepared(
        checked,
        container,
        stream,
        pixel_format=pixel_format,
        max_pixels=max_pixels,
        decoder_options=dict(decoder_options or {}),
    )


def take_stream(checked: Checked, container: InputContainer, *, max_pixels: int) -> Opened:
    """Pick the video stream of a container that was opened elsewhere (a stream of the network).

    Raises:
        VideoError: As `open_container` raises it; the container is closed then.
    """
    try:
        stream = _video_stream(container, checked)
    except BaseException:
        container.close()
        raise
    return _prepared(
        checked, container, stream, pixel_format=None, max_pixels=max_pixels, decoder_options={}
    )


def _prepared(
    checked: Checked,
    container: InputContainer,
    stream: VideoStream,
    *,
    pixel_format: str | None,
    max_pixels: int,
    decoder_options: dict[str, str],
) -> Opened:
    """The open container, its decoder ready to be used safely."""
    context = stream.codec_context
    try:
        check_pixels(context.width, context.height, max_pixels, name=checked.name)
    except BaseException:
        container.close()
        raise
    context.thread_count = 1  # no delay between packet and frame; files are read in parallel
    context.flags |= Flags.copy_opaque  # each frame then says which packet it came from
    # The limit holds also when the size changes mid-stream.
    safety = {"max_pixels": str(max_pixels)}
    if context.name in _SILENT_DECODERS:
        safety["err_detect"] = "explode"
    context.options = {**decoder_options, **safety}
    return Opened(
        checked=checked,
        container=container,
        stream=stream,
        pixel_format=pixel_format or context.pix_fmt or "",
        decoder_options=decoder_options,
    )


def _open(
    checked: Checked, max_pixels: int | None, *, probes: bool
) -> tuple[InputContainer, VideoStream]:
    """Open a container and pick its stream; larger frames are not decoded to look at them."""
    # Its stubs say list[str]; it takes a dictionary for each stream.
    unprobed: Any = [{"skip_frame": "all"}] * _MAX_UNPROBED
    # Whatever the demuxer finds inside, it may open files only (a path) or nothing at all.
    options = {"protocol_whitelist": "file" if checked.path is not None else "none"}
    if max_pixels is not None:
        options["max_pixels"] = str(max_pixels)
    try:
        container = av.open(
            checked.path if checked.path is not None else checked.open_file(),
            mode="r",
            format=checked.demuxer,
            options=options,
            metadata_errors="replace",
            stream_options=None if probes else unprobed,
        )
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        if not probes and not isinstance(error, av.error.FFmpegError):
            return _open(checked, max_pixels, probes=True)  # it has no streams to spare the probing
        raise _open_error(checked, error) from error
    try:
        return container, _video_stream(container, checked)
    except BaseException:
        container.close()
        raise


def _told_format(stream: VideoStream) -> str | None:
    """The pixel format, if the header says all that a decoder finds out from a first frame."""
    context = stream.codec_context
    settings = read_settings(context.extradata) if context.name == "h264" else None
    if settings is None or not settings.is_progressive or settings.max_reordered is None:
        return None
    is_same = (settings.width, settings.height) == (context.width, context.height)
    is_same &= settings.max_reordered == context.reorder_depth
    return settings.pixel_format if is_same else None


def codec_name(opened: Opened) -> str:
    """The codec, not the decoder that happens to implement it (`av1`, not `libdav1d`)."""
    return str(opened.stream.codec_context.codec.canonical_name)


def check_pixels(width: int, height: int, max_pixels: int, *, name: str) -> None:
    """Refuse frames that are larger than allowed.

    Raises:
        VideoError: `too_large`.
    """
    if width * height > max_pixels:
        raise VideoError(
            "too_large",
            f"{name}: frames of {width}x{height} have more than max_pixels ({max_pixels}) pixels; "
            "pass a larger max_pixels to allow them",
        )


def _check_header(checked: Checked) -> None:
    if checked.demuxer != "mov" or not checked.is_seekable:
        return
    with checked.open_file() as file:
        bomb = find_bomb(file)
    if bomb is not None:
        raise VideoError(bomb.reason, f"{checked.name}: {bomb.what}")


def _video_stream(container: InputContainer, checked: Checked) -> VideoStream:
    stream: Any = container.streams.best("video")
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    if stream is None or stream.disposition & covers:
        # Cover art is a one-frame video stream to the demuxer; look for a real one.
        real = [s for s in container.streams.video if not s.disposition & covers]
        if not real:
            raise VideoError("no_video_stream", f"{checked.name} has no video stream")
        stream = real[0]
    if stream.frames == 1:
        # A thumbnail may come first and not be marked as a cover: the film has more frames.
        films = [s for s in container.streams.video if s.frames > 1 and not s.disposition & covers]
        stream = max(films, key=lambda film: film.frames, default=stream)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # the demuxer then skips their bytes
    if getattr(stream, "codec_context", None) is None:
        raise VideoError("unsupported_codec", f"{checked.name}: no decoder for its video stream")
    return stream


def _open_error(checked: Checked, error: Exception) -> VideoError:
    if isinstance(error, FileNotFoundError | PermissionError):
        return VideoError("not_found", f"{checked.name}: {error}")
    if isinstance(error, MemoryError):
        return VideoError("oom", f"{checked.name}: not enough memory to open it")
    if checked.demuxer == "mov" and not checked.is_seekable:
        return late_header_error(checked)
    if checked.demuxer == "mov" and not _has_header(checked):
        return VideoError(
            "truncated_header",
            f"{checked.name} has no complete mp4 header (moov): the file was cut or not finished",
        )
    if isinstance(error, EOFError) or getattr(error, "errno", None) == errno.EIO:
        return VideoError("truncated", f"{checked.name} ends in the middle of its structure")
    return VideoError("corrupt", f"{checked.name} cannot be opened as {checked.demuxer}: {error}")


def late_header_error(checked: Checked) -> VideoError:
    """What to tell of an mp4 in a pipe that has passed when its header comes."""
    return VideoError(
        "truncated_header",
        f"{checked.name} cannot seek and its mp4 header (moov) does not come first; write it to a "
        "file, or make it with movflags faststart or frag_keyframe",
    )


def announces_too_much(opened: Opened) -> bool:
    """Whether a damaged mp4 gives frames more bytes than it has, for which no memory suffices.

    A file that was cut has frames that are larger than what is left of it; those would fit.
    """
    if opened.checked.demuxer != "mov":
        return False
    most = _MOST_UNBACKED_BYTES
    if opened.checked.is_seekable:
        with opened.checked.open_file() as file:
            most = max(most, file.seek(0, 2))
    if isinstance(opened.checked.file, BoxGuard) and opened.checked.file.largest_frame_bytes > most:
        return True  # of a pipe, the demuxer forgets the fragments that are over
    # Sizes past what the demuxer's own table can hold come out of it as negative ones.
    return any(not 0 <= entry.size <= most for entry in opened.stream.index_entries)


def _has_header(checked: Checked) -> bool:
    with checked.open_file() as file:
        return boxes.has_header(file)
