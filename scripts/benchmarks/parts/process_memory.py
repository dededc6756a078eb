"""What this process holds in memory, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def memory_mb(name: str) -> float:
    """What this process holds (`VmRSS`), or the most that it held (`VmHWM`).

    `ru_maxrss` would not do: in a new process it begins with what its parent held.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) / 1024, 1)
    raise LookupError(name)
