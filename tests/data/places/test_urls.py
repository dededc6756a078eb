"""Inputs that a URL names: stores through fsspec, web servers, files of this machine."""

from __future__ import annotations

import gzip
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from temporal.data import DecodePool, Video, VideoError, collect
from temporal.data.places import copies

CLIP = "h264.mp4"


@pytest.fixture
def store() -> Iterator[Any]:
    """An empty store in memory, and no copies of former ones."""
    fs = fsspec.filesystem("memory")
    for made in (fs.store, copies._made):
        made.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a server of it that gives whole files only."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def short(url: Any, kind: Any = "video", **options: Any) -> list[tuple[str, str | None]]:
    items = collect(url, kind=kind, notify=lambda _: None, **options)
    return [(item.id, item.error and item.error.reason) for item in items]


def test_videos_of_a_store(store: Any, clips: Any) -> None:
    content = clips.path(CLIP).read_bytes()
    for name in ("b/z.mp4", "a.mp4", ".hidden/x.mp4", "notes.md"):
        store.pipe_file(f"/set/{name}", content)
    told: list[str] = []
    items = list(collect("memory://set", kind="video", notify=told.append))
    assert [item.id for item in items] == ["a.mp4", "b/z.mp4"] and "notes.md" in told[0]
    with Video(clips.path(CLIP)) as plain:
        expected = plain.read([3, 59])
    with Video(items[1].value) as video:
        assert (video.read([3, 59]) == expected).all()
    with DecodePool(1, 30.0) as pool:  # whose process has another memory
        assert (pool.open(items[0].value).read([3, 59]) == expected).all()
    found = [id for id, _ in short(["memory://set/*.mp4", "memory://set/b"])]
    assert found == ["memory:///set/a.mp4", "memory://set/b/z.mp4"]
    assert short("memory://set/a.mp4") == [("memory://set/a.mp4", None)]
    (gone,) = collect("memory://set/gone.mp4", kind="video")
    with pytest.raises(VideoError, match="not_found|no file"), Video(gone.value) as video:
        len(video)
    store.pipe_file("/set/empty.mp4", b"")
    (empty,) = collect("memory://set/empty.mp4", kind="video")
    with pytest.raises(VideoError, match="is empty"), Video(empty.value) as video:
        len(video)
    assert short("memory://set/no*.mp4") == [("memory://set/no*.mp4", "not_found")]


def test_tables_lists_and_archives_of_a_store(store: Any, clips: Any) -> None:
    content = clips.path(CLIP).read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in.mp4", content)
    table = (
        b"path,label,take\nclips/a.mp4,x,1\n../b.mp4,y,2\n/etc/c.mp4,z,3\ns3://other/d.mp4,w,4\n"
    )
    files = {
        "t.csv.gz": gzip.compress(table),
        "clips/a.mp4": content,
        "v.zip": packed.getvalue(),
        "l.txt": b"# two\nclips/a.mp4\n",
        "texts.jsonl": b'{"text": "one"}\n{"text": 2}\n',
    }
    for name, data in files.items():
        store.pipe_file(f"/set/{name}", data)
    items = list(collect("memory://set/t.csv.gz", kind="video", other_columns=None))
    assert [item.error and item.error.reason for item in items] == [
        *(None, "path_not_allowed", "path_not_allowed", None)
    ]
    assert dict(items[0].extra) == {"label": "x", "take": "1"}
    with Video(items[0].value) as video:
        assert len(video) == 60
    with pytest.raises(VideoError, match="names a protocol"), Video(items[3].value) as video:
        len(video)  # not what the caller named
    (item,) = collect("memory://set/l.txt", kind="video")
    with Video(item.value) as video:
        assert len(video) == 60
    (item,) = collect("memory://set/v.zip", kind="video")
    assert item.id == "in.mp4"
    with Video(item.value) as video:
        assert len(video) == 60
    assert short("memory://set", "text")[:1] == [("text-000000", None)]
    first, second = collect("memory://set/texts.jsonl", kind="text")
    assert first.value == "one" and second.error is not None
    assert "memory://set/texts.jsonl, row 2" in second.error.message


def test_a_url_in_a_cell_is_read_where_urls_are_allowed(store: Any, clips: Any) -> None:
    store.pipe_file("/set/a.mp4", clips.path(CLIP).read_bytes())
    (item,) = collect([{"video": "memory://set/a.mp4"}], kind="video")
    assert item.value == "memory://set/a.mp4"
    with Video(item.value, allow_remote=["s3://other", "memory://set/"]) as video:
        assert len(video) == 60
    for allowed in (False, True, ["https://example.org"], ["memory://se", "memory://set2"]):
        with (
            pytest.raises(VideoError, match="protocol"),
            Video(item.value, allow_remote=allowed) as v,
        ):
            len(v)


def test_files_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a b.csv").write_text("text\none\n")
    (tmp_path / "x.mp4").write_bytes(b"")
    url = (tmp_path / "a b.csv").as_uri()
    assert "%20" in url
    (item,) = collect(url, kind="text")
    assert item.value == "one"
    assert short(tmp_path.as_uri()) == [("x.mp4", None)]
    assert short((tmp_path / "gone.csv").as_uri(), "text")[0][1] == "not_found"
    assert short("file://elsewhere/a.csv", "text")[0][1] == "path_not_allowed"


@pytest.mark.parametrize(
    ("url", "reason", "said"),
    [
        ("nosuch://a/b.csv", "unsupported_input", "nosuch"),
        ("simplecache::memory://a/b.csv", "path_not_allowed", "other files"),
        ("zip://a.csv::memory://b.zip", "path_not_allowed", "other files"),
        ("ftp://user:secret@host/b.csv", "path_not_allowed", "password"),
        ("memory://gone.csv", "not_found", "no file memory://gone.csv"),
        ("http://[bad/b.csv", "not_found", "Invalid IPv6 URL"),
        ("http://127.0.0.1:port/b.csv", "not_found", "port"),
        ("http://", "unsupported_input", "texts are read from"),
        ("file://[bad/b.csv", "path_not_allowed", "no URL"),
        ("s3:///", "unsupported_input", "s3fs"),
    ],
)
def test_urls_that_cannot_be_had(store: Any, url: str, reason: str, said: str) -> None:
    (item,) = collect(url, kind="text")
    assert item.error is not None and item.error.reason == reason and said in item.error.message
    assert "secret" not in item.error.message


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def missing(name: str, *rest: Any, **options: Any) -> Any:
        if name.partition(".")[0] in ("s3fs", "gcsfs", "adlfs"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    for url, package in (
        ("s3://b/t.csv", "s3fs"),
        ("gs://b/t.csv", "gcsfs"),
        ("az://b/t.csv", "adlfs"),
    ):
        (item,) = collect(url, kind="text")
        assert item.error is not None and item.error.reason == "unsupported_input"
        assert f"pip install {package}" in item.error.message


def test_tables_of_a_web_server_that_gives_whole_files(web: tuple[Path, str], clips: Any) -> None:
    folder, origin = web
    (folder / "t.csv").write_text("text,label\none,1\ntwo,0\n")
    (folder / "v.csv").write_text("path\nclips/a b.mp4\n")
    with zipfile.ZipFile(folder / "v.zip", "w") as archive:
        archive.write(clips.path(CLIP), "in.mp4")
    items = list(collect(f"{origin}/t.csv?signature=secret", kind="text"))
    assert [item.value for item in items] == ["one", "two"]
    (item,) = collect(f"{origin}/v.csv", kind="video")
    # Where its videos may be read from is for the caller to say.
    assert item.value == f"{origin}/clips/a%20b.mp4" and item.id == "clips/a b.mp4"
    (item,) = collect(f"{origin}/v.zip", kind="video")
    with Video(item.value) as video:
        assert len(video) == 60
    (item,) = collect(f"{origin}/gone.csv?signature=secret", kind="text")
    assert item.error is not None and "404" in item.error.message
    assert "secret" not in item.id + item.error.message
    (item,) = collect("http://127.0.0.1:9/gone.csv", kind="text")
    assert item.error is not None and item.error.reason == "not_found"
