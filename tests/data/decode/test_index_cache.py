"""A cached index is the index, is had without reading packets, and is dropped when it may lie."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from temporal.data import DecodePool, Video, VideoError
from temporal.data.decode.packets import index, index_cache
from temporal.data.decode.packets.index import Packets, VideoIndex


@pytest.fixture
def walks(monkeypatch) -> list[str]:
    """Names of the sources whose packets were walked."""
    walked: list[str] = []
    whole = index.read_packets

    def count(opened):
        walked.append(opened.checked.name)
        return whole(opened)

    monkeypatch.setattr(index, "read_packets", count)
    return walked


def assert_same(left: VideoIndex, right: VideoIndex) -> None:
    for kind, one, other in (
        (VideoIndex, left, right),
        (Packets, left.packets, right.packets),
    ):
        for field in fields(kind):
            mine, yours = getattr(one, field.name), getattr(other, field.name)
            if field.name == "packets":
                continue
            if isinstance(mine, np.ndarray):
                assert mine.dtype == yours.dtype and np.array_equal(mine, yours), field.name
                assert not yours.flags.writeable
            else:
                assert mine == yours and type(mine) is type(yours), field.name


def test_every_container_reads_from_a_cached_index_as_from_its_own(
    clips, clip_name, tmp_path, walks
):
    path = clips.path(clip_name)
    images, _ = clips.truth(clip_name)
    first = Video(path, index_cache_dir=tmp_path / "made" / "here").index
    with Video(path, index_cache_dir=tmp_path / "made" / "here") as video:
        assert_same(first, video.index)
        assert len(walks) == 1
        for frame in (len(images) - 1, 0, 17):
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame])


def test_a_warm_cache_opens_no_container(clips, tmp_path, monkeypatch):
    path = clips.path("h264.mp4")
    len(Video(path, index_cache_dir=tmp_path))
    monkeypatch.setattr(index_cache, "open_container", None)
    assert len(Video(path, index_cache_dir=tmp_path)) == 60


def test_a_changed_file_is_walked_again_and_its_entry_replaced(
    clips, encode_video, tmp_path, walks
):
    cache, path = tmp_path / "cache", tmp_path / "clip.mp4"
    shutil.copy(clips.path("h264.mp4"), path)
    assert len(Video(path, index_cache_dir=cache)) == 60
    encode_video(path, frames=24)
    for _ in range(2):
        assert len(Video(path, index_cache_dir=cache)) == 24
    assert len(walks) == 2
    assert len(list(cache.iterdir())) == 1


def test_size_time_head_and_tail_are_each_looked_at(clips, tmp_path, walks):
    path = tmp_path / "clip.mp4"
    content = clips.path("h264.mp4").read_bytes()

    def index_after(new: bytes, mtime_ns: int) -> int:
        path.write_bytes(new)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        walks.clear()
        len(Video(path, index_cache_dir=tmp_path / "cache"))
        return len(walks)

    longer = content + b"\0\0\0\x08free"
    brand = content[:8] + b"mp42" + content[12:]  # a byte at the head: still an mp4
    other_end = longer[:-1] + b"x"
    assert index_after(content, 10**18) == 1
    assert index_after(content, 10**18) == 0
    assert index_after(content, 10**18 + 1) == 1
    assert index_after(longer, 10**18 + 1) == 1
    assert index_after(other_end, 10**18 + 1) == 1
    assert index_after(brand, 10**18 + 1) == 1


def test_damaged_foreign_and_half_written_entries_are_ignored_and_rewritten(clips, tmp_path, walks):
    path = clips.path("h264.mp4")
    first = Video(path, index_cache_dir=tmp_path).index
    (entry,) = tmp_path.iterdir()
    good = entry.read_bytes()

    class Bomb:
        def __reduce__(self):
            return (sys.exit, ("a cache file was unpickled",))

    arrays = io.BytesIO()
    np.savez(arrays, pts=np.array([Bomb()], dtype=object))
    header, rest = good.split(b"\n", 2)[0], good.split(b"\n", 2)[2]
    facts = rest.split(b"\n", 1)[0]

    def signed(content: bytes) -> bytes:
        return b"\n".join([header, index_cache._digest(content), content])

    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    bad = [
        b"",
        b"not an index",
        good[:-1],
        good[: len(good) // 2],
        bytes(flipped),
        good.replace(header, b"temporal video index 0"),
        pickle.dumps(Bomb()),
        signed(facts + b"\n" + pickle.dumps(Bomb())),
        signed(facts + b"\n" + arrays.getvalue()),
        signed(b"[]\n"),
        signed(b"{}\n" + rest.split(b"\n", 1)[1]),
    ]
    for content in bad:
        entry.write_bytes(content)
        walks.clear()
        assert_same(first, Video(path, index_cache_dir=tmp_path).index)
        assert walks, content[:40]
        assert entry.read_bytes() == good
        assert list(tmp_path.iterdir()) == [entry]  # no temporary file stays


def test_the_pixel_limit_holds_for_a_cached_index(clips, tmp_path):
    path = clips.path("h264.mp4")
    len(Video(path, index_cache_dir=tmp_path))
    with pytest.raises(VideoError, match="too_large.*max_pixels"):
        len(Video(path, index_cache_dir=tmp_path, max_pixels=100))


def test_only_paths_are_cached_and_broken_files_are_not(clips, tmp_path):
    content = clips.path("h264.mp4").read_bytes()
    assert len(Video(content, index_cache_dir=tmp_path)) == 60
    assert len(Video(io.BytesIO(content), index_cache_dir=tmp_path)) == 60
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content[:100])
    for _ in range(2):
        with pytest.raises(VideoError, match="truncated_header"):
            len(Video(broken, index_cache_dir=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_video(clips, tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.warns(RuntimeWarning, match="index_cache_dir"):
        assert len(Video(clips.path("h264.mp4"), index_cache_dir=tmp_path / "file")) == 60


def test_copies_and_workers_share_the_cache(clips, tmp_path, walks):
    path = clips.path("h264.mp4")
    video = pickle.loads(pickle.dumps(Video(path, index_cache_dir=tmp_path)))
    with DecodePool(1, 60.0) as pool:
        isolated = pool.open(path, index_cache_dir=tmp_path)
        assert len(isolated) == 60 and len(list(tmp_path.iterdir())) == 1
    assert len(video) == 60 and not walks


def test_threads_that_write_one_entry_leave_a_whole_one(clips, tmp_path, walks):
    from concurrent.futures import ThreadPoolExecutor

    path = Path(clips.path("h264.mp4"))
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as threads:
        warnings.simplefilter("error")
        videos = [Video(path, index_cache_dir=tmp_path) for _ in range(8)]
        assert list(threads.map(len, videos)) == [60] * 8
    walks.clear()
    assert len(Video(path, index_cache_dir=tmp_path)) == 60 and not walks
    assert len(list(tmp_path.iterdir())) == 1
