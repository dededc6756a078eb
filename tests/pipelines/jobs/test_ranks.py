"""Ranks that wait for each other hear a signal, and say who did not come."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import pytest

from temporal.pipelines.jobs import ranks
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.ranks import RankMissing, Ranks, WaitStopped
from temporal.pipelines.jobs.shares import OtherShares
from temporal.pipelines.jobs.stop import Stop
from temporal.pipelines.jobs.store.ledger import read_rows

from ..fake_pipe import FakePipe, numbered_items


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return str(listener.getsockname()[1])


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_rank_that_does_not_come(monkeypatch: pytest.MonkeyPatch, is_stopped: bool) -> None:
    monkeypatch.setattr(ranks, "_LONGEST_START", timedelta(seconds=1))
    places = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    for name, value in {**places, "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WaitStopped if is_stopped else RankMissing):
        Ranks.from_environment().join(lambda: is_stopped)


def test_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": ""}.items():
        monkeypatch.setenv(name, value)
    assert not Ranks.from_environment().are_connected


def test_a_rank_that_waits_for_the_first_one_can_be_stopped(tmp_path: Path) -> None:
    stop = Stop()
    stop.set()
    (tmp_path / "out").mkdir()
    pipe = FakePipe()
    options = {"rank": 1, "world_size": 2, "progress": False}
    summary = run(pipe, numbered_items(4), tmp_path / "out", stop=stop, **options)
    assert (summary.stopped, summary.inputs, pipe.handed_out) == (True, 0, [])
    shares = OtherShares()
    shares.ids[0].append("a")
    unread, at_work = shares.unread(tmp_path / "out", patience_seconds=1e6, is_stopped=stop.is_set)
    assert (unread, at_work) == ({0: 1}, [])


def test_an_id_that_another_rank_has_is_no_other_one(tmp_path: Path) -> None:
    items = [*numbered_items(3), *numbered_items(1)]
    with pytest.raises(ValueError, match="must be unique"):
        run(FakePipe(), items, tmp_path / "out", rank=0, world_size=2, progress=False)
    assert len({row["id"] for row in read_rows(tmp_path / "out")}) == 2
