"""One rank of an epoch, to be killed: writes down what it read, and where it stood.

    python rank_process.py TABLE FOLDER RANK RANKS WORKERS BATCHES_PER_STATE KILL_AFTER_BATCHES

A state and the rows before it are written together, so after a kill they agree.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psutil

from temporal.data import ClipDataset, ClipLoader, load_clips


def memory_bytes() -> int:
    """What this process and its workers hold alone."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children()):
        try:
            total += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    """Read an epoch on from the state that lies in the folder, or from its start."""
    table, folder = sys.argv[1], Path(sys.argv[2])
    rank, ranks, workers, per_state, kill_after = map(int, sys.argv[3:])
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

    first = True
    for count, batch in enumerate(loader, 1):
        if first:
            print(batch["row"].tolist(), flush=True)
            first = False
        seen += batch["row"].tolist()
        if count % per_state == 0:
            memory.append(memory_bytes())
            save(is_whole=False)
        if count == kill_after:
            for child in psutil.Process().children(recursive=True):
                child.kill()
            os.kill(os.getpid(), signal.SIGKILL)
    save(is_whole=True)


if __name__ == "__main__":
    main()
