"""What a process holds in memory, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def memory_mb(name: str = "VmRSS", *, process: int | str = "self") -> float:
    """What a process holds (`VmRSS`), or the most that it held (`VmHWM`), in MB.

    `ru_maxrss` would not do: in a new process it begins with what its parent held.

    Raises:
        LookupError, OSError: the process has ended.
    """
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) / 1024, 1)
    raise LookupError(name)
