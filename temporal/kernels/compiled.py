"""How the CPU kernels are compiled.

LLVM vectorises a loop only where it can prove that nothing stands in the way: Python's error on a
division by zero does, so there is none (`error_model="numpy"`: the gates ran fifteen times faster).
What it still does badly is in `vectors`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from .vectors import FLAGS


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of float32 arrays; it runs without Python's lock, in any thread.

    The machine code is kept in numba's cache where there is a folder to write to.
    """
    options: dict[str, Any] = {"fastmath": set(FLAGS), "error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # installed read-only, without a home: compiled anew in each process
        return njit(**options)(function)
