"""A job whose groups are read side by side, and come back in any order, has the rows of another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from temporal.data import Item
from temporal.pipelines import pipeline, read_rows, run
from temporal.pipelines.jobs import work
from temporal.pipelines.jobs.job import ReadingFailed
from temporal.pipelines.jobs.store.parts import list_parts
from temporal.pipelines.ray import RayPipeline
from temporal.pipelines.ray.actor import ReadingActor
from temporal.pipelines.ray.actors import Batch


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith("_seconds")}


class Backwards:
    """Reads some batches at a time in this process, the last one first; gives one of them up."""

    def __init__(self, model: Path, given_up: str = "") -> None:
        self.actor = ReadingActor({"model": str(model), "device": "cpu"}, ".")
        self.given_up = given_up
        self.sizes: list[int] = []

    def read(self, batches: Iterator[Batch], *, keep_text: bool) -> Any:
        while some := list(itertools.islice(batches, 5)):
            for batch in reversed(some):
                self.sizes.append(len(batch.items))
                lost = [item.id for item in batch.items] == [self.given_up]
                yield batch, None if lost else self.actor.read(batch.groups, keep_text=keep_text)


class BackwardsPipeline(RayPipeline):
    """One without Ray."""

    def __init__(self, actors: Backwards) -> None:
        self._actors = actors  # type: ignore[assignment]
        self._about = about = actors.actor.about()
        self.task, self.model_name = about.task, about.model_name
        self.id2label, self.batch_size = dict(about.id2label), about.batch_size


@pytest.fixture(scope="module")
def items(texts: list[str]) -> list[Item]:
    given = [*texts, "", *texts, *texts]
    return [Item(id=f"n{k}", value=text, extra={"label": k % 3}) for k, text in enumerate(given)]


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, early_exit_path: Path, items: list[Item]
) -> list[dict[str, Any]]:
    """The rows that one process commits, in groups of five."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    pipe = pipeline(model=str(early_exit_path), device="cpu")
    run(pipe, items, folder, progress=False, keep_text=True, rows_per_part=5)
    return [timeless(row) for row in read_rows(folder)]


def test_rows_are_those_of_one_process(
    early_exit_path: Path, items: list[Item], whole: list[Any], tmp_path: Path
) -> None:
    actors = Backwards(early_exit_path)
    out = tmp_path / "out"
    run(
        BackwardsPipeline(actors),
        items,
        out,
        progress=False,
        keep_text=True,
        rows_per_part=5,
    )
    assert [timeless(row) for row in read_rows(out)] == whole
    assert set(actors.sizes) == {5, 1} and len(whole) == 61


def test_a_job_goes_on_with_the_groups_of_the_collection(
    early_exit_path: Path, items: list[Item], whole: list[Any], tmp_path: Path
) -> None:
    pipe = BackwardsPipeline(Backwards(early_exit_path))
    options: dict[str, Any] = {"progress": False, "keep_text": True, "rows_per_part": 5}

    def broken() -> Iterator[Item]:
        yield from items[:37]
        raise OSError("the table's disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        run(pipe, broken(), tmp_path / "out", **options)
    before = list(read_rows(tmp_path / "out"))
    assert 0 < len(before) < 37
    run(pipe, items, tmp_path / "out", resume=True, **options)
    assert [timeless(row) for row in read_rows(tmp_path / "out")] == whole


def test_groups_behind_one_that_takes_long_are_written(
    early_exit_path: Path,
    items: list[Item],
    whole: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "_LONGEST_HELD_SECONDS", -1.0)
    out, seen = tmp_path / "out", []

    class Watched(Backwards):
        def read(self, batches: Iterator[Batch], *, keep_text: bool) -> Any:
            for made in super().read(batches, keep_text=keep_text):
                seen.append(sorted(part.first for part in list_parts(out)[0]))
                yield made

    pipe = BackwardsPipeline(Watched(early_exit_path))
    run(pipe, items, out, progress=False, keep_text=True, rows_per_part=5)
    assert [20] in seen  # the last one of five groups, while none before it is written
    assert [timeless(row) for row in read_rows(out)] == whole


def test_an_input_that_is_given_up_has_its_row(
    early_exit_path: Path, items: list[Item], tmp_path: Path
) -> None:
    pipe = BackwardsPipeline(Backwards(early_exit_path, given_up="n60"))
    run(pipe, items, tmp_path / "out", progress=False, rows_per_part=5)
    *_, last = read_rows(tmp_path / "out")
    assert (last["id"], last["status"], last["error_reason"]) == ("n60", "error", "worker_crashed")
    assert (last["error_stage"], last["target"]) == ("model", "bad")
    with pytest.raises(ReadingFailed, match="n20: empty_input"):
        run(pipe, items, tmp_path / "raise", progress=False, on_error="raise")


def test_readings_come_in_the_order_of_the_inputs(early_exit_path: Path, texts: list[str]) -> None:
    pipe = BackwardsPipeline(Backwards(early_exit_path))
    pipe.batch_size = 3
    plain = pipeline(model=str(early_exit_path), device="cpu", batch_size=3)
    expected = [reading.predictions[0]["score"] for reading in plain.read(texts)]
    made = [reading.predictions[0]["score"] for reading in pipe.read(texts)]
    assert made == pytest.approx(expected, rel=1e-5) and len({*made}) > 15
    (bad,) = pipe.read([""])
    assert bad.status == "error" and list(pipe.read([""], on_error="skip")) == []
    completed = [reading.id for reading in pipe.read(texts, order="completed")]
    assert sorted(completed[:3]) == ["text-000012", "text-000013", "text-000014"]


def test_a_batch_that_ends_actors_is_taken_apart() -> None:
    one, two = Item(id="1", value="a"), Item(id="2", value="b")
    batch = Batch(groups=[[one], [two]], ends=1)
    assert batch.again() == [batch] and not batch.is_given_up
    batch.ends = 2
    first, second = batch.again()
    assert (first.items, second.items) == ([one], [two]) and not first.is_given_up
    first.ends += 1
    assert first.is_given_up


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_actors": 0}, r"num_actors \(0\)"),
        ({"num_gpus": -1}, r"num_gpus \(-1\) must be >= 0"),
        ({"audit": 0.1}, "audit and max_disagreement must be left out"),
    ],
)
def test_what_it_cannot_do_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RayPipeline("text-classification", **options)
