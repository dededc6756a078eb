"""Files and paths that point elsewhere: to another file, to a server, to a device."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from .kind import Kind, refused
from .making import encode

SECRET = "secret.mp4"
"""The file beside it to which a pointer leads; a good video."""

PORT_VARIABLE = "ZOO_PORT"
"""Environment variable that names the port of the listener to which pointers lead."""


def write_secret(folder: Path) -> Path:
    """Make the file that nobody may open; its frames are numbered from 200."""
    return encode(folder / SECRET, first=200, frames=10, muxing={"movflags": "faststart"})


def _text(*lines: str) -> Callable[[Path], None]:
    """A text that names {secret}, {here} (a path) and {url}; filled in beside the secret."""

    def make(path: Path) -> None:
        port = os.environ.get(PORT_VARIABLE, "9")
        names = {
            "secret": SECRET,
            "here": str(path.parent / SECRET),
            "url": f"http://127.0.0.1:{port}/{SECRET}",
            "port": port,
        }
        path.write_text("\n".join(lines).format(**names) + "\n")

    return make


def _behind_magic(magic: bytes, *lines: str) -> Callable[[Path], None]:
    """The same text behind the first bytes of a container."""

    def make(path: Path) -> None:
        _text(*lines)(path)
        path.write_bytes(magic + path.read_bytes() * 50)

    return make


def _external_data(path: Path) -> None:
    """A track whose data is said to lie in another file (dref without its self-contained flag)."""
    data = encode(path, frames=10).read_bytes()
    place = data.find(b"url \0\0\0\1")
    name = str(path.parent / SECRET).encode() + b"\0"
    grown = len(name)
    data = data[: place + 4] + bytes(4) + name + data[place + 8 :]
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = data.find(box) - 4
        size = struct.unpack(">I", data[at : at + 4])[0] + grown
        data = data[:at] + struct.pack(">I", size) + data[at + 4 :]
    at = data.find(b"url ") - 4
    data = data[:at] + struct.pack(">I", 12 + grown) + data[at + 4 :]
    path.write_bytes(data)


def _movie_of_references(path: Path) -> None:
    """A QuickTime movie that only names another file."""
    name = str(path.parent / SECRET).encode() + b"\0"
    rdrf = struct.pack(">I4sI4sI", 20 + len(name), b"rdrf", 0, b"url ", len(name)) + name
    body = rdrf
    for box in (b"rmda", b"rmra", b"moov"):
        body = struct.pack(">I4s", 8 + len(body), box) + body
    path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"qt  ", 0) + body)


_HLS = ("#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,")
_HLS_END = "#EXT-X-ENDLIST"
_DASH = (
    '<?xml version="1.0"?>',
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="0" bandwidth="1"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
)


def _dash(target: str) -> tuple[str, ...]:
    return tuple(line.replace("{target}", target) for line in _DASH)


_SDP = (
    "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0",
    "m=video {port} RTP/AVP 96", "a=rtpmap:96 H264/90000",
)  # fmt: skip

POINTING: tuple[Kind, ...] = (
    refused("hls_beside.mp4", "not_media", _text(*_HLS, "{secret}", _HLS_END)),
    refused("hls_absolute.mp4", "not_media", _text(*_HLS, "{here}", _HLS_END)),
    refused("hls_file.mp4", "not_media", _text(*_HLS, "file://{here}", _HLS_END)),
    refused("hls_http.mp4", "not_media", _text(*_HLS, "{url}", _HLS_END)),
    refused("hls.m3u8", "not_media", _text(*_HLS, "{secret}", _HLS_END)),
    refused("hls_key.m3u8", "not_media", _text(
        "#EXTM3U", '#EXT-X-KEY:METHOD=AES-128,URI="{url}"', "#EXTINF:9,", "{secret}", _HLS_END)),
    refused("hls_data.mp4", "not_media", _text(*_HLS, "data:video/mp4;base64,AAAA", _HLS_END)),
    refused("hls_subfile.mp4", "not_media", _text(
        *_HLS, "subfile,,start,0,end,0,,:{here}", _HLS_END)),
    refused("hls_concat.mp4", "not_media", _text(*_HLS, "concat:{here}|{here}", _HLS_END)),
    refused("concat.mp4", "not_media", _text("ffconcat version 1.0", "file {secret}")),
    refused("concat.ffconcat", "not_media", _text("ffconcat version 1.0", "file {secret}")),
    refused("concat_http.mp4", "not_media", _text("ffconcat version 1.0", "file {url}")),
    refused("dash_beside.mp4", "not_media", _text(*_dash("{secret}"))),
    refused("dash_file.mpd", "not_media", _text(*_dash("file://{here}"))),
    refused("dash_http.mp4", "not_media", _text(*_dash("{url}"))),
    refused("session.sdp", "not_media", _text(*_SDP)),
    refused("session.mp4", "not_media", _text(*_SDP)),
    refused("list.pls", "not_media", _text("[playlist]", "File1={url}", "NumberOfEntries=1")),
    refused("list.asx", "not_media", _text('<asx><entry><ref href="{url}"/></entry></asx>')),
    refused("links.mp4", "not_media", _text("rtsptext", "{url}")),
    refused("hls_in_mp4.mp4", "truncated_header", _behind_magic(
        b"\0\0\0\x10ftypisom\0\0\0\0", *_HLS, "{url}", _HLS_END)),
    refused("hls_in_mkv.mkv", "corrupt", _behind_magic(
        b"\x1aE\xdf\xa3", *_HLS, "{url}", _HLS_END)),
    refused("hls_in_avi.avi", "no_video_stream", _behind_magic(
        b"RIFF\xff\xff\0\0AVI ", *_HLS, "{url}", _HLS_END)),
    Kind(name="external_data.mov", make=_external_data, frames=10),
    refused("references.mov", "no_video_stream", _movie_of_references),
)  # fmt: skip


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


NOT_FILES: tuple[Kind, ...] = (
    refused("missing.mp4", "not_found", lambda path: None),
    refused("folder.mp4", "not_regular_file", Path.mkdir),
    refused("fifo.mp4", "not_regular_file", _fifo),
    refused("loop.mp4", "not_found", _link("loop.mp4")),
    refused("dangling.mp4", "not_found", _link("nowhere.mp4")),
    refused("zero.mp4", "not_regular_file", _link("/dev/zero")),
    refused("terminal.mp4", "not_regular_file", _link("/dev/tty")),
    refused("to_fifo.mp4", "not_regular_file", _link("fifo.mp4")),
)

ADDRESSES: tuple[str, ...] = (
    "http://127.0.0.1:{port}/secret.mp4",
    "HTTP://127.0.0.1:{port}/secret.mp4",
    "https://127.0.0.1:{port}/secret.mp4",
    "tcp://127.0.0.1:{port}",
    "tcp://127.0.0.1:{port}?listen",
    "rtmp://127.0.0.1:{port}/a/b",
    "rtsp://127.0.0.1:{port}/a",
    "hls+http://127.0.0.1:{port}/a.m3u8",
    "ftp://127.0.0.1:{port}/a.mp4",
    "file://example.org{here}",  # not of this machine: that would be its path
    "file://127.0.0.1{here}",
    "concat:{here}|{here}",
    "subfile,,start,0,end,0,,:{here}",
    "cache:{here}",
    "async:{here}",
    "crypto:{here}",
    "data:video/mp4;base64,AAAA",
    "pipe:0",
    "fd:",
    "ffrtmphttp://127.0.0.1:{port}/a",
    "unix:{here}",
)
"""Paths that a decoder would take for an address; {here} is the secret, {port} the listener's."""
