"""The list of an mp4's packets is what walking through them tells, or it is not believed."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from temporal.data import Video, VideoError
from temporal.data.decode.packets import listed, walk
from temporal.data.decode.packets.index import Packets, VideoIndex

from ..zoo.broken import BROKEN
from ..zoo.corruption import GOOD, corrupt, make_good
from ..zoo.kind import Kind
from ..zoo.making import encode
from ..zoo.unusual import UNUSUAL

KINDS = [
    kind for kind in (*UNUSUAL, *BROKEN) if kind.name.endswith((".mp4", ".mov", ".m4v", ".3gp"))
]


def said(path: Path) -> dict[str, Any] | tuple[str, str]:
    """All that an index says of a file, or why there is none."""
    try:
        with Video(path) as video:
            index = video.index
    except VideoError as error:
        return error.reason, str(error)
    found = {field.name: getattr(index, field.name) for field in fields(VideoIndex)}
    packets = found.pop("packets")
    return found | {f"packets.{f.name}": getattr(packets, f.name) for f in fields(Packets)}


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, tuple) or isinstance(other, tuple):
        assert one == other
        return
    for name, mine in one.items():
        if isinstance(mine, np.ndarray):
            assert mine.dtype == other[name].dtype, name
            assert np.array_equal(mine, other[name]), name
            assert not mine.flags.writeable, name
        else:
            assert mine == other[name], name


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asserts that a file's index is the same with a list and without, and says who made it."""

    def compare(path: Path) -> bool:
        used: list[bool] = []
        whole = walk._from_list

        def noted(*args: Any) -> Any:
            used.append(True)
            return whole(*args)

        monkeypatch.setattr(listed, "_MANY", 1 << 40)
        walked = said(path)
        monkeypatch.setattr(listed, "_MANY", 1)
        monkeypatch.setattr(walk, "_COMPARED", 4)
        monkeypatch.setattr(walk, "_from_list", noted)
        assert_same(said(path), walked)
        monkeypatch.setattr(walk, "_from_list", whole)
        return bool(used)

    return compare


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_list_says_what_the_packets_say(kind: Kind, tmp_path: Path, both: Any) -> None:
    path = tmp_path / kind.name
    kind.make(path)
    if path.is_file():
        both(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"b_frames": 3},
        {"b_frames": 3, "muxing": {"movflags": "faststart"}},
        {"b_frames": 2, "muxing": {"movflags": "negative_cts_offsets"}},
        {"options": {"slices": "3"}},
        {"ticks": [k * 40 + 7 * (k % 5) for k in range(90)]},
        {"codec": "libx265", "b_frames": 2},
        {"size": (16, 16), "gop": 90, "b_frames": 2},
    ],
)
def test_ordinary_files_are_listed(options: dict[str, Any], tmp_path: Path, both: Any) -> None:
    assert both(encode(tmp_path / "a.mp4", **{"frames": 90, "gop": 12, **options}))


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "mpeg4"},
        {"options": {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}, "b_frames": 3},
        {"b_frames": 2, "muxing": {"movflags": "frag_keyframe+empty_moov"}},
    ],
)
def test_others_are_walked(options: dict[str, Any], tmp_path: Path, both: Any) -> None:
    assert not both(encode(tmp_path / "a.mp4", **{"frames": 90, "gop": 12, **options}))


def test_a_list_that_the_packets_do_not_bear_out_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", frames=90, gop=12, b_frames=2)
    walked = said(path)
    whole = listed.read_sample_tables

    where = 0

    def lying(file: Any, track: int) -> Any:
        tables = whole(file, track)
        assert tables is not None
        tables.offsets[where] += 1
        return tables

    monkeypatch.setattr(listed, "_MANY", 1)
    monkeypatch.setattr(listed, "read_sample_tables", lying)
    for place in (3, 88):  # at the beginning, and at the end
        where = place
        assert_same(said(path), walked)
    with Video(path) as video:  # and what was opened anew reads
        assert len(video.read([0, 45, 89])) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(600))
def test_damage_is_told_alike(seed: int, tmp_path: Path, both: Any) -> None:
    name = ("h264.mp4", "hevc.mp4")[seed % 2]
    assert name in GOOD
    path = tmp_path / name
    path.write_bytes(corrupt(make_good(name, tmp_path), seed))
    both(path)
