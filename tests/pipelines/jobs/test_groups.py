"""Inputs are read in groups that the collection alone decides, and rows lie in its order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from temporal.pipelines.jobs.groups import Bounds, Grouping, joins_groups
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import ResultWriter, parts, read_rows
from temporal.pipelines.jobs.store.parts import FreeNames
from temporal.pipelines.reading import Reading

from ..fake_pipe import FakeItem, FakePipe, numbered_items


class Batched(FakePipe):
    """Reads all of a call before it answers, in an order of its own; notes what came together."""

    batch_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.random = random.Random(0)

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
        readings = list(super().read(inputs, **options))
        self.calls.append([reading.id for reading in readings])
        self.random.shuffle(readings)
        yield from readings


def bounds(least: int = 1, most: int = 100, most_weight: int = 10**9) -> Bounds:
    return Bounds(least_inputs=least, most_inputs=most, most_weight=most_weight)


def sizes(items: Iterable[Any], of: Bounds) -> list[int]:
    counts: dict[int, int] = {}
    for group, _, _ in Grouping(items, of):
        counts[group] = counts.get(group, 0) + 1
    return list(counts.values())


def test_groups_grow_with_their_place() -> None:
    found = sizes(numbered_items(2000), bounds(least=3, most=10))
    assert found[:70] == [3] * 70  # positions up to 255, of which a 64th is less than four
    assert found[-3:-1] == [10, 10] and sum(found) == 2000
    assert found[:-1] == sorted(found[:-1])


def test_large_inputs_are_in_small_groups(tmp_path: Path) -> None:
    texts = [FakeItem(id=str(i), value="x" * size) for i, size in enumerate((1, 1, 98, 100, 1, 1))]
    assert sizes(texts, bounds(least=4, most_weight=100)) == [3, 1, 2]
    for name, size in (("small", 1), ("large", 200)):
        (tmp_path / name).write_bytes(b"x" * size)
    names = ("small", "large", "missing", "small", "https://example.org/a.mp4")
    videos = [FakeItem(id=str(i), value=str(tmp_path / name)) for i, name in enumerate(names)]
    of = Bounds(least_inputs=3, most_inputs=3, most_weight=100, is_video=True)
    assert sizes(videos, of) == [2, 3]


def test_what_has_its_row_changes_no_group(tmp_path: Path) -> None:
    whole, resumed = Batched(), Batched()
    run(whole, numbered_items(300), tmp_path / "whole", progress=False)
    assert [len(call) for call in whole.calls[:3]] == [2, 2, 2]
    assert max(map(len, whole.calls)) == 4  # behind 256 others
    # What a kill leaves: some parts, each of whole groups.
    options: dict[str, Any] = {"progress": False, "rows_per_part": 6}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResultWriter, "join", ResultWriter.commit)
        run(Batched(), numbered_items(300), tmp_path / "out", **options)
    kept = parts(tmp_path / "out")
    for part in kept[::3]:
        part.unlink()
    run(resumed, numbered_items(300), tmp_path / "out", resume=True, **options)
    assert 0 < len(resumed.calls) < len(whole.calls)
    assert all(call in whole.calls for call in resumed.calls)
    ids = [row["id"] for row in read_rows(tmp_path / "out")]
    assert ids == [f"item-{i}" for i in range(300)]  # in their order, whoever came first


def test_the_rest_of_a_group_has_a_name_of_its_own(tmp_path: Path) -> None:
    run(FakePipe(), numbered_items(20), tmp_path, on_error="skip", progress=False)
    run(FakePipe(), numbered_items(20), tmp_path, resume=True, progress=False)
    rows = [row["id"] for row in read_rows(tmp_path)]
    assert sorted(rows) == sorted(f"item-{i}" for i in range(20)) and len(set(rows)) == 20


def test_names_that_are_free(tmp_path: Path) -> None:
    for name in ("part-00000-000000-000200", "part-00000-000300", "part-00001-000200"):
        (tmp_path / f"{name}.parquet").touch()
    names = FreeNames(tmp_path)
    assert [names.column_for(first) for first in (0, 100, 200, 250, 300)] == [1, 1, 2, 0, 1]
    names.take(0, 250)
    assert names.column_for(250) == 1
    assert FreeNames(tmp_path, rank=1, step=2).column_for(200) == 3


def test_where_bits_cannot_be_kept_groups_are_joined() -> None:
    on_gpu = SimpleNamespace(batch_size=8, device=SimpleNamespace(type="cuda"))
    on_cpu = SimpleNamespace(batch_size=8, device=SimpleNamespace(type="cpu"))
    assert joins_groups(on_gpu) and joins_groups(FakePipe()) and not joins_groups(on_cpu)
