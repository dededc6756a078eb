"""Check a source before any decoder sees it: where it lies, what it is, what its first bytes say.

A media file is data, but a playlist, a manifest or a device is an instruction to open something
else, and a decoder that guesses the format follows it. So the format is decided here, from magic
bytes on an allow-list, and the decoder is told; text never matches.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...places.content import Content
from ...places.stores import portable_content
from ..errors import VideoError
from ..headers.png import PNG, moves, read_head
from ..remote.urls import Permission, is_url
from ..streaming.guard import BoxGuard
from .local_url import path_of_url
from .view import FileView, ForwardFile, can_seek

HEAD_BYTES = 1024
"""How much of a source is looked at."""

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+[:,]")  # two letters at least: C: is a drive
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_ASF_GUID = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
    (_ASF_GUID, "asf"),
    (b"OggS", "ogg"),
)
_GIFS = (b"GIF87a", b"GIF89a")
_IMAGES: tuple[bytes, ...] = (
    PNG,
    b"\xff\xd8\xff",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
)
# Elementary streams begin with a start code and a unit that describes what follows: parameter sets,
# a delimiter or a message (whose header bytes have no other value).
_RAW_H264 = (0x06, 0x09, 0x27, 0x47, 0x67)
_RAW_HEVC = (0x40, 0x42, 0x46, 0x4E)
_SOUNDS: tuple[bytes, ...] = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A source that may be given to a decoder, and to which demuxer."""

    demuxer: str
    """The one demuxer that may read it (`"mov"`, `"matroska"`, `"avi"` ...)."""

    path: str | None = None
    """Absolute real path of a regular file; None for bytes and file objects."""

    file: BinaryIO | None = None
    """A binary file; None for paths."""

    is_seekable: bool = True
    """Whether any part can be read at any time; False for a pipe, which is read forward once."""

    is_remote: bool = False
    """Whether `file` is a `remote.RemoteFile`."""

    is_own: bool = False
    """Whether `file` was opened here, and is to be closed."""

    name: str = "<bytes>"
    """How messages call the source."""

    turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Held while `file` is moved and read: several containers may share it."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection to a remote file failed: it is to be opened anew."""
        return self.is_remote and cast(Any, self.file).failure is not None

    def let_go(self) -> Checked | None:
        """Hang up on a remote file or a member, to be opened anew; others stay checked."""
        if not self.is_remote and not self.is_own:
            return self
        with self.turn:
            file = cast(Any, self.file)
            file.hang_up() if self.is_remote else file.close()
        return None

    def open_file(self) -> BinaryIO:
        """Open for reading from the start; the caller closes it, which leaves `file` open."""
        if self.path is not None:
            return open(self.path, "rb")
        assert self.file is not None
        return cast(BinaryIO, FileView(self.file, self.turn)) if self.is_seekable else self.file


def source_name(source: str | os.PathLike[str] | bytes | BinaryIO | Content) -> str:
    """How results and messages call a source: its path, where it has one."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    return str(getattr(source, "name", "<file>"))


def portable(source: Any) -> str | os.PathLike[str] | bytes:
    """What of a source another process can read: its path, its URL, or all of its bytes.

    Raises:
        TypeError: The source is a file that cannot seek, or one of text.
    """
    if isinstance(source, Content):
        return portable_content(source)
    if isinstance(source, str | os.PathLike | bytes):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if not can_seek(source):
        raise TypeError(
            f"source ({source_name(source)}) cannot seek, so it cannot go to another process; read "
            "it with Video(source).stream(), or give a path, bytes or a seekable file"
        )
    source.seek(0)
    content = source.read()
    if not isinstance(content, bytes):
        raise TypeError(
            f"source ({source_name(source)}) must be a binary file; open it with mode 'rb'"
        )
    return content


def check_source(
    source: str | os.PathLike[str] | bytes | BinaryIO | Content,
    *,
    root: str | os.PathLike[str] | None = None,
    forward_only: bool = False,
    allow_remote: Permission = False,
) -> Checked:
    """Decide whether a source may be decoded, and by which demuxer.

    Args:
        source: Path, bytes, an open seekable binary file, or a URL where it is permitted.
        root: When given, paths that resolve to outside this directory are refused.
        forward_only: The source will be read forward once, so a file that cannot seek will do.
        allow_remote: Which URLs may be read (`urls.check_permission`).

    Raises:
        VideoError: `not_found`, `not_regular_file`, `path_not_allowed`, `not_media`, `not_video` or
            `no_video_stream`; `truncated` and `timeout` for URLs.
        TypeError: The source is of another type, or cannot seek and must.
    """
    if isinstance(source, str) and allow_remote and is_url(source):
        from ..remote.file import open_remote  # here: nothing else needs fsspec

        remote = open_remote(source, allow_remote)
        try:
            return replace(_check_file(remote, forward_only=forward_only), is_remote=True)
        except BaseException:
            remote.close()
            raise
    if isinstance(source, Content):
        return _check_content(source)
    if isinstance(source, str | os.PathLike):
        path = check_path(source, root=root)
        with open(path, "rb") as file:
            head = read_head(file.read(HEAD_BYTES), file.read)
        return Checked(demuxer=demuxer_of(head, name=path), path=path, name=path)
    if isinstance(source, bytes | bytearray | memoryview):
        data = io.BytesIO(source)
        head = read_head(data.read(HEAD_BYTES), data.read)
        return Checked(demuxer=demuxer_of(head, name="<bytes>"), file=data)
    if hasattr(source, "read"):
        return _check_file(source, forward_only=forward_only)
    raise TypeError(
        f"source ({type(source).__name__}) must be a path, bytes or an open seekable binary file"
    )


def _check_content(source: Content) -> Checked:
    """Open what is no path; what must be unpacked, once its first bytes say that it is a video."""
    try:
        file = source.open_file()
        if not can_seek(file):
            with file:
                demuxer_of(read_head(file.read(HEAD_BYTES), file.read), name=str(source))
            file = source.open_seekable()
    except OSError as error:
        raise VideoError("not_found", str(error)) from error
    try:
        checked = _check_file(file, forward_only=False)
        return replace(checked, is_own=True, is_remote=hasattr(file, "failure"), name=str(source))
    except BaseException:
        file.close()
        raise


def _check_file(source: Any, *, forward_only: bool) -> Checked:
    name = str(getattr(source, "name", "<file>"))
    seekable = can_seek(source)
    if seekable:
        source.seek(0)
    elif not forward_only:
        raise TypeError(
            f"source ({name}) cannot seek, so it has no index and no frame can be read out of "
            "turn; read it forward with video.stream(), or give a path, bytes or a seekable file"
        )
    head = source.read(HEAD_BYTES)
    if not isinstance(head, bytes):
        raise TypeError(f"source ({name}) must be a binary file; open it with mode 'rb'")
    while 0 < len(head) < HEAD_BYTES and (more := source.read(HEAD_BYTES - len(head))):
        head += more  # a pipe gives what it has
    head = read_head(head, source.read)
    demuxer = demuxer_of(head, name=name)
    file = source
    if not seekable:
        forward = ForwardFile(head, source)
        file = BoxGuard(forward, name=name) if demuxer == "mov" else forward
    return Checked(demuxer=demuxer, file=file, name=name, is_seekable=seekable)


def check_path(
    source: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> str:
    """Resolve a path to a regular, readable file; nothing is opened that could block.

    Raises:
        VideoError: `not_found`, `not_regular_file` or `path_not_allowed`.
    """
    text = os.fspath(source)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if "\0" not in text and not os.path.lexists(text):
        text = path_of_url(text) or text
    if "\0" in text:
        raise VideoError("not_found", f"path {text!r} holds a NUL byte: no file has such a name")
    if _SCHEME.match(text) and not os.path.lexists(text):
        raise VideoError(
            "path_not_allowed",
            f"path {text!r} names a protocol; only local files are read (https where "
            "allow_remote says so, buckets that it lists): fetch it to a file first",
        )
    path = os.path.realpath(text)
    if root is not None and not Path(path).is_relative_to(os.path.realpath(root)):
        raise VideoError(
            "path_not_allowed", f"path {text!r} lies outside the allowed root {os.fspath(root)!r}"
        )
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise VideoError("not_found", f"path {text!r}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "directory" if stat.S_ISDIR(mode) else "device, FIFO or socket"
        raise VideoError("not_regular_file", f"path {text!r} is a {kind}; give a regular file")
    if not os.access(path, os.R_OK):
        raise VideoError("not_found", f"path {text!r} is not readable by this user")
    return path


def demuxer_of(head: bytes, *, name: str) -> str:
    """Name the demuxer for a file's first bytes.

    Args:
        head: The first `HEAD_BYTES` bytes (fewer when the file is shorter; of a PNG, more).
        name: How the error calls the source.

    Raises:
        VideoError: `not_media` (empty, text, garbage), `not_video` (an image) or
            `no_video_stream` (a sound file).
    """
    if not head:
        raise VideoError("not_media", f"{name} is empty (0 bytes)")
    if head[4:8] in _MOV_BOXES:
        return "mov"
    for magic, demuxer in _STARTS:
        if head.startswith(magic):
            return demuxer
    if head[:4] == b"RIFF":
        return _riff(head, name)
    if head.startswith(_GIFS) and len(head) > 10 and 0 not in struct.unpack("<2H", head[6:10]):
        return "gif"  # of a single picture, it is a video of one frame
    if head.startswith(PNG) and moves(head):
        return "apng"
    for packet_bytes, first in ((188, 0), (192, 4)):
        syncs = head[first::packet_bytes]
        if len(syncs) >= 3 and set(syncs) == {0x47}:
            return "mpegts"
    if _has_transport_packets(head):
        return "mpegts"
    raw = _raw_stream(head)
    if raw is not None:
        return raw
    if head.startswith(_IMAGES + _GIFS):
        raise VideoError("not_video", f"{name} is an image, not a video")
    if head.startswith(_SOUNDS):
        raise VideoError("no_video_stream", f"{name} is a sound file")
    raise VideoError(
        "not_media",
        f"{name} begins with {head[:12]!r}, which is no container that is read here "
        "(mp4/mov, matroska/webm, avi, flv, mpeg-ts, mpeg-ps, asf, ogg, gif, apng, "
        "webp, raw h264/hevc)",
    )


def _has_transport_packets(head: bytes) -> bool:
    """Whether MPEG-TS packets follow each other, from any place: a recording cut out of another."""
    if head.isascii() and 0 not in head:
        return False  # a text
    for packet_bytes in (188, 192, 204):
        for first in range(packet_bytes):
            heads = range(first, len(head) - 3, packet_bytes)
            # Each begins with its mark; it has no error, and content or an adaptation.
            if len(heads) >= 4 and all(
                head[at] == 0x47 and head[at + 1] < 0x80 and head[at + 3] & 0x30 for at in heads
            ):
                return True
    return False


def _raw_stream(head: bytes) -> str | None:
    code = head.find(b"\0\0\1", 0, 4)
    if code < 0 or head[:code].strip(b"\0") or len(head) < code + 5:
        return None
    first, second = head[code + 3], head[code + 4]
    if first in _RAW_HEVC and second == 1:
        return "hevc"
    return "h264" if first in _RAW_H264 else None


def _riff(head: bytes, name: str) -> str:
    kind = head[8:12]
    if kind == b"AVI ":
        return "avi"
    if kind == b"WEBP" and head[12:16] == b"VP8X" and head[20:21] and head[20] & 2:
        return "webp"  # an animation; FFmpeg has no demuxer for it: see `webp`
    if kind == b"WEBP":
        raise VideoError("not_video", f"{name} is an image, not a video")
    if kind == b"WAVE":
        raise VideoError("no_video_stream", f"{name} is a sound file")
    raise VideoError("not_media", f"{name} is a RIFF file of unknown kind {kind!r}")
