"""Which process of a run this is, and waiting for the others (`torchrun`)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import timedelta

# Ranks meet only at the end of a run, and the slowest may need days longer than the fastest.
_LONGEST_RUN = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process's place among the processes of a run."""

    rank: int = 0
    """This process, 0 to `world_size - 1`."""

    world_size: int = 1
    """Processes in the run."""

    local_rank: int = 0
    """This process among those of its machine: the index of its accelerator."""

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read RANK, WORLD_SIZE and LOCAL_RANK as `torchrun` sets them; one process without."""
        rank = int(os.environ.get("RANK", 0))
        world_size = int(os.environ.get("WORLD_SIZE", 1))
        if not 0 <= rank < world_size:
            raise ValueError(f"RANK ({rank}) must be >= 0 and < WORLD_SIZE ({world_size})")
        return cls(
            rank=rank, world_size=world_size, local_rank=int(os.environ.get("LOCAL_RANK", rank))
        )

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks for all: it shows the bar and the table."""
        return self.rank == 0

    def device(self, device: str | None) -> str | None:
        """Give each rank of a machine an accelerator of its own; a device with an index is kept."""
        if self.world_size == 1 or device not in (None, "cuda"):
            return device
        import torch

        return f"cuda:{self.local_rank}" if torch.cuda.is_available() else device

    def join(self) -> None:
        """Connect the ranks, before they work; nothing to do for one process.

        Ranks that were started apart (RANK and WORLD_SIZE without MASTER_ADDR) share an output
        as well, but do not wait for each other.
        """
        if self.are_connected:
            import torch.distributed as dist

            dist.init_process_group("gloo", timeout=_LONGEST_RUN)

    def wait_for_all(self) -> None:
        """Return when every rank has come here; `join` goes before.

        `torchrun` ends all ranks when one exits with a code other than 0, so a rank with error
        rows must not leave before the others are done.
        """
        if not self.are_connected:
            return
        import torch.distributed as dist

        meeting = dist.barrier(async_op=True)
        while not meeting.is_completed():  # in steps, so that a signal is heard while waiting
            time.sleep(0.05)

    @property
    def are_connected(self) -> bool:
        """Whether there are others, and they can be waited for."""
        return self.world_size > 1 and "MASTER_ADDR" in os.environ
