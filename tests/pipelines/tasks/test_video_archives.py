"""A pipeline reads videos where they lie: in an archive, in a store."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from temporal.data import collect
from temporal.pipelines import pipeline
from temporal.pipelines.display.picture_video import _thumbnails
from temporal.pipelines.jobs.table.rows import rows


@pytest.fixture
def store() -> Iterator[Any]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def test_answers_are_those_of_the_files(
    tmp_path: Path,
    videos: list[Path],
    frame_exit_path: Path,
    store: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("v.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in videos[:3]:
            archive.write(path, f"in/{path.name}")
            store.pipe_file(f"/set/{path.name}", path.read_bytes())
    pipe = pipeline("video-classification", str(frame_exit_path))
    expected = pipe([str(path) for path in videos[:3]])
    assert pipe("v.zip") == expected
    assert pipe("memory://set") == expected
    (item, *_) = collect("v.zip", kind="video")
    assert pipe(item.value) == pipe(str(videos[0]))
    # Where it was read is told so that it is found again.
    (row, *others) = rows(pipe, collect("v.zip", kind="video"))
    assert row["source"] == os.path.join(tmp_path, "v.zip", "in", videos[0].name)
    assert [one["status"] for one in (row, *others)] == ["ok"] * 3
    pictures, _ = _thumbnails(row["source"], [0], 200.0)
    assert len(pictures) == 1 and not isinstance(pictures, str)
    assert _thumbnails(row["source"] + "x", [0], 200.0)[0] == (
        f"no thumbnails: {videos[0].name}x is not where it was"
    )
    (stored, *_) = rows(pipe, collect("memory://set", kind="video"))
    assert stored["source"] == f"memory:///set/{videos[0].name}"
