"""Threads take sequences in turn, without Python's lock.

What they share is an int64 array, `turns`: how many sequences were taken, then their numbers in the
order to take them in. So no thread waits for another, and one that comes late finds what is left.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiled import kernel


def _one_more(_: Any, turns: Any) -> Any:
    """`turns[0] += 1`, and what it was, for one thread at a time."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(turns), generate


_take_turn: Any = intrinsic(_one_more)


@kernel
def next_turn(turns: Any) -> Any:
    """The number of a sequence that no thread has taken yet; -1: there is none."""
    turn = _take_turn(turns)
    return turns[turn + 1] if turn < len(turns) - 1 else -1
