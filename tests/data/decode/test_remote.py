"""Videos behind URLs: the same frames, no more bytes than needed, and nobody asked without leave.

All servers are on this machine.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from temporal.data import DecodePool, Video, VideoError
from temporal.data.decode.remote import file as remote
from temporal.data.decode.remote import ranges, urls
from temporal.data.decode.remote.file import BLOCK_BYTES, MAX_BLOCKS

from ..zoo.watch import Listener
from ..zoo.web import Asked, WebServer

MOVED = {"Content_Type": "text/html"}


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Over 16 blocks of noise: each frame is a keyframe of some 300 kB."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuvj420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        for _ in range(80):
            image = random.integers(0, 256, (480, 640, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert path.stat().st_size > (MAX_BLOCKS + 4) * BLOCK_BYTES
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> dict[str, Path]:
    """Some 50 blocks of 64 kB in each of several containers."""
    folder = tmp_path_factory.mktemp("noise")
    made = {suffix: folder / f"noise.{suffix}" for suffix in ("mp4", "mkv", "avi", "ts", "flv")}
    random = np.random.default_rng(0)
    with contextlib.ExitStack() as stack:
        for path in made.values():
            container = stack.enter_context(av.open(str(path), "w"))
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            stream.codec_context.gop_size = 6
            stream.options = {"preset": "ultrafast", "crf": "20"}
            for _ in range(48):
                image = random.integers(0, 256, (240, 320, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    return made


def reason_of(source: str, allow_remote: object) -> str:
    with pytest.raises(VideoError) as caught, Video(source, allow_remote=allow_remote) as video:
        len(video)
    return caught.value.reason


# Reading


def test_frames_are_those_of_the_file(web, clips, clip_name):
    url = web.put(clip_name, clips.path(clip_name))
    with Video(clips.path(clip_name)) as local, Video(url, allow_remote=[web.origin]) as video:
        assert video.id == url
        assert np.array_equal(video.index.timestamps_seconds, local.index.timestamps_seconds)
        frames = [len(local) - 1, 3, 30]
        assert np.array_equal(video.read_array(frames), local.read_array(frames))
        assert video.spent.frames_decoded == local.spent.frames_decoded
    assert len(web.asked) == 1  # it is smaller than a block
    assert web.connections == 1


def test_without_leave_nobody_is_asked(web, clips):
    url = web.put("a.mp4", clips.path("h264.mp4"))
    for allow_remote in (False, []):
        assert reason_of(url, allow_remote) == "path_not_allowed"
    assert reason_of(url, True) == "path_not_allowed"  # not https
    assert reason_of(url, ["http://127.0.0.1:1", "https://example.org"]) == "path_not_allowed"
    assert web.connections == 0


def test_a_film_is_fetched_in_blocks_and_only_where_it_is_read(web, film):
    size = film.stat().st_size
    # Behind the film lies what nobody needs: a box that says it is free.
    padding = (20 << 20).to_bytes(4, "big") + b"free" + bytes((20 << 20) - 8)
    url = web.put("film.mp4", film.read_bytes() + padding)
    with Video(film) as local, Video(url, allow_remote=[web.origin]) as video:
        assert len(video) == 80
        # All packets are demuxed for the index; the first block and the last are looked at before,
        # and no longer kept when they are needed again.
        assert web.bytes_served <= size + 3 * BLOCK_BYTES
        assert len(web.asked) <= size // BLOCK_BYTES + 3
        assert web.connections == 1
        web.forget()
        assert np.array_equal(video.read_array([79, 78]), local.read_array([79, 78]))
        assert len(web.asked) == 0  # among the last blocks of the index
        assert np.array_equal(video.read_array([5]), local.read_array([5]))
        assert 1 <= len(web.asked) <= 2
        assert web.bytes_served <= 2 * BLOCK_BYTES


def test_a_stream_fetches_what_it_has_come_to(web, film):
    url = web.put("film.mp4", film)
    with Video(url, allow_remote=[web.origin]) as video:
        stream = video.stream(0.2)
        found = [next(stream).timestamp_seconds for _ in range(3)]
        stream.close()
    assert found == pytest.approx([0.0, 0.2, 0.4])
    assert web.bytes_served <= 5 * BLOCK_BYTES


def test_decord_would_fetch_it_all_and_does_not_read_it(web, clips):
    url = web.put("a.mp4", clips.path("h264_no_b.mp4"))
    with Video(url, backend="decord", allow_remote=[web.origin]) as video:
        assert video.backend == "pyav"


def test_closed_videos_hang_up_and_connect_again(web, clips):
    url = web.put("a.mp4", clips.path("h264.mp4"))
    with Video(url, allow_remote=[web.origin]) as video:
        first = video.read_array([30])
    assert np.array_equal(video.read_array([30]), first)
    assert web.connections == 2
    video.close()


def test_videos_that_nobody_closed_hang_up(web, film):
    video = Video(web.put("film.mp4", film), allow_remote=[web.origin])
    video.read_array([1])
    client = video._opening._checked.file._client
    assert client._connection is not None
    del video
    gc.collect()  # a socket that is found open here is an error
    assert client._connection is None


def test_it_pickles_as_its_url_and_its_leave(web, film):
    url = web.put("film.mp4", film)
    video = Video(url, allow_remote=[web.origin])
    with Video(film) as local, video:
        video.read_array([1])
        web.forget()
        written = pickle.dumps(video)
        assert web.asked == []
        assert len(written) < 1000
        with pickle.loads(written) as copy:
            assert np.array_equal(copy.read_array([2]), local.read_array([2]))


def test_workers_read_it_with_leave(web, clips):
    images, _ = clips.truth("h264.mp4")
    url = web.put("a.mp4", clips.path("h264.mp4"))
    with DecodePool(1, 60.0) as pool:
        video = pool.open(url, allow_remote=[web.origin])
        assert np.array_equal(video.read([50, 7]).numpy(), images[[50, 7]])
        connections = web.connections
        with pytest.raises(VideoError, match="path_not_allowed"):
            len(pool.open(url))
    assert web.connections == connections


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_connects_anew(web, clips):
    images, _ = clips.truth("h264.mp4")
    video = Video(web.put("a.mp4", clips.path("h264.mp4")), allow_remote=[web.origin])
    with video:
        video.read_array([0, 20])
        child = os.fork()
        if child == 0:
            same = np.array_equal(video.read_array([33])[0], images[33])
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert web.connections == 2
        assert np.array_equal(video.read_array([21])[0], images[21])


def test_workers_need_neither_torch_nor_fsspec_for_local_files():
    check = (
        "import sys, temporal.data.decode.isolation.worker as w; "
        "assert not {'torch', 'fsspec', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd="/")


# Leave


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/a.mp4",
        "memory://a.mp4",
        "file://127.0.0.1.example.org/etc/passwd",
        "data:video/mp4;base64,AAAA",
        "ftp://127.0.0.1:{port}/a.mp4",
        "tcp://127.0.0.1:{port}",
        "concat:http://127.0.0.1:{port}/a.mp4",
        "subfile,,start,0,end,9,,:http://127.0.0.1:{port}/a.mp4",
        "async:https://127.0.0.1:{port}/a.mp4",
        "simplecache::http://127.0.0.1:{port}/a.mp4",
        "https://user:secret@127.0.0.1:{port}/a.mp4",
        "https://127.0.0.1:{port}/a.mp4",
        "https://localhost:{port}/a.mp4",
        "https://2130706433:{port}/a.mp4",
        "https://[::ffff:127.0.0.1]:{port}/a.mp4",
        "https://10.0.0.1:{port}/a.mp4",
        "https://169.254.169.254/latest/meta-data",
        "HTTPS://127.1:{port}/a.mp4",
        "http://127.0.0.1:{port}/a.mp4",
    ],
)
def test_what_is_refused_with_leave_is_not_asked(listener, address):
    assert reason_of(address.format(port=listener.port), True) == "path_not_allowed"
    assert listener.calls == 0


@pytest.mark.parametrize("address", ["https://", "https://a b/c", "https://a:x/", "https://a\\@b/"])
def test_what_is_no_url_is_not_found(address):
    assert reason_of(address, True) == "not_found"


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_which_addresses_are_public(address, is_public):
    place = urls.permit("https://example.org/a.mp4", True)
    if is_public:
        urls.check_address(address, place, True)
    else:
        with pytest.raises(VideoError, match="not on the public internet"):
            urls.check_address(address, place, True)


@pytest.mark.parametrize(
    "origins", [["127.0.0.1"], ["ftp://a"], ["http://a/b"], ["http://a?b"], ["https://u@a"], [1]]
)
def test_leave_names_origins(origins):
    with pytest.raises(ValueError, match="must be an origin"):
        Video("a.mp4", allow_remote=origins)


@pytest.mark.parametrize("allow_remote", ["https://example.org", None, 1])
def test_leave_is_a_bool_or_a_list(allow_remote):
    with pytest.raises(TypeError, match="allow_remote"):
        Video("a.mp4", allow_remote=allow_remote)


def test_origins_are_compared_with_their_port():
    permission = urls.check_permission(["https://Example.org", "http://[::1]:80/"])
    for url in ("https://example.org:443/a", "HTTPS://EXAMPLE.org/a?b#c", "http://[::1]/x"):
        urls.permit(url, permission)
    for url in ("http://example.org/", "https://example.org:8/", "https://example.org.evil/"):
        with pytest.raises(VideoError, match="path_not_allowed"):
            urls.permit(url, permission)


# Redirects


def test_redirects_within_the_leave_are_followed_once(web, film):
    web.put("film.mp4", film)
    url = web.put_answer("old", lambda asked: asked.give(302, Location="/film.mp4?x=1", **MOVED))
    with Video(film) as local, Video(url, allow_remote=[web.origin]) as video:
        assert np.array_equal(video.read_array([40]), local.read_array([40]))
    assert [path for path, _ in web.asked].count("/old") == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/a.mp4",
        "//127.0.0.1:{port}/a.mp4",
        "https://127.0.0.1:{port}/a.mp4",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/",
        "data:video/mp4,",
    ],
)
def test_redirects_out_of_the_leave_are_not(web, listener, target):
    target = target.format(port=listener.port)
    url = web.put_answer("a", lambda asked: asked.give(307, Location=target))
    assert reason_of(url, [web.origin]) == "path_not_allowed"
    assert listener.calls == 0


def test_redirects_in_a_circle_end(web):
    url = web.put_answer("a", lambda asked: asked.give(302, Location="/a"))
    assert reason_of(url, [web.origin]) == "not_found"
    assert len(web.asked) < 10


@pytest.mark.parametrize("target", ["", "http://[x/", "/\xe4", "https://a:99999/"])
def test_redirects_to_nowhere_are_not_found(web, target):
    url = web.put_answer("a", lambda asked: asked.give(302, Location=target))
    assert reason_of(url, [web.origin]) == "not_found"


def test_where_it_redirected_to_may_expire(web, film):
    content, places = film.read_bytes(), ["/one", "/two"]

    def one(asked: Asked) -> None:  # signed for three blocks
        if int(asked.range_of(len(content))[0]) >= 3 * BLOCK_BYTES:
            asked.give(403)
        else:
            asked.give_range(content)

    web.answers["/one"] = one
    web.put("two", content)
    url = web.put_answer("a", lambda asked: asked.give(302, Location=places.pop(0)))
    with Video(url, allow_remote=[web.origin]) as video:
        assert len(video) == 80
    assert places == []


# https


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    names = "subjectAltName=IP:127.0.0.1,IP:127.0.0.2"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += [
        "-subj",
        "/CN=test",
        "-addext",
        names,
        "-keyout",
        path,
        "-out",
        path.with_suffix(""),
    ]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix("").read_bytes())
    return path


@pytest.fixture
def secure(certificate, monkeypatch) -> Iterator[WebServer]:
    """An https server on the only address that counts as public."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(urls, "_is_public", lambda address: address == "127.0.0.1")
    server = WebServer(certificate=certificate)
    yield server
    server.close()


def test_https_is_read_with_general_leave(secure, clips):
    images, _ = clips.truth("h264.mp4")
    with Video(secure.put("a.mp4", clips.path("h264.mp4")), allow_remote=True) as video:
        assert np.array_equal(video.read_array([50, 7]), images[[50, 7]])


def test_https_needs_a_certificate_that_is_trusted(secure, monkeypatch, clips):
    monkeypatch.delenv("SSL_CERT_FILE")
    url = secure.put("a.mp4", clips.path("h264.mp4"))
    assert reason_of(url, True) == "path_not_allowed"
    assert secure.asked == []


def test_no_redirect_leads_from_the_internet_to_a_private_network(secure, certificate, web):
    private = WebServer("127.0.0.2", certificate)
    try:
        for number, target in enumerate((private.origin, web.origin)):  # the latter: http
            url = secure.put_answer(
                str(number), lambda asked, target=target: asked.give(301, Location=f"{target}/x")
            )
            assert reason_of(url, True) == "path_not_allowed"
        assert private.connections == web.connections == 0
    finally:
        private.close()


# Faults


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "not_found"),
        (410, "not_found"),
        (401, "not_found"),
        (403, "not_found"),
        (500, "not_found"),
        (302, "not_found"),
        (416, "not_media"),
    ],
)
def test_refusals_have_their_reason(web, status, reason):
    url = web.put_answer("a", lambda asked: asked.give(status))
    with pytest.raises(VideoError) as caught:
        len(Video(url + "?signature=secret", allow_remote=[web.origin]))
    assert caught.value.reason == reason
    assert "secret" not in str(caught.value)


def test_files_that_are_no_videos_are_refused(web):
    for content, reason in ((b"<html>", "not_media"), (b"\x89PNG\r\n\x1a\n", "not_video")):
        assert reason_of(web.put("a", content), [web.origin]) == reason
    assert (
        reason_of(web.put_answer("b", lambda asked: asked.give(200)), [web.origin]) == "not_media"
    )


def test_what_a_playlist_names_is_not_asked_for(web, listener):
    lines = f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{listener.port}/a.ts\n"
    assert reason_of(web.put("a.m3u8", lines.encode()), [web.origin]) == "not_media"
    assert listener.calls == 0


def _give_all(asked: Asked) -> None:
    asked.give(200, b"\0\0\0\x08ftyp" * 10)


def _give_compressed(asked: Asked) -> None:
    headers = {"Content_Encoding": "gzip", "Content_Range": "bytes 0-9/10"}
    asked.give(206, b"0123456789", **headers)


def _give_other(asked: Asked) -> None:
    asked.give(206, b"0123456789", Content_Range="bytes 5-14/90")


def _give_unsized(asked: Asked) -> None:
    asked.give(206, b"0123456789", Content_Range="bytes 0-9/*")


@pytest.mark.parametrize("answer", [_give_all, _give_compressed, _give_other, _give_unsized])
def test_servers_without_ranges_are_named(web, answer):
    url = web.put_answer("a.mp4", answer)
    with pytest.raises(VideoError, match="download") as caught:
        len(Video(url, allow_remote=[web.origin]))
    assert caught.value.reason == "not_regular_file"


def test_nobody_there_is_not_found(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert reason_of(f"{origin}/a.mp4", [origin]) == "not_found"

    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert reason_of("https://no.example/a.mp4", True) == "not_found"
    monkeypatch.undo()
    assert reason_of(f"https://{'a' * 70}.example/a.mp4", True) == "not_found"


def test_a_connection_that_breaks_is_taken_up_again(web, film):
    content, cuts = film.read_bytes(), [1000, 700_000, 5, 0, 0, 300_000]
    url = web.put_answer(
        "film.mp4", lambda asked: asked.give_range(content, cut_after=cuts.pop(0) if cuts else None)
    )
    with Video(film) as local, Video(url, allow_remote=[web.origin]) as video:
        assert np.array_equal(video.read_array([0, 60]), local.read_array([0, 60]))
    assert cuts == []
    assert web.bytes_served < len(content) + 8 * BLOCK_BYTES  # nothing is asked for twice


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "flv"])
def test_a_lost_connection_is_an_error_and_the_next_read_begins_anew(
    web, noise, monkeypatch, suffix, capfd
):
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(remote, "MAX_BLOCKS", 1)
    path = noise[suffix]
    content = path.read_bytes()
    is_down = True

    def answer(asked: Asked) -> None:
        is_late = asked.range_of(len(content))[0] > len(content) // 2
        asked.give_range(content, cut_after=0 if is_down and is_late else None)

    def lose(call) -> None:
        with pytest.raises(VideoError) as caught:
            call()
        assert caught.value.reason == "truncated"

    url = web.put_answer(path.name, answer)
    with Video(path) as local, Video(url, allow_remote=[web.origin]) as video:
        last = len(local) - 1
        lose(lambda: len(video))
        lose(lambda: [frame.timestamp_seconds for frame in video.stream(0)])
        is_down = False
        assert len(video) == len(local)
        for _ in range(2):
            video.read_array([0])
            is_down = True
            lose(lambda: video.read_array([last]))
            asked = len(web.asked)
            is_down = False
            assert np.array_equal(video.read_array([last]), local.read_array([last]))
            assert len(web.asked) > asked
    assert "dropped" not in capfd.readouterr().err  # PyAV prints errors that it cannot raise


def _say_nothing(asked: Asked) -> None:
    asked.web.released.wait(10)


def _begin_and_stop(asked: Asked) -> None:
    asked.send_response(206)
    asked.send_header("Content-Range", "bytes 0-99/100")
    asked.send_header("Content-Length", "100")
    asked.end_headers()
    asked.wfile.write(b"\0\0\0\x18ftyp")
    asked.web.released.wait(10)


def _drip(asked: Asked) -> None:
    """A byte now and then: each alone comes in good time, and after them another answer."""
    asked.wfile.write(b"HTTP/1.1 404 No\r\nX: ")
    for _ in range(60):
        if asked.web.released.wait(0.05):
            return
        asked.wfile.write(b"x")
    asked.wfile.write(b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("answer", [_say_nothing, _begin_and_stop, _drip])
def test_slow_servers_time_out(web, monkeypatch, answer):
    monkeypatch.setattr(ranges, "RANGE_SECONDS", 0.4)
    assert reason_of(web.put_answer("a.mp4", answer), [web.origin]) == "timeout"


def test_a_file_that_changes_is_not_read_on(web, film):
    content, tags = film.read_bytes(), ["a", "a"]
    url = web.put_answer(
        "a.mp4", lambda asked: asked.give_range(content, tag=tags.pop(0) if tags else "b")
    )
    assert reason_of(url, [web.origin]) == "corrupt"
