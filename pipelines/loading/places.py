"""Where a model or tokenizer lies: a folder here, or an id on the hub, found or refused at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache
from huggingface_hub.utils import HFValidationError, validate_repo_id

_PROXIES = ("https_proxy", "http_proxy", "all_proxy")
_PATIENCE_SECONDS = 3.0


def find_place(option: str, place: str, hub: Mapping[str, Any]) -> str:
    """A folder's path, or the hub id as it is.

    A path with a typing error looks like a hub id, and the hub's client asks for it again and
    again where there is no network. So what cannot be there is refused before.

    Args:
        option: what it was given as, for messages.
        place: a path or hub id.
        hub: options of `from_pretrained`.

    Raises:
        OSError: there is no such folder, and it is no id or the hub cannot be asked.
    """
    folder = Path(place).expanduser()
    if folder.is_dir():
        return str(folder)
    must = f"{option} ({place!r}) must be a folder with a saved model, or a hub id"
    if folder.exists():
        raise OSError(f"{must}: this is a file")
    if place.startswith((".", "~", "/")) or place.count("/") > 1 or "\\" in place:
        raise OSError(f"{must}: there is no such folder")
    if "/" in place and folder.parent.is_dir():
        near = sorted(path.name for path in folder.parent.iterdir() if path.is_dir())[:5]
        raise OSError(f"{must}: {folder.parent} has no such folder, but {near or 'none'}")
    try:
        validate_repo_id(place)
    except HFValidationError as error:
        raise OSError(f"{must}: {error}") from None
    known = try_to_load_from_cache(
        place, "config.json", cache_dir=hub.get("cache_dir"), revision=hub.get("revision")
    )
    if isinstance(known, str) or hub.get("proxies"):
        return place
    if is_offline_mode() or hub.get("local_files_only"):
        raise OSError(f"{must}: there is no such folder, and the hub must not be asked (offline)")
    why = _why_no_hub()
    if why is not None:
        raise OSError(f"{must}: there is no such folder, and the hub cannot be asked ({why})")
    return place


def _why_no_hub() -> str | None:
    """Why the hub cannot be reached; None where it can, or where only a proxy knows."""
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return None
    url = urlsplit(constants.ENDPOINT)
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname or "", port), timeout=_PATIENCE_SECONDS).close()
    except OSError as error:
        return f"{url.hostname}: {error}"
    return None
