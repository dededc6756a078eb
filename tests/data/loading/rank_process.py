"""One rank of an epoch, to be killed: writes down what it read, and where it stood.

A state and the rows before it are written together, so after a kill they agree.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil

from temporal.data import ClipDataset, ClipLoader, load_clips


def memory_bytes() -> int:
    """What this process and its workers hold.

    Pages that a worker shares with its parent count in both, before and after one of them writes to
    them: garbage collection does, whenever it runs, and nothing new is held then.
    """
    own = psutil.Process()
    total = 0
    for process in (own, *own.children()):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def read_rank(
    table: Path, folder: Path, place: tuple[int, int, int], per_state: int, kill_after: int
) -> None:
    """Read an epoch on from the state that lies in the folder, or from its start.

    Args:
        table: the rows.
        folder: where the state is.
        place: rank, ranks, workers.
        per_state: batches from one state to the next.
        kill_after: batches after which this process and its workers are killed.
    """
    rank, ranks, workers = place
    state_file = folder / f"state-{rank}.json"
    dataset = ClipDataset(load_clips(table), None, shuffle=True, seed=5, rank=rank, num_ranks=ranks)
    loader = ClipLoader(dataset, 16, num_workers=workers)
    seen: list[int] = []
    memory: list[int] = []
    if state_file.exists():
        saved = json.loads(state_file.read_text())
        seen, memory = saved["seen"], saved["memory"]
        loader.load_state_dict(saved["state"])

    def save(*, is_whole: bool) -> None:
        part = state_file.with_suffix(".part")
        told = {"seen": seen, "memory": memory, "state": loader.state_dict(), "whole": is_whole}
        part.write_text(json.dumps(told))
        os.replace(part, state_file)

    for count, batch in enumerate(loader, 1):
        seen += batch["row"].tolist()
        if count % per_state == 0:
            memory.append(memory_bytes())
            save(is_whole=False)
        if count == kill_after:
            for child in psutil.Process().children(recursive=True):
                child.kill()
            os.kill(os.getpid(), signal.SIGKILL)
    save(is_whole=True)
