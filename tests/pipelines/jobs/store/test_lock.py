"""The lock of a rank: others of its run are let be, also while they take theirs."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from temporal.pipelines.jobs.manifest import OutputRefused
from temporal.pipelines.jobs.store.lock import RankLock


def test_a_rank_that_has_not_said_yet_of_which_run_it_is(tmp_path: Path) -> None:
    other = os.open(tmp_path / ".rank-00001.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    says = threading.Timer(0.1, os.pwrite, (other, b"3\n", 0))
    says.start()
    lock = RankLock(tmp_path, rank=2, world_size=3)
    lock.release()
    says.join()
    os.close(other)


@pytest.mark.parametrize("told", [b"", b"4\n"])
def test_a_rank_of_another_run_is_refused(tmp_path: Path, told: bytes) -> None:
    other = os.open(tmp_path / ".rank-00001.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    os.pwrite(other, told, 0)
    with pytest.raises(OutputRefused, match="rank 1 of another run"):
        RankLock(tmp_path, rank=2, world_size=3)
    os.close(other)
