"""Videos to judge a reader by, in archives: with the classes of their labels, broken ones told."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from temporal.data import load_clips
from temporal.pipelines.held_out.labelled import holds_clips, labelled_inputs
from temporal.pipelines.training.video.source import ClipSource


def test_videos_of_archives_are_inputs_with_labels(tmp_path: Path) -> None:
    for number, label in enumerate(["walk", "run", "fly", ""]):
        with tarfile.open(tmp_path / f"clips-{number // 2}.tar", "a") as archive:
            for suffix, content in (("mp4", b"video %d" % number), ("cls", label.encode())):
                info = tarfile.TarInfo(f"{number}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    pattern = str(tmp_path / "clips-{0..1}.tar")
    assert holds_clips(pattern) and holds_clips(str(tmp_path))
    for data in (pattern, tmp_path):
        found = labelled_inputs(data, kind="video", names={0: "run", 1: "walk"}, notify=print)
        assert [item.value for item in found.items] == [b"video 0", b"video 1"]
        assert found.classes == [1, 0]
        assert [one.reason for one in found.left_out] == ["unknown_label", "bad_row"]
    (tmp_path / "plain").mkdir()
    assert not holds_clips(str(tmp_path / "plain"))


def test_messages_call_the_column_as_the_caller_does(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("column=,label\npass column=.mp4,run\n")  # its words are left alone
    for called in ("--column", "column="):
        given: Any = {"kind": "video", "names": {0: "run"}, "notify": print}
        (fault,) = labelled_inputs(table, **given, column_called=called).left_out
        assert fault.message.endswith(f"it has 'column=', 'label': pass {called}")
    with pytest.raises(ValueError, match=r"it has 'column=', 'label': pass --path_column$"):
        ClipSource(data_dir=str(table)).listed()
    with pytest.raises(ValueError, match=r"it has 'column=', 'label': pass video_column=$"):
        load_clips(table)
