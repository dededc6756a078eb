"""A stream's rows are gone through in order; what is remembered of them is not their videos."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import datasets
import pytest

from temporal.data.labelled.listed_clips import list_clips
from temporal.data.loading.reel import Reel
from temporal.data.loading.row import ClipRow
from temporal.data.loading.row_places import RowOf

from ..conftest import encode


class Content(bytes):
    """Bytes that say when they are gone."""


class Rows:
    """A stream of clips, whose rows are made as they come."""

    def __init__(self, count: int) -> None:
        self.count, self.made = count, 0
        self.alive: weakref.WeakSet[ClipRow] = weakref.WeakSet()
        self.most_alive = 0

    def rows(self) -> Any:
        for number in range(self.count):
            self.made += 1
            row = Row(id="clip", source=str(number).encode(), label="xy"[number % 2])
            self.alive.add(row)
            self.most_alive = max(self.most_alive, len(self.alive))
            yield row


class Row(ClipRow):
    """One that may be watched."""

    __slots__ = ("__weakref__",)


def test_a_reel_goes_on_and_begins_anew_only_to_go_back() -> None:
    rows = Rows(6)
    reel = Reel(rows.rows)
    assert [reel[k].source for k in (1, 1, 3)] == [b"1", b"1", b"3"]
    assert (reel.num_passes, rows.made) == (1, 4)
    assert reel[0].source == b"0" and reel.num_passes == 2
    with pytest.raises(IndexError, match="ends before its row 6"):
        reel[6]
    gc.collect()
    assert rows.most_alive <= 3


def test_clips_of_a_stream_are_known_by_their_content(tmp_path: Path) -> None:
    first = encode(tmp_path / "a.mp4", frames=8, b_frames=0).read_bytes()
    second = encode(tmp_path / "b.mp4", frames=12, b_frames=0).read_bytes()
    table = datasets.Dataset.from_list(
        [
            {"video": {"bytes": content, "path": "clip.mp4"}, "label": label}
            for content, label in ((first, "y"), (second, "x"), (first, "x"))
        ],
        features=datasets.Features({"video": datasets.Video(), "label": datasets.Value("string")}),
    )
    listed, streamed = list_clips(table), list_clips(table.to_iterable_dataset(num_shards=2))
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "a.mp4"]
    files = list_clips([{"path": str(p), "label": n} for p, n in zip(paths, "yxx", strict=True)])
    for found in (listed, streamed):
        assert found.names == files.names == ["x", "y"]
        assert [clip.label for clip in found.clips] == [1, 0, 0]
        assert [clip.digest for clip in found.clips] == [clip.digest for clip in files.clips]
        assert [clip.path for clip in found.clips] == ["clip.mp4", "clip.mp4#2", "clip.mp4#3"]
        assert [len(clip.open()) for clip in found.clips] == [8, 12, 8]
    place = streamed.clips[0].place
    assert isinstance(place, RowOf) and place.rows.num_passes == 2  # listed, then read in order
