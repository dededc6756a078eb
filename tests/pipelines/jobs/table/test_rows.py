"""The rows of a job are a function of the pipeline and the items, which anyone can map."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

import temporal.pipelines.jobs.table.rows
from temporal.data import Item, collect
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.jobs.table.row import row_schema
from temporal.pipelines.jobs.table.rows import rows
from temporal.pipelines.jobs.table.summary import summarize
from temporal.pipelines.jobs.table.targets import known_targets
from temporal.pipelines.reading import Reading

from ...fake_pipe import FakeItem, FakePipe, numbered_items

ITEMS = 23


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what a clock wrote."""
    return {name: value for name, value in row.items() if not name.endswith("_seconds")}


def committed(output: Path, **options: Any) -> list[dict[str, Any]]:
    run(FakePipe(), numbered_items(ITEMS), output, progress=False, **options)
    return [plain(row) for row in read_rows(output)]


@pytest.mark.parametrize("keep_text", [False, True])
@pytest.mark.parametrize("order", ["input", "completed"])
def test_they_are_what_a_run_commits(tmp_path: Path, keep_text: bool, order: Any) -> None:
    pipe = FakePipe(order=order)
    made = list(rows(pipe, numbered_items(ITEMS), order=order, keep_text=keep_text))
    assert list(map(plain, made)) == committed(tmp_path / "out", keep_text=keep_text)
    schema = row_schema(keep_text=keep_text)
    assert [list(row) for row in made] == [list(made[0])] * ITEMS
    assert set(made[0]) == set(schema.names)
    assert pa.Table.from_pylist(made, schema).num_rows == ITEMS
    mine, theirs = (
        replace(summarize(table, labels=known_targets(pipe)), model_seconds=0)
        for table in (made, read_rows(tmp_path / "out"))
    )
    assert mine == theirs and mine.inputs == ITEMS


def test_mapped_over_parts_they_are_the_rows_of_the_whole(tmp_path: Path) -> None:
    items = list(numbered_items(ITEMS))
    parts = [items[start : start + 5] for start in range(0, ITEMS, 5)]
    made = itertools.chain.from_iterable(map(partial(rows, FakePipe(order="input")), parts))
    assert list(map(plain, made)) == committed(tmp_path / "out")


def test_the_map_of_datasets_in_the_documentation_gives_the_rows_of_a_run(tmp_path: Path) -> None:
    text = temporal.pipelines.jobs.table.rows.__doc__ or ""
    code = textwrap.dedent(text[text.index("    def read(batch)") :])
    texts = [" ".join(["word"] * (k % 5 + 1)) for k in range(12)]
    names: dict[str, Any] = {
        "Features": datasets.Features,
        "collect": collect,
        "dataset": datasets.Dataset.from_dict({"text": texts, "stars": list(range(12))}),
        "pipe": FakePipe(order="input"),
        "row_schema": row_schema,
        "rows": rows,
    }
    exec(compile(code.replace("dataset.map(", "mapped = dataset.map("), "docstring", "exec"), names)
    run(FakePipe(), collect(texts, kind="text"), tmp_path / "out", progress=False)
    assert names["mapped"].column_names == row_schema().names
    assert list(map(plain, names["mapped"])) == list(map(plain, read_rows(tmp_path / "out")))


def test_small_batches_of_a_dataset_have_one_schema_whatever_is_in_them() -> None:
    """The first batch holds nothing but an input that is none."""
    texts = [None, "one", "one two", ""]
    table = {"id": list("abcd"), "text": texts, "label": [1, 1, 0, None]}

    def read(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        given = [
            dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)
        ]
        items = collect(given, kind="text", column="text", id_column="id")
        made = list(rows(FakePipe(order="input"), items))
        return {name: [row[name] for row in made] for name in row_schema().names}

    dataset = datasets.Dataset.from_dict(table)
    features = datasets.Features.from_arrow_schema(row_schema())
    mapped = dataset.map(
        read, batched=True, batch_size=1, remove_columns=dataset.column_names, features=features
    )
    assert mapped["id"][:] == list("abcd")
    assert mapped["label"][:3] == [None, "odd", "even"]
    assert mapped["target"][1:3] == ["odd", "even"]
    assert mapped["error_reason"][0] is not None


def test_items_are_taken_as_rows_are_and_closing_frees_what_is_in_flight() -> None:
    closed = []

    class Pipe(FakePipe):
        def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
            try:
                yield from super().read(inputs, **options)
            finally:
                closed.append(True)

    taken = []

    def endless() -> Iterator[FakeItem]:
        for k in itertools.count():
            taken.append(k)
            yield FakeItem(id=str(k), value="a word")

    made = rows(Pipe(order="input"), endless())
    assert taken == []
    assert [next(made)["id"] for _ in range(3)] == ["0", "1", "2"] and taken == [0, 1, 2]
    assert not closed
    made.close()  # type: ignore[attr-defined]  # it is a generator
    assert closed == [True]


class Hasty(FakePipe):
    """Takes all items before it reads one, and leaves some out."""

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
        return super().read([item for item in list(inputs) if item.id != "left out"], **options)


def test_two_inputs_of_one_id_cannot_be_told_apart() -> None:
    items = [FakeItem(id="one", value="a"), FakeItem(id="one", value="a b")]
    with pytest.raises(ValueError, match=r"id \('one'\) must be unique"):
        list(rows(Hasty(order="input"), items))


def test_an_input_without_a_reading_is_told() -> None:
    items = [FakeItem(id="one", value="a"), FakeItem(id="left out", value="b")]
    made = rows(Hasty(order="input"), items)
    assert next(made)["id"] == "one"
    with pytest.raises(RuntimeError, match=r"no reading for 1 inputs, 'left out' among them"):
        next(made)


@pytest.mark.parametrize(
    ("task", "is_video", "kept"),
    [
        ("video-classification", None, True),
        ("text-classification", None, False),
        ("text-classification", True, True),
        ("video-classification", False, False),
    ],
)
def test_the_paths_of_videos_are_kept(task: str, is_video: bool | None, kept: bool) -> None:
    pipe = FakePipe(order="input")
    pipe.task = task  # type: ignore[misc]  # the class has it, too
    (row,) = rows(pipe, [Item(id="clip", value="clip.mp4")], is_video=is_video)
    assert row["source"] == (str(Path("clip.mp4").absolute()) if kept else None)
