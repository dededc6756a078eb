"""An HTTP connection to an address that was checked, under one deadline for all that it does.

The standard library's client and not an asynchronous one: it has no thread and no loop that a fork
would copy, and the address of each connection can be checked before it is made. Proxies that the
environment names are not used: behind them, nobody could say where a request goes.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any, cast

from .urls import Permission, Place, check_address


class Connection(http.client.HTTPConnection):
    """A connection to a checked address, on which no wait outlasts the deadline.

    Args:
        place: Where to.
        permission: Decides which addresses are good.
    """

    deadline: float
    """On the clock of `time.monotonic`; to be set before each request."""

    def __init__(self, place: Place, permission: Permission) -> None:
        super().__init__(place.host, place.port)
        self.deadline = 0.0
        self.default_port = 443 if place.scheme == "https" else 80  # left out of `Host`
        self._place = place
        self._permission = permission

    def connect(self) -> None:
        """Connect to the first address that answers; called by `request`.

        Raises:
            VideoError: `path_not_allowed`: the name leads to an address that is not permitted.
            OSError: No address answers; `TimeoutError` at the deadline.
        """
        place = self._place
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # a label that is too long or empty
            raise OSError(f"{place.host} is no name of a host") from error
        for *_, address in found:
            check_address(str(address[0]), place, self._permission)
        for number, (family, kind, protocol, _, address) in enumerate(found):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(self.seconds_left() / (len(found) - number))
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                break
            except OSError:
                plain.close()
                if number == len(found) - 1:
                    raise
        try:
            if place.scheme == "https":
                plain.settimeout(self.seconds_left())
                context = ssl.create_default_context()
                plain = context.wrap_socket(plain, server_hostname=place.host)
        except BaseException:
            plain.close()
            raise
        self.sock = cast(socket.socket, _Wire(plain, self))

    def seconds_left(self) -> float:
        """Time until the deadline.

        Raises:
            TimeoutError: None is left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _Wire:
    """A socket as `http.client` uses it. A server that sends one byte now and then gains no time.

    A socket's own timeout counts anew with every byte.
    """

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self._socket = sock
        self._connection = connection

    def sendall(self, data: Any) -> None:
        """Send a request."""
        self._socket.settimeout(self._connection.seconds_left())
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Open what comes for reading; it outlives `close`, as with sockets."""
        return io.BufferedReader(_Incoming(self._socket, self._connection))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class _Incoming(io.RawIOBase):
    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        super().__init__()
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._connection.seconds_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
