"""What ranks tell each other, and how much of the work each takes at a time."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch.distributed as dist

from temporal.data.names.known_names import KnownNames
from temporal.pipelines.jobs.groups import Bounds
from temporal.pipelines.jobs.sharing.blocks import Block, Blocks
from temporal.pipelines.jobs.sharing.board import Board, BoardLost
from temporal.pipelines.jobs.sharing.lister import Lister
from temporal.pipelines.jobs.store.parts import FreeNames

from ...fake_pipe import numbered_items


@pytest.fixture
def store() -> Any:
    return dist.TCPStore("localhost", 0, None, True, wait_for_workers=False)


def test_values_of_any_size_and_numbers(store: Any) -> None:
    one, two = Board(store, 0, 2), Board(dist.PrefixStore("", store), 1, 2)
    two = Board(store, 1, 2)
    large = {"text": "x" * (9 * 2**20), "bytes": b"\x00\xff"}
    one.put("value", large)
    assert two.has("value") and two.get("value") == large
    assert [one.remove("value"), two.remove("value")] == [True, False]
    assert two.get("value") is None and not two.has("value/1")
    assert (one.add("n", 3), two.add("n"), two.number("n"), one.number("none")) == (3, 4, 4, 0)


def test_a_store_that_is_gone() -> None:
    class Gone:
        def add(self, *_: Any) -> int:
            raise dist.DistNetworkError("Connection reset by peer\nframe #0")

    with pytest.raises(BoardLost, match=r"cannot reach .* \(Connection reset by peer\)"):
        Board(Gone(), 0, 2).add("n")


def blocks(board: Board, **options: Any) -> Blocks:
    standard: dict[str, Any] = {
        "most_inputs": 1,
        "joins_groups": False,
        "is_stopped": lambda: False,
        "is_gone": lambda rank: False,
    }
    return Blocks(board, **{**standard, **options})


def test_blocks_are_large_for_cheap_inputs_and_small_at_the_end(store: Any) -> None:
    board = Board(store, 0, 2)
    board.add("listed", 1000)
    cheap = blocks(board)
    sizes = []
    while board.number("drawn") < 1000:
        block = cheap.take()
        assert block is not None
        sizes.append(block.end - block.first)
        cheap.finish(block, seconds=1e-5 * sizes[-1])
    assert sizes[0] == 1  # nothing is known of their cost yet
    assert sizes[1] == 999 // 4 and sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[-1] == 1 and sum(sizes) == 1000
    board.add("listed", 1000)
    dear = blocks(board)
    for _ in range(3):
        block = dear.take()
        assert block is not None and block.end - block.first == 1
        dear.finish(block, seconds=10.0)


def test_nobody_is_given_what_another_has(store: Any) -> None:
    boards = [Board(store, rank, 3) for rank in range(3)]
    boards[0].add("listed", 50)
    boards[0].put("all_listed", True)
    taken: list[int] = []
    ranks = [blocks(board) for board in boards]
    while len(taken) < 50:
        for one in ranks:
            if boards[0].number("drawn") < 50 and (block := one.take()) is not None:
                taken += range(block.first, block.end)
                one.finish(block, 0.01)
    assert taken == list(range(50))
    assert ranks[0].take() is None and boards[0].number("done") == 50


def test_a_block_of_a_rank_that_is_gone_is_taken_over_at_once(store: Any) -> None:
    boards = [Board(store, rank, 2) for rank in range(2)]
    boards[0].add("listed", 2)
    boards[0].put("all_listed", True)
    dead = blocks(boards[1]).take()
    lives = blocks(boards[0], is_gone=lambda rank: rank == 1)
    own = lives.take()
    assert own is not None
    lives.finish(own, 100.0)  # a living one would be waited for much longer than this test
    assert lives.take() == dead == Block(first=0, end=1)
    lives.finish(Block(first=0, end=1), 100.0)
    assert lives.take() is None


def test_two_ranks_at_once_do_not_both_begin_a_block_for_the_last_time(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = [Board(store, rank, 3) for rank in range(3)]
    boards[0].add("listed")
    boards[0].put("all_listed", True)
    assert blocks(boards[1]).take() == Block(first=0, end=1)  # and ends by it
    boards[1].add("runs/0")  # as did another
    looked = boards[0].number

    def number(name: str) -> int:
        found = looked(name)
        if name == "runs/0" and found == 2:
            boards[2].add(name)  # it has looked as well, and begins
        return found

    monkeypatch.setattr(boards[0], "number", number)
    assert blocks(boards[0], is_gone=lambda rank: rank == 1).take() is None


def test_a_group_whose_taker_could_not_even_say_so(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temporal.pipelines.jobs.sharing.blocks._ORPHAN_SECONDS", 0.05)
    board = Board(store, 0, 2)
    board.put("group/0", (0, 0, []))
    board.add("listed")
    board.add("drawn")  # and then it ended
    board.put("all_listed", True)
    lives = blocks(board)
    assert lives.take() == Block(first=0, end=1)
    lives.finish(Block(first=0, end=1), 0.1)
    assert lives.take() is None


def test_who_lists_next_goes_on_where_the_other_was(store: Any, tmp_path: Any) -> None:
    board = Board(store, 1, 2)
    bounds = Bounds(least_inputs=4, most_inputs=4, most_weight=10**9)
    board.add("listed", 3)
    board.put("passed", 2)
    board.put("speaker", 1)
    done = KnownNames(f"item-{i}" for i in (*range(10), *range(12, 17), 21))
    lister = Lister(board, numbered_items(24), bounds, done=done, names=FreeNames(tmp_path))
    lister.start()
    while not board.has("all_listed"):
        time.sleep(0.01)
    groups = {number: board.get(f"group/{number}") for number in range(7)}
    found = {n: [item.id for _, item in group[2]] for n, group in groups.items() if group}
    assert found == {
        4: ["item-17", "item-18", "item-19"],
        5: ["item-20", "item-22", "item-23"],
    }
    assert (board.number("listed"), board.get("passed")) == (6, 2 + 6)


def test_an_id_that_comes_back_ends_the_run_of_all_ranks(store: Any, tmp_path: Any) -> None:
    board = Board(store, 0, 1)
    bounds = Bounds(least_inputs=4, most_inputs=4, most_weight=10**9)
    board.put("speaker", 0)
    items = [*numbered_items(6), *numbered_items(3)]
    lister = Lister(board, items, bounds, done=KnownNames(["item-2"]), names=FreeNames(tmp_path))
    lister.start()
    while not board.has("stop"):
        time.sleep(0.01)
    assert "('item-0') must be unique among the items" in str(board.get("fault"))
