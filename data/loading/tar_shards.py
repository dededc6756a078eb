"""Tar archives of clips as WebDataset has them: `name.mp4` beside `name.cls` or `name.json`.

Only headers and labels are read here. A clip is read when its turn comes, from its place in the
archive, so that clips of many archives can be shuffled among each other.
"""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from ..decode.errors import VideoError
from ..decode.remote.file import open_remote
from ..decode.remote.urls import AllowRemote, check_permission, is_url
from ..item import InputError
from ..media import MEDIA_SUFFIXES
from ..places.tar_files import TarFault, tar_files
from .row import CELLS, ClipRow, Member, bad_row, make_row

_MAX_LABEL_BYTES = 1 << 20


def open_archive(path: str, allow_remote: AllowRemote) -> BinaryIO:
    """Open an archive, or a permitted URL of one, for reading in parts.

    Raises:
        OSError, VideoError: It cannot be opened.
    """
    if is_url(path):
        return open_remote(path, check_permission(allow_remote))
    return open(path, "rb")


def read_member(member: Member, allow_remote: AllowRemote) -> bytes:
    """Read a file out of its archive.

    Raises:
        OSError, VideoError: It cannot be read, or ends early.
    """
    with open_archive(member.archive, allow_remote) as file:
        file.seek(member.offset)
        content = file.read(member.num_bytes)
    if len(content) < member.num_bytes:
        raise VideoError("truncated", f"{member.archive} ends within a clip")
    return content


def shard_rows(
    paths: Iterable[str], allow_remote: AllowRemote = False, *, several: bool = False
) -> Iterator[ClipRow]:
    """Yield the clips of archives, in their order; what is broken becomes a row with an error.

    Args:
        paths: Uncompressed tar archives. Files that belong together have the same name up to the
            first dot and follow each other. The label is the content of `.cls` or `label` in
            `.json`, which may also hold group, camera, split, start_seconds and end_seconds.
        allow_remote: Which URLs may be read.
        several: Clips may have several labels; see `make_row`.
    """
    for path in paths:
        try:
            with open_archive(path, allow_remote) as file:
                yield from _archive_rows(path, file, several)
        except (OSError, VideoError) as error:
            message = f"{path}: {getattr(error, 'strerror', None) or error}"
            yield ClipRow(id=path, error=InputError(reason="not_found", message=message))


def _archive_rows(path: str, file: BinaryIO, several: bool) -> Iterator[ClipRow]:
    key: str | None = None
    sample: dict[str, Any] = {}
    for found in tar_files(path, file):
        if isinstance(found, TarFault):
            yield bad_row(f"{path}{found.place}", found.message)
            continue
        name = PurePosixPath(found.info.name)
        own = str(name.parent / name.name.partition(".")[0])
        if own != key:
            yield from _sample_row(path, key, sample, several)
            key, sample = own, {}
        if found.is_cut:
            sample["problem"] = f"{found.info.name} is cut off where the archive ends"
        else:
            _take(sample, found.info, path, file)
    yield from _sample_row(path, key, sample, several)


def _take(sample: dict[str, Any], info: tarfile.TarInfo, path: str, file: BinaryIO) -> None:
    """Note one file of a sample."""
    suffix = PurePosixPath(info.name).suffix.lower()
    if suffix in MEDIA_SUFFIXES:
        if "member" in sample:
            sample["problem"] = f"{info.name} is a second video of that name"
        sample["member"], sample["name"] = Member(path, info.offset_data, info.size), info.name
    elif suffix in (".cls", ".json") and info.size <= _MAX_LABEL_BYTES:
        place = file.tell()
        file.seek(info.offset_data)
        content = file.read(info.size)
        file.seek(place)
        try:
            sample.update(_cells(suffix, content))
        except ValueError as error:
            sample["problem"] = f"{info.name} tells no label: {error}"


def _cells(suffix: str, content: bytes) -> Mapping[str, Any]:
    if suffix == ".cls":
        return {"label": content.decode("utf-8")}
    told = json.loads(content)
    if not isinstance(told, dict):
        return {"label": told}
    return {name: told[name] for name in CELLS if told.get(name) is not None}


def _sample_row(
    path: str, key: str | None, sample: dict[str, Any], several: bool
) -> Iterator[ClipRow]:
    """The row of the files that share a name, if there is a video or a fault among them."""
    if "problem" in sample:
        with contextlib.suppress(KeyError):
            key = sample["name"]
        yield bad_row(f"{path}/{key}", f"{path}: {sample['problem']}")
    elif "member" in sample:
        yield make_row(f"{path}/{sample['name']}", sample["member"], sample, several=several)
