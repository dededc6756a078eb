"""What a damaged mp4 announces and cannot hold is `corrupt`, whatever memory the machine has."""

from __future__ import annotations

import io
import struct

import pytest

from temporal.data import Video, VideoError

from ..zoo.broken import FRAGMENTS, HEADER_FIRST, both, table
from ..zoo.making import FRAMES, encode, sound

# Some fail at once in the demuxer, and some only where there is little memory.
COUNTS = (2_000_000, 1 << 29, (1 << 31) + 7, (1 << 32) - 1)
TABLES = {
    "stts": 8, "ctts": 8, "stss": 8, "stsc": 8, "stsz": 12, "stco": 8, "elst": 8, "dref": 8,
}  # fmt: skip


class Pipe:
    """Bytes as one who cannot seek gets them: a few at a time."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 1000))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    return encode(tmp_path_factory.mktemp("a") / "a.mp4", **HEADER_FIRST).read_bytes()


@pytest.fixture(scope="module")
def fragments(tmp_path_factory) -> bytes:
    return encode(tmp_path_factory.mktemp("b") / "b.mp4", **FRAGMENTS).read_bytes()


def _reasons(content: bytes) -> set[str]:
    """Why it is not read: as a whole, as a stream, from a pipe."""
    found = set()
    for read in (
        lambda: len(Video(content)),
        lambda: list(Video(content).stream(0)),
        lambda: list(Video(Pipe(content)).stream(0)),
    ):
        with pytest.raises(VideoError) as caught:
            read()
        found.add(caught.value.reason)
    return found


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_more_entries_than_its_box_holds_is_corrupt(whole, name, count):
    assert _reasons(table(name.encode(), TABLES[name], count)(whole)) == {"corrupt"}


@pytest.mark.parametrize("count", COUNTS)
def test_more_frames_of_one_size_than_the_file_has_bytes_are_corrupt(whole, count):
    content = both(table(b"stsz", 8, 1), table(b"stsz", 12, count))(whole)
    assert _reasons(content) == {"corrupt"}


def test_a_table_of_a_fragmented_header_is_looked_at_too(fragments):
    assert _reasons(table(b"stsc", 8, 1 << 31)(fragments)) == {"corrupt"}


@pytest.mark.parametrize("size", [0x20000000, 0x7FFFFFFF, 0x9C15CC8F, 0xFFFFFFFF])
def test_a_frame_larger_than_the_file_ends_a_stream_as_corrupt(fragments, size):
    place = fragments.rfind(b"trun") + 20  # of the last fragment: the frames before it are whole
    content = fragments[:place] + struct.pack(">I", size) + fragments[place + 4 :]
    for source in (content, Pipe(content)):
        given = []
        with pytest.raises(VideoError) as caught:
            given.extend(Video(source).stream(0))
        assert caught.value.reason == "corrupt"
        assert 10 <= caught.value.frames_read < FRAMES


def test_the_first_frame_larger_than_the_file_leaves_none(fragments):
    assert _reasons(table(b"trun", 20, 0x7FFFFFFF)(fragments)) == {"corrupt"}


def test_a_few_entries_too_many_are_left_to_the_demuxer(whole):
    content = table(b"stss", 8, 6)(whole)  # of a keyframe more than there are
    assert len(Video(content)) == FRAMES


def test_sound_has_more_samples_than_its_file_has_frames(tmp_path):
    path = tmp_path / "a.mov"
    sound(path, codec="pcm_s16le")
    with pytest.raises(VideoError, match="no_video_stream"):
        len(Video(path))
