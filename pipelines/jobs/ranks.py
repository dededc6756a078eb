"""Which process of a run this is (`torchrun`, MPI, SLURM), and waiting for the others."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import timedelta

# Ranks meet only at the end of a run, and the slowest may need days longer than the fastest.
_LONGEST_RUN = timedelta(days=365)
# ... and at its start, when one that does not come never will.
_LONGEST_START = timedelta(minutes=10)

# The variables of each launcher: this process, how many there are, this one on its machine.
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
_LAUNCHERS = (
    _TORCHRUN,
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    _SLURM,
)
# The shell of an allocation (`salloc`) knows how many tasks it may start, and is none of them.
_SIZE_IS_NO_PROCESS = (_SLURM,)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process's place among the processes of a run."""

    rank: int = 0
    """This process, 0 to `world_size - 1`."""

    world_size: int = 1
    """Processes in the run."""

    local_rank: int = 0
    """This process among those of its machine: the index of its accelerator."""

    has_address: bool = False
    """Whether the processes can meet (`torchrun`); those of other launchers work apart."""

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read what the launcher set: `torchrun`, else MPI, else SLURM; one process without.

        Raises:
            ValueError: the variables do not tell which process of how many this is.
        """
        environment = os.environ
        for launcher in _LAUNCHERS:
            rank, size = (_number(name) for name in launcher[:2])
            if rank is None and (size is None or size == 1 or launcher in _SIZE_IS_NO_PROCESS):
                continue
            if rank is None or size is None:
                there, missing = launcher[:2] if size is None else launcher[1::-1]
                raise ValueError(
                    f"{there} ({environment[there]}) is set and {missing} is not, so that it is "
                    "not known which process of how many this is; set both, or unset both to "
                    "read everything with one process"
                )
            if not 0 <= rank < size:
                raise ValueError(
                    f"{launcher[0]} ({rank}) must be >= 0 and < {launcher[1]} ({size})"
                )
            local_rank = _number(launcher[2])
            return cls(
                rank=rank,
                world_size=size,
                local_rank=rank if local_rank is None else local_rank,
                has_address=launcher is _TORCHRUN and "MASTER_ADDR" in environment,
            )
        if _number("PMIX_RANK") is not None:
            raise ValueError(
                f"PMIX_RANK ({environment['PMIX_RANK']}) is set without the number of processes; "
                "set RANK and WORLD_SIZE as well, or unset it to read everything with one process"
            )
        return cls()

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks for all: it shows the bar and the table."""
        return self.rank == 0

    def device(self, device: str | None) -> str | None:
        """Give each rank of a machine an accelerator of its own; a device with an index is kept."""
        if self.world_size == 1 or device not in (None, "cuda"):
            return device
        import torch

        if not torch.cuda.is_available():
            return device
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"  # SLURM may show each its own

    def join(self) -> None:
        """Connect the ranks, before they work; nothing to do for one process.

        Ranks that were started apart (RANK and WORLD_SIZE without MASTER_ADDR; MPI and SLURM)
        share an output as well, but do not wait for each other.

        Raises:
            TimeoutError: another rank did not come.
        """
        if not self.are_connected:
            return
        import torch.distributed as dist

        try:
            store, rank, size = next(dist.rendezvous("env://", timeout=_LONGEST_START))
            dist.init_process_group(
                "gloo", store=store, rank=rank, world_size=size, timeout=_LONGEST_RUN
            )
        except dist.DistStoreError as error:
            raise TimeoutError(
                f"not all of the {self.world_size} ranks (WORLD_SIZE) came within "
                f"{_LONGEST_START}; start all of them, or unset RANK and WORLD_SIZE"
            ) from error

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
        return self.world_size > 1 and self.has_address


def _number(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} ({text!r}) must be a whole number") from None
