"""The kernels' loops over float32 arrays, written in LLVM's own vectors.

What a step does to a state of 10 or 100 entries is over before a loop that LLVM vectorised has
reached its fast part: it unrolls for long arrays, keeps a scalar loop for the rest, and checks
first whether arrays overlap. Here every loop is whole vectors and at most one with a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

LANES = 16
"""float32 numbers in a vector; the columns of weights are padded to a multiple of it."""

FLAGS = ("contract", "reassoc", "arcp", "nsz", "afn")
"""What the arithmetic may do. Not "nnan" and "ninf": a broken weight must come out as NaN."""

_WANTED = getattr(config, "CPU_FEATURES", None)  # by the environment
_AVX512 = "+avx512f" in (get_host_cpu_features() if _WANTED is None else _WANTED)
BLOCKS = (25, 8, 4, 1) if _AVX512 else (4, 1)
"""Vectors of a product's result that stay in registers while the rows go by. AVX-512 has 32
registers of this size; elsewhere several smaller ones make one of these. The more, the longer the
pieces of memory that are read on end: a state of 100 by 25 is 1.4 times as fast as by 8."""

_INDEX = ir.IntType(64)
_NUMBER = ir.FloatType()
_VECTOR = ir.VectorType(_NUMBER, LANES)


class _Lanes:
    """A vector in the code that is being built, with Python's operators."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, other: _Lanes | float) -> _Lanes:
        return self._apply("fadd", self, other)

    def __sub__(self, other: _Lanes | float) -> _Lanes:
        return self._apply("fsub", self, other)

    def __mul__(self, other: _Lanes | float) -> _Lanes:
        return self._apply("fmul", self, other)

    def __truediv__(self, other: _Lanes | float) -> _Lanes:
        return self._apply("fdiv", self, other)

    __radd__ = __add__
    __rmul__ = __mul__

    def limited(self, bound: float) -> _Lanes:
        """Within `[-bound, bound]`; NaN stays."""
        value = self.value
        for comparison, end in ((">", bound), ("<", -bound)):
            beyond = self.builder.fcmp_ordered(comparison, value, _every(end))
            value = self.builder.select(beyond, _every(end), value)
        return _Lanes(self.builder, value)

    def larger(self, other: _Lanes) -> _Lanes:
        """The larger of both, and NaN where either is."""
        builder = self.builder
        takes = builder.or_(
            builder.fcmp_ordered(">", other.value, self.value),
            builder.fcmp_unordered("uno", other.value, other.value),
        )
        return _Lanes(builder, builder.select(takes, other.value, self.value))

    def _apply(self, operation: str, left: _Lanes, right: _Lanes | float) -> _Lanes:
        of_right = right.value if isinstance(right, _Lanes) else _every(right)
        return _Lanes(
            self.builder, getattr(self.builder, operation)(left.value, of_right, flags=FLAGS)
        )


def _every(number: float) -> Any:
    return ir.Constant(_VECTOR, [number] * LANES)


def _tanh(x: _Lanes) -> _Lanes:
    """Hyperbolic tangent, to 3e-7: the quotient of two polynomials.

    Of degree 13 over 6, on [-9, 9]; the coefficients are the minimax fit that Eigen uses.
    """
    x = x.limited(9)
    y = x * x
    over = y * -2.76076847742355e-16 + 2.00018790482477e-13
    over = over * y + -8.60467152213735e-11
    over = over * y + 5.12229709037114e-08
    over = over * y + 1.48572235717979e-05
    over = over * y + 6.37261928875436e-04
    over = over * y + 4.89352455891786e-03
    under = y * 1.19825839466702e-06 + 1.18534705686654e-04
    under = under * y + 2.26843463243900e-03
    under = under * y + 4.89352518554385e-03
    return x * over / under


class _Row:
    """Consecutive float32 numbers, some of which `get` reads and `put` writes.

    Both take the place of the first lane and a mask of the lanes that count, None for all.
    """

    def __init__(self, builder: Any, data: Any, first: Any = None, shape: Any = ()) -> None:
        self.builder = builder
        self.data = data if first is None else builder.gep(data, [first])
        self.shape = shape

    @classmethod
    def of(cls, context: Any, builder: Any, kind: Any, value: Any) -> _Row:
        """All numbers of an array.

        Raises:
            NumbaTypeError: they are not float32, or do not lie side by side.
        """
        if kind.dtype != types.float32 or kind.layout != "C":
            raise NumbaTypeError(f"{kind} must be a C-contiguous array of float32: copy it first")
        array = context.make_array(kind)(context, builder, value)
        return cls(builder, array.data, shape=cgutils.unpack_tuple(builder, array.shape))

    def get(self, place: Any, mask: Any = None) -> _Lanes:
        pointer = self._pointer(place)
        if mask is None:
            value = self.builder.load(pointer)
            value.align = 4  # NumPy promises no more
        else:
            value = self._masked("load", _VECTOR, [pointer, _ALIGN, mask, _every(0)])
        return _Lanes(self.builder, value)

    def put(self, lanes: _Lanes, place: Any, mask: Any = None) -> None:
        pointer = self._pointer(place)
        if mask is None:
            self.builder.store(lanes.value, pointer).align = 4
        else:
            self._masked("store", ir.VoidType(), [lanes.value, pointer, _ALIGN, mask])

    def spread(self, place: Any) -> _Lanes:
        """One number in all lanes."""
        builder, nothing = self.builder, ir.Constant(_VECTOR, ir.Undefined)
        number = builder.load(builder.gep(self.data, [place]))
        single = builder.insert_element(nothing, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return _Lanes(builder, builder.shuffle_vector(single, nothing, zeros))

    def _pointer(self, place: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [place]), _VECTOR.as_pointer())

    def _masked(self, kind: str, returns: Any, arguments: list[Any]) -> Any:
        signature = ir.FunctionType(returns, [argument.type for argument in arguments])
        name = f"llvm.masked.{kind}.v{LANES}f32.p0"
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self.builder.call(function, arguments)


_ALIGN = ir.IntType(32)(4)


def _over_vectors(builder: Any, count: Any, body: Callable[[Any, Any], None]) -> None:
    """Build `body(place, mask)` for whole vectors and for what is left of `count` numbers."""
    whole = builder.and_(count, _INDEX(-LANES))
    with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(LANES), _INDEX) as (place, _):
        body(place, None)
    rest = builder.sub(count, whole)
    with builder.if_then(builder.icmp_signed("!=", rest, _INDEX(0))):
        wide = ir.VectorType(_INDEX, LANES)
        bound = ir.Constant(wide, ir.Undefined)
        for lane in range(LANES):
            bound = builder.insert_element(bound, rest, ir.IntType(32)(lane))
        lanes = ir.Constant(wide, list(range(LANES)))
        body(whole, builder.icmp_signed("<", lanes, bound))


def _loop(returns: Any = types.void) -> Callable[[Callable[..., Any]], Any]:
    """Make a function that kernels call out of one that builds its code.

    The latter gets the builder, and a `_Row` for every array and a whole number in LLVM's terms for
    every other argument.
    """

    def decorate(build: Callable[..., Any]) -> Any:
        @wraps(build)
        def typed(typing_context: Any, *arguments: Any) -> Any:
            kinds = [kind if isinstance(kind, types.Array) else types.intp for kind in arguments]

            def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                given = [
                    _Row.of(context, builder, kind, value)
                    if isinstance(kind, types.Array)
                    else value
                    for kind, value in zip(kinds, values, strict=True)
                ]
                result = build(builder, *given)
                return context.get_dummy_value() if result is None else result

            return returns(*kinds), generate

        return intrinsic(typed)

    return decorate


@_loop()
def set_row(builder: Any, out: Any, table: Any, row: Any) -> None:
    """`out[:G] = table[row]`, of `[V, G]`."""
    width = table.shape[1]
    source = _Row(builder, table.data, builder.mul(row, width))
    _over_vectors(builder, width, lambda at, mask: out.put(source.get(at, mask), at, mask))


@_loop()
def add(builder: Any, out: Any, x: Any) -> None:
    """`out[:n] += x`, of `[n]`."""

    def step(at: Any, mask: Any) -> None:
        out.put(out.get(at, mask) + x.get(at, mask), at, mask)

    _over_vectors(builder, x.shape[0], step)


@_loop(types.float32)
def dot(builder: Any, x: Any, y: Any) -> Any:
    """`x @ y[:n]`, of `[n]`."""
    total = cgutils.alloca_once_value(builder, _every(0))

    def step(at: Any, mask: Any) -> None:
        product = x.get(at, mask) * y.get(at, mask)
        builder.store((_Lanes(builder, builder.load(total)) + product).value, total)

    _over_vectors(builder, x.shape[0], step)
    lanes = builder.load(total)
    half = LANES // 2
    while half:
        places = [*range(half, 2 * half), *[0] * (LANES - half)]
        other = builder.shuffle_vector(
            lanes, lanes, ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
        )
        lanes = builder.fadd(lanes, other, flags=FLAGS)
        half //= 2
    return builder.extract_element(lanes, ir.IntType(32)(0))


@_loop()
def keep_larger(builder: Any, out: Any, x: Any, count: Any) -> None:
    """`out[:count] = maximum(out, x)`, with NaN where either is NaN."""

    def step(at: Any, mask: Any) -> None:
        out.put(out.get(at, mask).larger(x.get(at, mask)), at, mask)

    _over_vectors(builder, count, step)


@_loop()
def add_rows(builder: Any, out: Any, x: Any, weight: Any, first: Any, last: Any) -> None:
    """`out[:G] += x[first:last] @ weight[first:last]`.

    Args:
        out: float32 `[G]` or longer.
        x: float32 `[H]`.
        weight: float32 `[H, G]`, C-contiguous, G a multiple of `LANES`.
        first, last: the rows that count.
    """
    width = weight.shape[1]
    start = _INDEX(0)
    for vectors in BLOCKS:
        block = _INDEX(vectors * LANES)
        end = builder.sub(width, builder.srem(builder.sub(width, start), block))
        with cgutils.for_range_slice(builder, start, end, block, _INDEX) as (place, _):
            _add_columns(builder, out, x, weight, (first, last), place, vectors)
        start = end


def _add_columns(
    builder: Any, out: Any, x: Any, weight: Any, rows: Any, start: Any, vectors: int
) -> None:
    """Some vectors of the result, kept in registers over all rows."""
    places = [builder.add(start, _INDEX(k * LANES)) for k in range(vectors)]
    sums = [cgutils.alloca_once_value(builder, out.get(place).value) for place in places]
    first, last = rows
    with cgutils.for_range_slice(builder, first, last, _INDEX(1), _INDEX) as (row, _):
        factor = x.spread(row)
        weights = _Row(builder, weight.data, builder.mul(row, weight.shape[1]))
        for place, total in zip(places, sums, strict=True):
            added = _Lanes(builder, builder.load(total)) + factor * weights.get(place)
            builder.store(added.value, total)
    for place, total in zip(places, sums, strict=True):
        out.put(_Lanes(builder, builder.load(total)), place)


@_loop()
def lstm_update(builder: Any, gates: Any, stride: Any, h: Any, c: Any, count: Any) -> None:
    """Update the first entries of an LSTM's state in place.

    Args:
        gates: float32, the sum of both shares: input, forget, output, cell; those of the first
            three are halved, since `sigmoid(x) = (1 + tanh(x / 2)) / 2`.
        stride: from one gate's first entry to the next one's.
        h, c: float32 `[H]`.
        count: entries to update.
    """
    rows = [_Row(builder, gates.data, builder.mul(stride, _INDEX(k))) for k in range(4)]

    def step(at: Any, mask: Any) -> None:
        into, kept, out, new = [_tanh(row.get(at, mask)) for row in rows]
        state = 0.5 * ((kept + 1) * c.get(at, mask) + (into + 1) * new)
        c.put(state, at, mask)
        h.put(0.5 * (out + 1) * _tanh(state), at, mask)

    _over_vectors(builder, count, step)


@_loop()
def gru_update(builder: Any, gates: Any, stride: Any, new: Any, h: Any, count: Any) -> None:
    """Update the first entries of a GRU's state in place.

    Args:
        gates: float32: reset and update, halved as for `lstm_update`, the sum of both shares; the
            state's share of the new gate; and somewhere the input's.
        stride: from one gate's first entry to the next one's.
        new: where the input's share of the new gate begins.
        h: float32 `[H]`.
        count: entries to update.
    """
    rows = [_Row(builder, gates.data, builder.mul(stride, _INDEX(k))) for k in range(3)]
    inputs = _Row(builder, gates.data, new)

    def step(at: Any, mask: Any) -> None:
        reset, update = [0.5 * (_tanh(row.get(at, mask)) + 1) for row in rows[:2]]
        candidate = _tanh(inputs.get(at, mask) + reset * rows[2].get(at, mask))
        h.put(candidate + update * (h.get(at, mask) - candidate), at, mask)

    _over_vectors(builder, count, step)
