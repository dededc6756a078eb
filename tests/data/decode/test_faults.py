"""What is no video, or a broken one, gets a reason of the closed list, quickly."""

from __future__ import annotations

import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from temporal.data import Video, VideoError
from temporal.data.decode.files.sniff import demuxer_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def _pieces(clips) -> dict[str, tuple[bytes, str]]:
    mp4 = clips.path("h264.mp4").read_bytes()
    return {
        "empty": (b"", "not_media"),
        "one byte": (b"x", "not_media"),
        "zeros": (bytes(65536), "not_media"),
        "text": (b"Dear reader, this is no video." * 50, "not_media"),
        "html": (b"<!DOCTYPE html><html>404</html>", "not_media"),
        "hls": (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "not_media"),
        "dash": (b"<?xml version='1.0'?><MPD></MPD>", "not_media"),
        "ffconcat": (b"ffconcat version 1.0\nfile other.mp4\n", "not_media"),
        "sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", "not_media"),
        "png": (PNG, "not_video"),
        "jpg": (b"\xff\xd8\xff\xe0" + bytes(100), "not_video"),
        "gif": (b"GIF89a" + bytes(100), "not_video"),
        "mp3": (b"ID3\x04" + bytes(100), "no_video_stream"),
        "wav": (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64), "no_video_stream"),
        "ftyp only": (mp4[:32], "truncated_header"),
        "moov lost": (mp4[: len(mp4) // 2], "truncated_header"),
    }


PIECES = [
    "empty", "one byte", "zeros", "text", "html", "hls", "dash", "ffconcat", "sdp",
    "png", "jpg", "gif", "mp3", "wav", "ftyp only", "moov lost",
]  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_bad_content_named_mp4(clips, tmp_path, name):
    content, reason = _pieces(clips)[name]
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    for source in (path, content, io.BytesIO(content)):
        with pytest.raises(VideoError) as caught:
            len(Video(source))
        assert caught.value.reason == reason


def test_sound_without_picture(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no_video_stream"):
        len(Video(path))


def test_what_is_no_regular_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.mp4")
    for path, reason in (
        (tmp_path / "missing.mp4", "not_found"),
        (tmp_path, "not_regular_file"),
        (tmp_path / "fifo.mp4", "not_regular_file"),
        (Path("/dev/zero"), "not_regular_file"),
        ("nul\0byte.mp4", "not_found"),
        ("http://127.0.0.1/clip.mp4", "path_not_allowed"),
        ("concat:a.mp4|b.mp4", "path_not_allowed"),
        ("subfile,,start,0,end,9,,:a.mp4", "path_not_allowed"),
    ):
        with pytest.raises(VideoError) as caught:
            len(Video(path))
        assert caught.value.reason == reason, path


def test_root_holds_paths_and_links(clips, tmp_path):
    (tmp_path / "in").mkdir()
    inside = tmp_path / "in" / "clip.mp4"
    inside.write_bytes(clips.path("h264.mp4").read_bytes())
    (tmp_path / "in" / "link.mp4").symlink_to(clips.path("h264.mp4"))
    assert len(Video(inside, root=tmp_path / "in")) == 60
    for path in (tmp_path / "in" / "link.mp4", tmp_path / "in" / ".." / "out.mp4"):
        with pytest.raises(VideoError, match="path_not_allowed"):
            len(Video(path, root=tmp_path / "in"))


def test_names_that_mean_something_elsewhere(clips, tmp_path):
    for name in ("pct%03d.mp4", "-dash.mp4", "new\nline.mp4", "quo'te\".mp4", "a:b.mp4"):
        path = tmp_path / name
        path.write_bytes(clips.path("h264.mp4").read_bytes())
        assert len(Video(path)) == 60


def test_too_many_pixels_are_refused_from_the_header(encode_video, tmp_path):
    fast = {"preset": "ultrafast"}
    path = encode_video(tmp_path / "big.mp4", frames=1, size=(8192, 8192), options=fast)
    with pytest.raises(VideoError, match="8192x8192") as caught:
        len(Video(path))
    assert caught.value.reason == "too_large"


def test_max_pixels_is_the_callers(clips):
    with pytest.raises(VideoError, match="max_pixels"):
        len(Video(clips.path("h264.mp4"), max_pixels=64 * 48 - 1))
    assert len(Video(clips.path("h264.mp4"), max_pixels=64 * 48)) == 60


def test_a_cut_file_gives_its_frames_up_to_the_cut(clips, tmp_path, read_number):
    # A fragmented mp4 keeps one GOP of 12 frames after the other: cut in the middle of the k-th.
    content = clips.path("fragmented.mp4").read_bytes()
    images, times = clips.truth("fragmented.mp4")
    media = [place.start() for place in re.finditer(b"mdat", content)]
    for gops in (1, 3, 4):
        path = tmp_path / "cut.mp4"
        path.write_bytes(content[: media[gops] + 150])
        with Video(path) as video:
            assert 12 * gops < len(video) < 12 * (gops + 1)
            assert video.index.fault == "truncated"
            had = 0
            for frame in range(len(video)):
                try:
                    image = video.read([frame])[0].numpy()
                except VideoError as error:
                    assert error.reason == "truncated"
                else:
                    # The frame that came before it in time may be among the lost ones.
                    time = video.index.timestamps_seconds[frame]
                    assert np.array_equal(image, images[np.argmin(np.abs(times - time))])
                    had += 1
            assert had >= 12 * gops


def test_damage_never_gives_another_frame(clips, tmp_path):
    content = bytearray(clips.path("h264_intra.mp4").read_bytes())
    images, _ = clips.truth("h264_intra.mp4")
    middle = content.find(b"mdat") + 4 + (len(content) // 3)
    content[middle : middle + 40] = bytes(40)
    with Video(bytes(content)) as video:
        same = 0
        for frame in range(len(video)):
            try:
                same += np.array_equal(video.read([frame])[0].numpy(), images[frame])
            except VideoError as error:
                assert error.reason in ("corrupt", "truncated")
        assert same >= 55  # every frame is a keyframe: damage stays where it is


def test_errors_pickle_with_their_facts():
    error = pickle.loads(pickle.dumps(VideoError("corrupt", "why", frames_read=7)))
    assert (error.reason, error.frames_read, str(error)) == ("corrupt", 7, "corrupt: why")


def test_text_files_and_wrong_types(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 2000)
    with open(tmp_path / "a.txt") as file, pytest.raises(TypeError, match="'rb'"):
        len(Video(file))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path, bytes or an open"):
        len(Video(5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide", "mov"),
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"FLV\x01", "flv"),
        ((b"G" + bytes(187)) * 4, "mpegts"),
        ((bytes(4) + b"G" + bytes(187)) * 4, "mpegts"),
        (b"\0\0\x01\xba", "mpeg"),
        (b"OggS", "ogg"),
    ],
)
def test_magic_bytes(head, demuxer):
    assert demuxer_of(head, name="x") == demuxer


def test_text_of_gs_is_no_transport_stream():
    with pytest.raises(VideoError, match="not_media"):
        demuxer_of(b"GIRL " * 200, name="x")
