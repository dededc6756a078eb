"""The readers of docs/add_a_reader.md, copied from the page into their rooms, and registered."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from temporal.models import RECORDS, ReaderRecord, register, registry

PAGE = Path(__file__).parents[1] / "docs" / "add_a_reader.md"
VIDEO, RECURRENT = "outliers_first", "browsing_rnn"
ROOMS = {VIDEO: "video", RECURRENT: "recurrent"}


def blocks(heading: str) -> list[str]:
    """The code of a section."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


FILES = {
    VIDEO: blocks("A reader of videos"),
    RECURRENT: blocks("A recurrent reader"),
}
"""The file and its line in the registry, by `model_type`."""


@contextmanager
def added(name: str, folder: Path) -> Iterator[ReaderRecord]:
    """One file in its room, and one line in the registry; both are taken away afterwards."""
    file, line = FILES[name]
    room = importlib.import_module(f"temporal.models.{ROOMS[name]}")
    (folder / f"{name}.py").write_text(file)
    record: ReaderRecord = eval(line, vars(registry).copy())  # the page is ours
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "__path__", [*room.__path__, str(folder)])
        patch.setitem(RECORDS, name, record)
        register(record)
        try:
            yield record
        finally:
            sys.modules.pop(record.path, None)
            vars(room).pop(name, None)
