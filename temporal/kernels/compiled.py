"""How the CPU kernels are compiled.

LLVM vectorises a loop only where it can prove that nothing stands in the way: Python's error on a
division by zero does, so there is none (`error_model="numpy"`: the gates ran fifteen times faster).
What it still does badly is in `vectors`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from .vectors import BLOCKS, FLAGS


def _digest_of_sources() -> str:
    digest = hashlib.sha256(str(BLOCKS).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


_SOURCES = _digest_of_sources()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of float32 arrays; it runs without Python's lock, in any thread.

    The machine code is kept in numba's cache where there is a folder to write to.
    """
    options: dict[str, Any] = {"fastmath": set(FLAGS), "error_model": "numpy", "nogil": True}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:  # installed read-only, without a home: compiled anew in each process
        return njit(**options)(function)
    # numba takes kept code for fresh while the function's own file is what it was; but a kernel
    # is made of other files, too.
    file = compiled._cache._cache_file
    file._source_stamp = (file._source_stamp, _SOURCES)
    return compiled
