"""Zip and tar archives: what is inside is read where it lies, and strange members are rows."""

from __future__ import annotations

import io
import json
import pickle
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from temporal.data import DecodePool, Video, VideoError, collect
from temporal.data.places import member
from temporal.data.places.archives import member_at

CLIP = "h264.mp4"


def zipped(path: Path, files: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def short(path: Path | str, kind: Any = "video", **options: Any) -> list[tuple[str, str | None]]:
    """(id, why there is no value) of each item."""
    items = collect(str(path), kind=kind, notify=lambda _: None, **options)
    return [(item.id, item.error and item.error.reason) for item in items]


@pytest.fixture(scope="module")
def content(clips: Any) -> bytes:
    return clips.path(CLIP).read_bytes()


@pytest.mark.parametrize("packing", [0, 8, 12, 14])
def test_videos_of_a_zip_are_those_of_the_files(
    tmp_path: Path, clips: Any, content: bytes, packing: int
) -> None:
    files = {"b/x.mp4": content, "a.mp4": content, "readme.txt": b"x", "b/.hidden.mp4": b""}
    path = zipped(tmp_path / "v.zip", files, packing)
    told: list[str] = []
    items = list(collect(str(path), kind="video", notify=told.append))
    assert [item.id for item in items] == ["b/x.mp4", "a.mp4"] and "readme.txt" in told[0]
    with Video(clips.path(CLIP)) as plain:
        expected = plain.read([0, 7, 59])
    for item in items:
        with Video(item.value, id=item.id) as video:
            assert len(video) == 60 and (video.read([0, 7, 59]) == expected).all()
            video.close()
            assert (video.read([7]) == expected[1:2]).all()  # opened anew
    again = pickle.loads(pickle.dumps(items[0].value))
    with DecodePool(1, 30.0) as pool:
        video = pool.open(again)
        assert (video.read([59]) == expected[2:]).all() and str(path) in video.id
    prefixed = [id for id, _ in short(str(path))]
    assert member_at(f"{path}/b/x.mp4") == items[0].value
    assert member_at(f"{path}/gone.mp4") is None and member_at(f"{tmp_path}/no.zip/x.mp4") is None
    both = [item.id for item in collect([str(path)], kind="video", notify=lambda _: None)]
    assert both == [f"{path}/{id}" for id in prefixed]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_videos_of_a_tar_with_their_labels(tmp_path: Path, content: bytes, mode: str) -> None:
    cells = {"label": "cat", "camera": "c1", "shots": [1, 2]}
    files = {
        "000.cls": b"dog\n",
        "000.mp4": content,
        "2024.01.02.mp4": content,
        "2024.01.03.mp4": content,
        "x/001.mp4": content,
        "x/001.json": json.dumps(cells).encode(),
        "002.mp4": content,
        "002.json": b"{not json",
    }
    path = tarred(tmp_path / f"v.tar{mode[1:].replace(':', '.')}", files, mode)
    items = list(collect(str(path), kind="video", other_columns=None))
    assert [item.id for item in items] == [name for name in files if name.endswith("mp4")]
    assert [dict(item.extra) for item in items] == [{"label": "dog"}, {}, {}, cells, {}]
    assert items[-1].error is not None and "002.json tells no label" in items[-1].error.message
    with Video(items[0].value) as video:
        assert len(video) == 60
    assert collect_labels(path) == ["dog", None, None, "cat", None]


def collect_labels(path: Path) -> list[Any]:
    """By default the label alone comes along."""
    items = list(collect(str(path), kind="video"))
    assert all(set(item.extra) <= {"label"} for item in items)
    return [item.extra.get("label") for item in items]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_texts_tables_and_lists(tmp_path: Path, make: Any) -> None:
    import gzip

    files = {
        "pos/1.txt": "one\ntwo é\n".encode(),
        "t.csv": b"text,label\nthree,1\n",
        "t.jsonl.gz": gzip.compress(b'{"text": "four"}\n{"text": 5}\n'),
        "s1.txt": b"a whole\ntext",
        "s1.cls": b"7",
        "s2.json": b'{"text": "six", "label": 0, "more": 1}',
        "notes.json": b'{"other": 1}',
        "inner.zip": b"PK",
    }
    suffix = "zip" if make is zipped else "tar"
    path = make(tmp_path / f"t.{suffix}", files)
    told: list[str] = []
    items = list(collect(str(path), kind="text", other_columns=None, notify=told.append))
    assert [item.value for item in items] == [
        *("one", "two é", "three", "four", None, "a whole\ntext", "six")
    ]
    assert [item.extra.get("label") for item in items[-2:]] == ["7", 0]
    assert items[-1].extra["more"] == 1 and items[-2].id == "s1.txt"
    assert "2 files (notes.json, inner.zip)" in told[0]
    assert items[4].error is not None and "t.jsonl.gz, row 2" in items[4].error.message


def test_a_parquet_table_inside(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    path = zipped(tmp_path / "t.zip", {"t.parquet": data, "bad.parquet": data[:-9]})
    assert short(path, "text") == [
        ("text-000000", None), ("text-000001", None), (f"{path}/bad.parquet", "bad_table")
    ]  # fmt: skip


def test_names_that_lead_out_are_refused_and_nothing_is_written(
    tmp_path: Path, content: bytes
) -> None:
    names = ["../out.mp4", "/abs.mp4", "a/../../b.mp4", "C:\\x.mp4", "..\\y.mp4", "\\z.mp4"]
    inside = tmp_path / "inside"
    inside.mkdir()
    before = set(tmp_path.rglob("*"))
    files = dict.fromkeys([*names, "a..b/ok.mp4"], content)
    for path in (zipped(inside / "v.zip", files), tarred(inside / "v.tar", files)):
        found = short(path)
        assert [reason for _, reason in found] == ["path_not_allowed"] * 6 + [None]
    assert set(tmp_path.rglob("*")) - before == {inside / "v.zip", inside / "v.tar"}


def test_odd_members_cost_themselves_alone(tmp_path: Path, content: bytes) -> None:
    path = zipped(tmp_path / "v.zip", {"a.mp4": content, "b.mp4": content, "c.mp4": content})
    data = bytearray(path.read_bytes())
    # The second is said to be encrypted, the third packed in a way that nobody knows.
    places = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[places[1] + 8] |= 1
    data[places[2] + 10] = 97
    path.write_bytes(data)
    assert short(path) == [
        ("a.mp4", None), ("b.mp4", "unsupported_input"), ("c.mp4", "unsupported_input")
    ]  # fmt: skip
    # A flipped byte is found by the checksum.
    path = zipped(tmp_path / "w.zip", {"a.mp4": content, "b.mp4": content})
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    first, second = collect(str(path), kind="video")
    with pytest.raises(VideoError), Video(first.value) as video:
        len(video)
    with Video(second.value) as video:
        assert len(video) == 60
    # A header that is not where the archive says.
    data[:4] = b"none"
    path.write_bytes(data)
    with pytest.raises(VideoError, match="does not begin where"), Video(first.value) as video:
        len(video)
    path.unlink()
    with pytest.raises(VideoError, match="No such file"), Video(first.value) as video:
        len(video)


def test_archives_that_hold_nothing_or_are_none(tmp_path: Path, content: bytes) -> None:
    zipped(tmp_path / "empty.zip", {})
    zipped(tmp_path / "other.zip", {"a.pdf": b"", "dir/": b""})
    whole = zipped(tmp_path / "whole.zip", {"a.mp4": content}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "nothing.zip").write_bytes(b"")
    tarred(tmp_path / "empty.tar", {})
    (tmp_path / "text.tar.gz").write_text("no archive")
    expected = {
        "empty.zip": "not_found",
        "other.zip": "not_found",
        "cut.zip": "bad_archive",
        "text.zip": "bad_archive",
        "nothing.zip": "bad_archive",
        "empty.tar": "bad_archive",
        "text.tar.gz": "bad_archive",
        "gone.zip": "not_found",
    }
    for name, reason in expected.items():
        ((id, found),) = short(tmp_path / name)
        assert found == reason and id == str(tmp_path / name), name
    noise = random.Random(1).randbytes(100_000)
    tars = tarred(tmp_path / "cut.tar.gz", {"a.mp4": content, "b.mp4": noise}, "w:gz")
    tars.write_bytes(tars.read_bytes()[:-50_000])
    assert short(tars) == [
        ("a.mp4", None), ("b.mp4", "unsupported_input"), (str(tars), "bad_archive")
    ]  # fmt: skip


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "v.zip", {"zeros.mp4": bytes(80_000_000), "a.mp4": content})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("head.mp4", content[:40] + bytes(80_000_000))
    monkeypatch.setattr(member.tempfile, "SpooledTemporaryFile", None)  # nothing is unpacked
    zeros, _, head = (item.value for item in collect(str(path), kind="video"))
    with pytest.raises(VideoError) as caught, Video(zeros) as video:
        len(video)
    assert caught.value.reason == "not_media"
    with pytest.raises(VideoError, match="taken for a bomb"), Video(head) as video:
        len(video)


def test_names_in_other_encodings(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("日本.mp4", "\x82\xa0.mp4", "é.mp4"):
            archive.writestr(zipfile.ZipInfo(name), content)
    data = path.read_bytes()
    # UTF-8 without saying so, and bytes of another encoding.
    data = data.replace("日本.mp4".encode(), "日本.mp4".encode())
    bare = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := bare.find(mark, start + 1)) >= 0:
            flags = int.from_bytes(bare[start + at : start + at + 2], "little") & ~0x800
            bare[start + at : start + at + 2] = flags.to_bytes(2, "little")
    path.write_bytes(bare)
    found = short(path)
    assert [reason for _, reason in found] == [None] * 3
    assert found[0][0] == "日本.mp4" and found[2][0] == "é.mp4"
    odd = tarred(tmp_path / "v.tar", {"\udcff.mp4": content})
    assert short(odd) == [("\udcff.mp4", None)]


def test_links_and_members_of_one_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.tar"
    with tarfile.open(path, "w") as archive:
        for target in ("/etc/passwd", "a.mp4"):
            info = tarfile.TarInfo("link.mp4")
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for _ in range(2):
            info = tarfile.TarInfo("./a.mp4")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("b.mp4")
        info.type, info.linkname = tarfile.LNKTYPE, "a.mp4"
        archive.addfile(info)
    told: list[str] = []
    found = list(collect(path, kind="video", notify=told.append))
    assert [(one.id, one.error and one.error.reason) for one in found] == [
        ("a.mp4", None),
        ("a.mp4#2", "duplicate_id"),
        ("b.mp4", "unsupported_input"),  # a hard link: a file that would be missed
    ]
    assert "passed over 2 files (link.mp4" in told[0]
    linked = tmp_path / "v.zip"
    with zipfile.ZipFile(linked, "w") as zip_file:
        info_of_link = zipfile.ZipInfo("link.mp4")
        info_of_link.external_attr = 0o120777 << 16
        zip_file.writestr(info_of_link, "/etc/passwd")
    assert short(linked) == [(str(linked), "not_found")]
