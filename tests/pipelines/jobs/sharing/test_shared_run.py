"""Ranks that share their work: one row for each input, whoever is slow, hangs or ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from temporal.data.names.known_names import KnownNames
from temporal.pipelines.jobs.groups import Bounds
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.manifest import RunManifest
from temporal.pipelines.jobs.sharing import session
from temporal.pipelines.jobs.sharing.board import Board, BoardLost
from temporal.pipelines.jobs.sharing.session import Session, wait_until_ready
from temporal.pipelines.jobs.sharing.shared_run import run_shared
from temporal.pipelines.jobs.stop import Stop
from temporal.pipelines.jobs.store.ledger import CommitError, ResultWriter, parts, read_rows
from temporal.pipelines.jobs.table.summary import Summary
from temporal.pipelines.reading import Reading, ReadingFailed

from ...fake_pipe import FakePipe, numbered_items

ITEMS = 200
MANIFEST = RunManifest(task="text-classification", model="fake")


class Hooked(FakePipe):
    """Calls `hook` with the number of each input that it is about to read."""

    def __init__(self, hook: Callable[[int], object] = lambda number: None) -> None:
        super().__init__(delay_seconds=0.002)
        self.hook = hook

    def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
        def hooked() -> Iterator[Any]:
            for item in inputs:
                self.hook(len(self.handed_out) + 1)
                yield item

        return super().read(hooked(), **options)


def boards(count: int) -> list[Board]:
    store = dist.HashStore()
    return [Board(store, rank, count) for rank in range(count)]


def run_all(
    output: Path, pipes: list[Any], items: Iterable[Any] | None = None, **options: Any
) -> list[Future[Summary | None]]:
    """Run a rank for each pipe, each in a thread; they share what processes would share."""
    with ThreadPoolExecutor(len(pipes)) as threads:
        return [
            threads.submit(
                run_shared,
                pipe,
                numbered_items(ITEMS) if items is None else items,
                output,
                board,
                **{"manifest": MANIFEST, "progress": False, **options},
            )
            for pipe, board in zip(pipes, boards(len(pipes)), strict=True)
        ]


def rows_of(output: Path) -> list[dict[str, Any]]:
    """Rows in their order, without what a clock wrote."""
    rows = list(read_rows(output))
    return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    output = tmp_path_factory.mktemp("alone") / "out"
    run(FakePipe(), numbered_items(ITEMS), output, progress=False)
    return rows_of(output)


def summaries(futures: list[Future[Summary | None]]) -> list[Summary]:
    """Of the ranks that speak, which is one."""
    found = [future.result() for future in futures if future.exception() is None]
    return [summary for summary in found if summary is not None]


def test_ranks_equal_one_in_rows_and_their_order(tmp_path: Path, alone: list[Any]) -> None:
    pipes = [Hooked() for _ in range(3)]
    (summary,) = summaries(run_all(tmp_path / "out", pipes))
    assert rows_of(tmp_path / "out") == alone
    assert (summary.inputs, summary.error, summary.exit_code) == (ITEMS, ITEMS // 10, 3)
    assert all(len(pipe.handed_out) > ITEMS // 6 for pipe in pipes)
    (part,) = parts(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".run.json", part.name}


def test_one_rank_lists_and_it_is_not_far_ahead(tmp_path: Path) -> None:
    listed: list[int] = []
    held = 0

    def items() -> Iterator[Any]:
        for item in numbered_items(3 * ITEMS):
            listed.append(threading.get_ident())
            yield item

    def look(number: int) -> None:
        nonlocal held
        held = max(held, len(listed) - sum(len(pipe.handed_out) for pipe in pipes))

    pipes = [Hooked(look), Hooked(look)]
    run_all(tmp_path / "out", pipes, items(), rows_per_part=2)
    assert len(listed) == 3 * ITEMS and len(set(listed)) == 1
    assert held < 300  # 32 groups of two for each rank, and what they are reading


@pytest.mark.parametrize("ends", [False, True])
def test_parts_are_few_while_ranks_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """A block is a part; the rank that speaks joins them, and who speaks after it."""
    monkeypatch.setattr("temporal.pipelines.jobs.sharing.blocks._SECONDS_JOINED", 0.0)
    most = 0

    def look(number: int) -> None:
        nonlocal most
        most = max(most, len(parts(tmp_path / "out")))
        if ends and number == 30:
            raise RuntimeError("a fault of the rank that speaks")

    pipes = [Hooked(look), Hooked(), Hooked()]
    run_all(tmp_path / "out", pipes, [*numbered_items(3 * ITEMS)], rows_per_part=2)
    run(FakePipe(), numbered_items(3 * ITEMS), tmp_path / "alone", progress=False)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "alone")
    assert len(parts(tmp_path / "out")) == 1
    assert ends or most < 3 * ITEMS // 4  # of as many blocks as half the inputs


@pytest.mark.parametrize("seed", range(6))
def test_a_rank_that_ends_in_the_middle_costs_nothing(
    tmp_path: Path, alone: list[Any], seed: int
) -> None:
    moments = random.Random(seed)
    rank, last = moments.randrange(2), moments.randrange(1, ITEMS // 4)

    def end(number: int) -> None:
        if number == last:
            raise RuntimeError("a fault of this rank")

    pipes = [Hooked(), Hooked()]
    pipes[rank].hook = end
    futures = run_all(tmp_path / "out", pipes)
    assert isinstance(futures[rank].exception(), RuntimeError)
    assert rows_of(tmp_path / "out") == alone
    (summary,) = summaries(futures)  # of the other rank, whichever it is
    assert (summary.inputs, summary.unread) == (ITEMS, {})


@pytest.mark.parametrize("rank", [0, 1])
def test_what_a_rank_that_hung_writes_later_is_discarded(
    tmp_path: Path, alone: list[Any], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumes = threading.Event()
    pipes = [Hooked(), Hooked()]

    def hang(number: int) -> None:
        if number == 10:
            resumes.wait(60)

    def wake(number: int) -> None:
        if len(pipes[1 - rank].handed_out) >= ITEMS - 10:
            resumes.set()

    monkeypatch.setattr(session, "_LAST_SECONDS", 60.0)  # a thread cannot leave
    pipes[rank].hook, pipes[1 - rank].hook = hang, wake
    (summary,) = summaries(run_all(tmp_path / "out", pipes))
    assert rows_of(tmp_path / "out") == alone and summary.inputs == ITEMS
    both = set(pipes[0].handed_out) & set(pipes[1].handed_out)
    assert 1 <= len(both) < 40  # what it held was read by the other one


def test_a_stop_of_one_rank_is_all_ranks_and_is_resumable(tmp_path: Path, alone: list[Any]) -> None:
    stop = Stop()
    pipes = [Hooked(), Hooked(lambda number: stop.set() if number == 30 else None)]
    (summary,) = summaries(run_all(tmp_path / "out", pipes, stop=stop))
    assert summary.stopped and summary.exit_code == 75
    left = {row["id"] for row in rows_of(tmp_path / "out")}
    assert 30 <= len(left) < ITEMS
    assert left == {*pipes[0].handed_out, *pipes[1].handed_out}
    again = [Hooked(), Hooked()]
    (summary,) = summaries(run_all(tmp_path / "out", again, resume=True))
    assert (summary.inputs, summary.stopped) == (ITEMS, False)
    assert sorted(rows_of(tmp_path / "out"), key=_place) == alone
    assert not left & {*again[0].handed_out, *again[1].handed_out}


def _place(row: dict[str, Any]) -> int:
    return int(row["id"].partition("-")[2])


def test_a_run_of_one_process_is_gone_on_with_by_ranks(tmp_path: Path, alone: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResultWriter, "join", ResultWriter.commit)
        run(FakePipe(), numbered_items(ITEMS), tmp_path, rows_per_part=10, progress=False)
    for part in parts(tmp_path)[1::2]:
        part.unlink()
    pipes = [Hooked(), Hooked()]
    manifest = RunManifest(task=FakePipe.task, model=FakePipe.model_name)
    run_all(tmp_path, pipes, resume=True, manifest=manifest)
    assert rows_of(tmp_path) == alone
    assert sum(len(pipe.handed_out) for pipe in pipes) < ITEMS


def test_what_all_ranks_would_meet_stops_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    futures = run_all(tmp_path / "raise", [Hooked(), Hooked()], on_error="raise")
    assert any(isinstance(future.exception(), ReadingFailed) for future in futures)

    def broken() -> Iterator[Any]:
        yield from numbered_items(30)
        raise ValueError("the table is broken")

    futures = run_all(tmp_path / "broken", [Hooked(), Hooked()], broken())
    assert {str(future.exception()) for future in futures} == {"the table is broken"}

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("temporal.pipelines.jobs.store.ledger.write_sealed", refuse)
        futures = run_all(tmp_path / "full", [Hooked(), Hooked()])
    assert any(isinstance(future.exception(), CommitError) for future in futures)
    assert not list(read_rows(tmp_path / "full"))
    run_all(tmp_path / "full", [Hooked(), Hooked()], resume=True)
    assert len(rows_of(tmp_path / "full")) == ITEMS


def test_skipped_inputs_of_all_ranks_are_counted(tmp_path: Path) -> None:
    (summary,) = summaries(run_all(tmp_path / "out", [Hooked(), Hooked()], on_error="skip"))
    assert (summary.inputs, summary.skipped) == (ITEMS - ITEMS // 10, ITEMS // 10)


def test_an_input_that_ends_every_rank_is_told_of(tmp_path: Path) -> None:
    class Poisoned(Hooked):
        def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
            for reading in super().read(inputs, **options):
                if reading.id == "item-50":
                    raise RuntimeError("out of memory")
                yield reading

    pipes = [Poisoned() for _ in range(5)]
    futures = run_all(tmp_path / "out", pipes)
    errors = [future.exception() for future in futures]
    assert sum(error is not None for error in errors) == 3, errors
    (summary,) = summaries(futures)
    ids = {row["id"] for row in rows_of(tmp_path / "out")}
    assert "item-50" not in ids and len(ids) == summary.inputs
    assert summary.exit_code == 75 and sum(summary.unread.values()) == ITEMS - len(ids)


def test_a_rank_that_comes_late_hears_what_became_of_the_first() -> None:
    class Late(Board):
        """Sees at first that nothing is ready: the first rank begins, and ends, after that look."""

        looks = 0

        def has(self, name: str) -> bool:
            self.looks += name == "ready"
            return not (name == "ready" and self.looks == 1) and super().has(name)

    def late(*names: str) -> Late:
        board = Late(dist.HashStore(), 1, 2)
        for name in names:
            board.put(name, ValueError("the table is broken") if name == "fault" else True)
        return board

    assert wait_until_ready(late("ready", "dead/0"), lambda: False)
    with pytest.raises(BoardLost, match="before the work began"):
        wait_until_ready(late("dead/0"), lambda: False)
    with pytest.raises(ValueError, match="the table is broken"):
        wait_until_ready(late("ready", "fault", "stop"), lambda: False)
    assert not wait_until_ready(late("ready", "stop"), lambda: False)


def test_a_rank_that_ends_while_it_begins_to_list_lists_nothing(tmp_path: Path) -> None:
    board = boards(2)[1]
    board.put("speaker", 0)
    board.put("dead/0", True)
    begins, may_go_on = threading.Event(), threading.Event()

    def done() -> KnownNames:
        begins.set()
        may_go_on.wait(10)
        return KnownNames()

    work = Session(
        board,
        tmp_path,
        numbered_items(3),
        Bounds.of(FakePipe(), "text", None),
        done=done,
        is_told_to_stop=lambda: False,
        show=lambda progress: None,
        may_exit=False,
    )
    with work:
        assert begins.wait(10)
        threading.Timer(0.2, may_go_on.set).start()
    assert work.speaks and not board.number("listed") and not board.has("all_listed")


def test_rows_of_a_model_are_the_same_bit_for_bit(tmp_path: Path, skim_path: Path) -> None:
    from temporal.data import collect
    from temporal.pipelines import pipeline

    words = random.Random(0)
    texts = [" ".join(words.choices(WORDS, k=words.randrange(1, 60))) for _ in range(90)]

    def items() -> Iterator[Any]:
        return collect(texts, kind="text", strings="text")

    pipes: list[Any] = [
        pipeline("text-classification", model=skim_path, device="cpu", batch_size=4)
        for _ in range(2)
    ]
    run(pipes[0], items(), tmp_path / "one", progress=False)
    run_all(tmp_path / "two", pipes, items())
    assert len(rows_of(tmp_path / "one")) == 90
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")


WORDS = ("good", "bad", "film", "a", "the", "not", "very", "plot")
