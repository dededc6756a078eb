"""A few tiny clips of numbered frames, and ways to lay them out."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import encode


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 numbered frames, 25 a second, a keyframe every 12."""
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=24, b_frames=0)


@pytest.fixture
def class_folder(tmp_path: Path, clip: Path) -> Path:
    """Three classes of 4, 3 and 2 clips."""
    root = tmp_path / "classes"
    for name, count in (("ant", 4), ("bee", 3), ("cat", 2)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            os.link(clip, root / name / f"{number}.mp4")
    return root


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def write_shard(clip: Path) -> Callable[..., Path]:
    """Writes an archive of clips with these labels, every other one in `.json`."""

    def write(path: Path, labels: list[object]) -> Path:
        with tarfile.open(path, "w") as archive:
            for number, label in enumerate(labels):
                add(archive, f"{path.stem}-{number}.mp4", clip.read_bytes())
                if number % 2:
                    told = json.dumps({"label": label, "group": f"g{number}"})
                    add(archive, f"{path.stem}-{number}.json", told.encode())
                else:
                    add(archive, f"{path.stem}-{number}.cls", str(label).encode())
        return path

    return write


@pytest.fixture
def many_rows(tmp_path: Path, clip: Path) -> Callable[[int], Path]:
    """A table of so many rows, all of one file."""

    def write(count: int) -> Path:
        shutil.copy(clip, tmp_path / "clip.mp4")
        table = tmp_path / "rows.csv"
        lines = (f"clip.mp4,{'xyz'[number % 3]}\n" for number in range(count))
        table.write_text("path,label\n" + "".join(lines))
        return table

    return write
