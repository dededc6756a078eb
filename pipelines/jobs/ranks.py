"""Which process of a run this is (accelerate, `torchrun`, MPI, SLURM), and how ranks meet."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from .sharing.board import Board

# One that does not come to the start never will.
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


class RankMissing(Exception):
    """Another rank did not come, or is gone: the run can be resumed."""


class WaitStopped(Exception):
    """The run was stopped while this rank waited for others: it can be resumed."""


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
                has_address=launcher is _TORCHRUN and bool(environment.get("MASTER_ADDR")),
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
        """Give each rank of a machine an accelerator of its own; a device with an index is kept.

        For ranks that are apart; `join` tells those that are connected.
        """
        if self.world_size == 1 or device not in (None, "cuda"):
            return device
        import torch

        if not torch.cuda.is_available():
            return device
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"  # SLURM may show each its own

    def join(
        self, is_stopped: Callable[[], bool] = lambda: False, *, on_cpu: bool = False
    ) -> Meeting | None:
        """Connect the ranks, before they work; None for one process, and for those that are apart.

        Ranks that were started apart (RANK and WORLD_SIZE without MASTER_ADDR; MPI and SLURM)
        share an output as well, but do not know of each other.

        Args:
            is_stopped: Asked while others are waited for.
            on_cpu: Whether the ranks compute on the CPU, whatever else there is.

        Raises:
            ValueError: where the ranks meet (MASTER_ADDR, MASTER_PORT) is not told.
            RankMissing: another rank did not come.
            WaitStopped: it was stopped before.
        """
        if not self.are_connected:
            return None
        fault: list[Exception] = []
        found: list[Meeting] = []

        def connect() -> None:
            try:
                found.append(_meet(self.local_rank, on_cpu=on_cpu))
            except Exception as error:
                fault.append(error)

        # In a thread of its own: no signal is heard by a thread that waits inside torch.
        meeting = threading.Thread(target=connect, daemon=True)
        meeting.start()
        _until(lambda: not meeting.is_alive(), is_stopped)
        if fault and isinstance(fault[0], ValueError):
            raise ValueError(f"MASTER_ADDR is set, and {fault[0]}") from fault[0]
        if fault:
            first = (str(fault[0]).splitlines() or [""])[0]
            raise RankMissing(
                f"the {self.world_size} ranks (WORLD_SIZE) did not all meet within "
                f"{_LONGEST_START} ({first}); start all of them, or unset RANK and WORLD_SIZE"
            ) from fault[0]
        return found[0]

    @property
    def are_connected(self) -> bool:
        """Whether there are others, and they can be waited for."""
        return self.world_size > 1 and self.has_address


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """What ranks that are connected know of each other, as accelerate tells it."""

    rank: int
    """This process."""

    world_size: int
    """Processes in the run."""

    device: str
    """What this process computes on: an accelerator of its own, where each can have one."""

    board: Board
    """Where they tell each other more."""


def _meet(local_rank: int, *, on_cpu: bool) -> Meeting:
    """Connect to the others; waits for all of them."""
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    store, rank, size = next(dist.rendezvous("env://", timeout=_LONGEST_START))
    # A group for the start alone: one that is gone would take the others along.
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=_LONGEST_START)
    os.environ.setdefault("LOCAL_RANK", str(local_rank))  # where ranks were started by hand
    on_cpu = on_cpu or not torch.accelerator.is_available()
    # Else it sets threads by itself, and says so; the launchers set the variable as well.
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    state = PartialState(cpu=on_cpu)
    meeting = Meeting(
        rank=state.process_index,
        world_size=state.num_processes,
        device=str(state.device),
        board=Board(dist.PrefixStore("temporal", store), state.process_index, state.num_processes),
    )
    dist.barrier()
    dist.destroy_process_group()
    return meeting


def _until(is_over: Callable[[], bool], is_stopped: Callable[[], bool]) -> None:
    """Wait in steps, so that a signal is heard."""
    while not is_over():
        if is_stopped():
            raise WaitStopped("stopped while other ranks were waited for")
        time.sleep(0.05)


def _number(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} ({text!r}) must be a whole number") from None
