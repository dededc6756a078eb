"""How the CPU kernels are compiled, and their two building blocks: a product and an activation.

LLVM vectorises a loop only where it can prove that nothing stands in the way. Three things did, and
each cost a factor of two to fifteen: Python's error on a division by zero (`error_model="numpy"`
has none), NaN-correct minima, and arrays that might overlap. The last is why the product is written
in LLVM's own vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""float32 numbers in a vector; tables and weights are padded to a multiple of it."""

_BLOCK = 4  # vectors of the result that stay in registers while the rows go by

# Without "nnan" and "ninf": a broken weight must come out as NaN, not as something.
_FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of float32 arrays; it runs without Python's lock, in any thread.

    The machine code is kept in numba's cache where there is a folder to write to.
    """
    options: dict[str, Any] = {"fastmath": _FAST, "error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # installed read-only, without a home: compiled anew in each process
        return njit(**options)(function)


@kernel
def tanh(x: Any) -> Any:
    """Hyperbolic tangent of a float32, to 3e-7: the quotient of two polynomials.

    Of degree 13 over 6, on [-9, 9]; the coefficients are the minimax fit that Eigen uses.
    """
    x = np.float32(9) if x > np.float32(9) else x
    x = np.float32(-9) if x < np.float32(-9) else x
    y = x * x
    over = np.float32(-2.76076847742355e-16)
    over = over * y + np.float32(2.00018790482477e-13)
    over = over * y + np.float32(-8.60467152213735e-11)
    over = over * y + np.float32(5.12229709037114e-08)
    over = over * y + np.float32(1.48572235717979e-05)
    over = over * y + np.float32(6.37261928875436e-04)
    over = over * y + np.float32(4.89352455891786e-03)
    under = np.float32(1.19825839466702e-06)
    under = under * y + np.float32(1.18534705686654e-04)
    under = under * y + np.float32(2.26843463243900e-03)
    under = under * y + np.float32(4.89352518554385e-03)
    return x * over / under


def _add_rows(typing_context: Any, out: Any, x: Any, weight: Any, first: Any, last: Any) -> Any:
    """`out += x[first:last] @ weight[first:last]`, in place.

    Args:
        out: float32 `[G]`, G a multiple of `LANES`.
        x: float32 `[H]`.
        weight: float32 `[H, G]`, C-contiguous.
        first, last: the rows that count.
    """
    signature = types.void(out, x, weight, types.intp, types.intp)
    return signature, _emit_add_rows


add_rows: Any = intrinsic(_add_rows)  # it is called without the first argument


def _emit_add_rows(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    out, x, weight = (
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args[:3], args[:3], strict=True)
    )
    first, last = args[3:]
    index = first.type
    width = cgutils.unpack_tuple(builder, weight.shape)[1]
    wide = index(_BLOCK * LANES)
    num_wide = builder.sdiv(width, wide)
    with cgutils.for_range(builder, num_wide) as loop:
        start = builder.mul(loop.index, wide)
        _emit_columns(builder, out, x, weight, (first, last), start, width, _BLOCK)
    rest = builder.mul(num_wide, wide)
    with cgutils.for_range_slice(builder, rest, width, index(LANES), index) as (start, _):
        _emit_columns(builder, out, x, weight, (first, last), start, width, 1)
    return context.get_dummy_value()


def _emit_columns(
    builder: Any, out: Any, x: Any, weight: Any, rows: Any, start: Any, width: Any, vectors: int
) -> None:
    """Some vectors of the result, kept in registers over all rows."""
    vector = ir.VectorType(ir.FloatType(), LANES)
    index = start.type

    def at(data: Any, place: Any, k: int) -> Any:
        pointer = builder.gep(data, [builder.add(place, index(k * LANES))])
        return builder.bitcast(pointer, vector.as_pointer())

    def load(pointer: Any) -> Any:
        value = builder.load(pointer)
        value.align = 4  # NumPy promises no more
        return value

    sums = [cgutils.alloca_once(builder, vector) for _ in range(vectors)]
    for k, total in enumerate(sums):
        builder.store(load(at(out.data, start, k)), total)
    first, last = rows
    with cgutils.for_range_slice(builder, first, last, index(1), index) as (row, _):
        scalar = builder.load(builder.gep(x.data, [row]))
        single = builder.insert_element(
            ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0)
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        spread = builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)
        place = builder.add(builder.mul(row, width), start)
        for k, total in enumerate(sums):
            # "contract" lets the target fuse both into one instruction where it has that.
            flags = ("contract",)
            product = builder.fmul(spread, load(at(weight.data, place, k)), flags=flags)
            builder.store(builder.fadd(builder.load(total), product, flags=flags), total)
    for k, total in enumerate(sums):
        builder.store(builder.load(total), at(out.data, start, k)).align = 4
