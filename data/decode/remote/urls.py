"""Which URLs may be read: what `allow_remote` permits, for the first request and every redirect."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import VideoError

AllowRemote = bool | Sequence[str]
"""No URL; any `https` URL on the public internet (True); or only URLs of these origins."""

Permission = bool | tuple[str, ...]
"""`AllowRemote`, checked: origins with their port, in lower case."""

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"https?://", re.IGNORECASE)
_NOT_IN_URLS = re.compile(r"[^!-~]|\\")  # parsers disagree about these
_BUCKET = re.compile(r"(?:s3a?|gs|gcs|az|abfss?|adl|oss|memory)://[^/?#:]+")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A URL that may be asked for."""

    scheme: str
    """`"http"` or `"https"`."""

    host: str
    """Name or address."""

    port: int
    """Where it listens."""

    target: str
    """Path and query, as the request has them."""

    url: str
    """The URL without its fragment."""

    @property
    def name(self) -> str:
        """How messages call it: without the query, which may hold a signature."""
        return self.url.partition("?")[0]


def is_url(source: object) -> bool:
    """Whether a source is an http(s) URL; all other schemes are refused as paths."""
    return isinstance(source, str) and _URL.match(source) is not None


def check_permission(allow_remote: Any) -> Permission:
    """Check what a caller gave as `allow_remote`.

    Raises:
        TypeError: It is neither a bool nor a sequence of strings.
        ValueError: One of them is not an origin (`"https://media.example.org"`).
    """
    if isinstance(allow_remote, bool):
        return allow_remote
    if isinstance(allow_remote, str) or not isinstance(allow_remote, Sequence):
        raise TypeError(
            f"allow_remote ({allow_remote!r}) must be True, False or a list of origins such as "
            "['https://media.example.org', 'http://localhost:8000']"
        )
    return tuple(_check_origin(origin) for origin in allow_remote)


def permits_bucket(url: str, permission: Permission) -> bool:
    """Whether a URL is of an object store's bucket that was listed (`s3://bucket`)."""
    listed = permission if isinstance(permission, tuple) else ()
    return any(url.startswith(f"{origin}/") for origin in listed if _BUCKET.fullmatch(origin))


def _check_origin(origin: str) -> str:
    if isinstance(origin, str) and _BUCKET.fullmatch(origin.rstrip("/")):
        return origin.rstrip("/")
    try:
        parts, port = _split(origin)
    except (VideoError, AttributeError, TypeError):
        parts, port = urlsplit(""), 0
    if parts.path not in ("", "/") or parts.query or parts.fragment or not parts.hostname:
        raise ValueError(
            f"allow_remote: {origin!r} must be an origin: http or https, a host, perhaps a port, "
            "and nothing behind it ('http://localhost:8000'); or a bucket ('s3://bucket')"
        )
    return _origin(parts.scheme, parts.hostname, port)


def _origin(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def permit(url: str, permission: Permission) -> Place:
    """Decide whether a URL may be asked for; nothing is looked up yet.

    Raises:
        VideoError: `path_not_allowed`; `not_found` where it is no URL.
    """
    parts, port = _split(url)
    assert parts.hostname is not None
    shown = url.partition("?")[0]
    if isinstance(permission, tuple):
        if _origin(parts.scheme, parts.hostname, port) not in permission:
            raise VideoError(
                "path_not_allowed",
                f"{shown} is not of an origin that allow_remote lists ({', '.join(permission)})",
            )
    elif not permission or parts.scheme != "https":
        raise VideoError(
            "path_not_allowed",
            f"{shown} is not https, all that allow_remote=True allows; to read it over http, "
            "list its origin: allow_remote=['http://host:port']",
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port,
        target=target,
        url=parts._replace(fragment="").geturl(),
    )


def follow_redirect(place: Place, location: str, permission: Permission) -> Place:
    """Decide whether a redirect may be followed, as `permit` decides about its target."""
    try:
        target = urljoin(place.url, location)
    except ValueError as error:
        raise VideoError("not_found", f"{place.name} redirects to no URL: {error}") from error
    return permit(target, permission)


def check_address(address: str, place: Place, permission: Permission) -> None:
    """Refuse to connect to this machine or its network, unless the origin was listed.

    Called with the address that is connected to, so neither a redirect nor a name server that
    changes its mind gets by.

    Raises:
        VideoError: `path_not_allowed`.
    """
    if isinstance(permission, tuple) or _is_public(address):
        return
    raise VideoError(
        "path_not_allowed",
        f"{place.name} leads to {address}, which is not on the public internet; if it may be "
        f"read, list its origin: allow_remote=['{_origin(place.scheme, place.host, place.port)}']",
    )


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        # IPv4 addresses that are written as IPv6 ones.
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


def _split(url: str) -> tuple[SplitResult, int]:
    """Take a URL apart: (its parts, its port)."""
    shown = url.partition("?")[0]
    if _NOT_IN_URLS.search(url):
        raise VideoError(
            "not_found", f"{shown!r} has characters that no URL has; percent-encode them"
        )
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise VideoError("not_found", f"{shown!r} is no URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise VideoError("path_not_allowed", f"{shown} is neither https nor http")
    if not parts.hostname:
        raise VideoError("not_found", f"{shown!r} names no host")
    if parts.username is not None or parts.password is not None:
        raise VideoError(
            "path_not_allowed",
            f"the URL on {parts.hostname} holds a user name or password, which would stand in "
            "results and messages; fetch it to a file first",
        )
    return parts, port
