"""A web server of this machine that counts what it is asked for, and can misbehave."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[["Asked"], None]


class WebServer:
    """Serves `files` in parts, and what `answers` has in its own way.

    Args:
        host: An address of this machine.
        certificate: PEM with certificate and key, for https.
    """

    def __init__(self, host: str = "127.0.0.1", certificate: Path | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.connections = 0
        self.bytes_served = 0
        self.released = threading.Event()  # ends answers that wait
        self._server = _Server((host, 0), Asked)
        self._server.web = self
        scheme = "http"
        if certificate is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.origin = f"{scheme}://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()

    def put(self, name: str, content: bytes | Path) -> str:
        """Serve a file; return its URL."""
        self.files[f"/{name}"] = content if isinstance(content, bytes) else content.read_bytes()
        return f"{self.origin}/{name}"

    def put_answer(self, name: str, answer: Answer) -> str:
        """Answer in a way of its own; return the URL."""
        self.answers[f"/{name}"] = answer
        return f"{self.origin}/{name}"

    def forget(self) -> None:
        """Begin to count anew."""
        self.asked.clear()
        self.connections = self.bytes_served = 0

    def close(self) -> None:
        """Stop, when all answers are given."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


class Asked(BaseHTTPRequestHandler):
    """One connection; answers its requests."""

    protocol_version = "HTTP/1.1"
    timeout = 20

    @property
    def web(self) -> WebServer:
        return self.server.web  # type: ignore[attr-defined]

    def setup(self) -> None:
        self.web.connections += 1
        super().setup()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.web.asked.append((path, self.headers.get("Range")))
        answer = self.web.answers.get(path)
        if answer is not None:
            answer(self)
        elif path in self.web.files:
            self.give_range(self.web.files[path])
        else:
            self.give(404)

    def give(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Answer with all of some content."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.send(content)

    def give_range(self, content: bytes, *, cut_after: int | None = None, tag: str = "a") -> None:
        """Answer with the range asked for, perhaps hanging up in the middle of it."""
        start, stop = self.range_of(len(content))
        part = content[start:stop]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", f'"{tag}"')
        self.end_headers()
        self.send(part[:cut_after])
        self.close_connection = cut_after is not None

    def range_of(self, size: int) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert found, "every request asks for a range"
        return int(found[1]), min(int(found[2]) + 1, size)

    def send(self, content: bytes) -> None:
        self.web.bytes_served += len(content)
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the caller does not want all of it

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: WebServer

    def handle_error(self, *args: object) -> None:
        pass  # callers that hang up are what some tests are about
