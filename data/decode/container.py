"""Open a checked source with the demuxer that its bytes name, and pick its video stream."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from . import boxes
from .bombs import find_bomb
from .errors import VideoError
from .sniff import Checked

MAX_PIXELS = 4096 * 2304
"""Pixels of the largest frame that is decoded unless the caller allows more (4K, either way up)."""

_SILENT_DECODERS = frozenset({"mpeg1video", "mpeg2video"})
# They conceal damage without marking the frame, unless told to fail at it.


@dataclass(kw_only=True, slots=True)
class Opened:
    """An open container and the video stream that is read from it."""

    checked: Checked
    """The source."""

    container: InputContainer
    """The open container; closed by whoever holds this."""

    stream: VideoStream
    """The chosen video stream."""

    def close(self) -> None:
        """Close the container."""
        self.container.close()


def open_container(checked: Checked, *, max_pixels: int = MAX_PIXELS) -> Opened:
    """Open a source for reading packets; no frame is decoded for the caller.

    Args:
        checked: What `sniff.check_source` allowed.
        max_pixels: Largest width * height that will be decoded.

    Raises:
        VideoError: `truncated_header`, `corrupt`, `no_video_stream`, `unsupported_codec`,
            `too_large` or `not_found`.
    """
    _check_header(checked)
    # Whatever the demuxer finds inside, it may open files only (a path) or nothing at all.
    protocols = "file" if checked.path is not None else "none"
    try:
        container = av.open(
            checked.path if checked.path is not None else checked.open_file(),
            mode="r",
            format=checked.demuxer,
            options={"protocol_whitelist": protocols},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise _open_error(checked, error) from error
    try:
        stream = _video_stream(container, checked)
        _check_size(stream, checked, max_pixels)
    except BaseException:
        container.close()
        raise
    return Opened(checked=checked, container=container, stream=stream)


def _check_header(checked: Checked) -> None:
    if checked.demuxer != "mov":
        return
    file = checked.open_file()
    try:
        bomb = find_bomb(file)
    finally:
        if checked.path is not None:
            file.close()
    if bomb is not None:
        raise VideoError("too_large", f"{checked.name}: {bomb}")


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


def _check_size(stream: VideoStream, checked: Checked, max_pixels: int) -> None:
    context = stream.codec_context
    if context.width * context.height > max_pixels:
        raise VideoError(
            "too_large",
            f"{checked.name}: frames of {context.width}x{context.height} have more than "
            f"max_pixels ({max_pixels}) pixels; pass a larger max_pixels to allow them",
        )
    context.thread_count = 1  # no delay between packet and frame; files are read in parallel
    context.flags |= Flags.copy_opaque  # each frame then says which packet it came from
    options = {"max_pixels": str(max_pixels)}  # also when the size changes mid-stream
    if context.name in _SILENT_DECODERS:
        options["err_detect"] = "explode"
    context.options = options


def _open_error(checked: Checked, error: Exception) -> VideoError:
    if isinstance(error, FileNotFoundError | PermissionError):
        return VideoError("not_found", f"{checked.name}: {error}")
    if isinstance(error, MemoryError):
        return VideoError("oom", f"{checked.name}: not enough memory to open it")
    if checked.demuxer == "mov" and not _has_header(checked):
        return VideoError(
            "truncated_header",
            f"{checked.name} has no complete mp4 header (moov): the file was cut or not finished",
        )
    if isinstance(error, EOFError) or getattr(error, "errno", None) == errno.EIO:
        return VideoError("truncated", f"{checked.name} ends in the middle of its structure")
    return VideoError("corrupt", f"{checked.name} cannot be opened as {checked.demuxer}: {error}")


def _has_header(checked: Checked) -> bool:
    file = checked.open_file()
    try:
        return boxes.has_header(file)
    finally:
        if checked.path is not None:
            file.close()
