"""What to read at one time and what next: pieces of a source, and orders over its positions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence


def uniform(num_units: int, num_reads: int) -> list[int]:
    """The middles of `num_reads` equal segments, in the order of time.

        10 units, 4 reads:   . x . x . . x . x .      ->  1, 3, 6, 8

    Fewer units than reads give each unit once.
    """
    _check(num_units, num_reads)
    if num_units <= num_reads:
        return list(range(num_units))
    return [(2 * k + 1) * num_units // (2 * num_reads) for k in range(num_reads)]


def end_first(num_units: int, num_reads: int) -> list[int]:
    """Last, then the middles of the widest gaps, earliest gap first.

        9 units, 5 reads:   . 4 . 2 . 3 5 . 1   (the numbers say when each unit is read)

    For events that leave a mark: the end shows what became of the scene and the middle how. In a
    video that starts a group of pictures near its end, the first read is also a cheap one.
    """
    _check(num_units, num_reads)
    return _bisect_gaps([num_units - 1], num_units, num_reads)


def coarse_to_fine(num_units: int, num_reads: int) -> list[int]:
    """Middle, first, last, then the middles of the widest gaps.

    The order of FrameExit (Ghodrati et al., CVPR 2021, section 3.1).
    """
    _check(num_units, num_reads)
    order: list[int] = []
    for unit in (num_units // 2, 0, num_units - 1):
        if unit not in order and len(order) < num_reads:
            order.append(unit)
    return _bisect_gaps(order, num_units, num_reads)


def sequential(num_units: int, num_reads: int) -> list[int]:
    """The first `num_reads` units: what truncation reads."""
    _check(num_units, num_reads)
    return list(range(min(num_units, num_reads)))


ORDERS: dict[str, Callable[[int, int], list[int]]] = {
    "uniform": uniform,
    "end_first": end_first,
    "coarse_to_fine": coarse_to_fine,
    "sequential": sequential,
}


def order(name: str) -> Callable[[int, int], list[int]]:
    """Look an order up.

    Raises:
        ValueError: the name is not one of `ORDERS`.
    """
    if name not in ORDERS:
        raise ValueError(f"order ({name!r}) must be one of {sorted(ORDERS)}")
    return ORDERS[name]


def at_shares(num_units: int, shares: Sequence[float]) -> list[int]:
    """The units at shares of the length, in the order given, each once; 1 is the last unit.

    9 units, shares 1, 0.25, 0.5:   . . 2 . 3 . . . 1   (when each unit is read)
    """
    _check(num_units, len(shares))
    return list(dict.fromkeys(min(int(share * num_units), num_units - 1) for share in shares))


def snap(units: Sequence[int], cheap: Sequence[int], reach: float | Sequence[float]) -> list[int]:
    """Move each unit to the nearest cheap one within `reach`, where that is not taken yet.

    Args:
        units: units to read, in order.
        cheap: units that cost less, in increasing order (the keyframes of a video).
        reach: the farthest move, in units; or one for each unit.

    Returns:
        Distinct units, in the same order; a unit that an earlier move already took is left out.
    """
    reaches = [reach] * len(units) if isinstance(reach, (int, float)) else reach
    taken: list[int] = []
    for unit, far in zip(units, reaches, strict=False):
        near = [c for c in cheap if abs(c - unit) <= far and c not in taken]
        chosen = int(min(near, key=lambda c: (abs(c - unit), c))) if near else unit
        if chosen not in taken:
            taken.append(chosen)
    return taken


def num_allowed(num_units: int, share: float) -> int:
    """How many of so many units may be read if a share of them may: at least one."""
    return max(1, int(share * num_units + 1e-9))


def even_pieces(num_units: int, size: int) -> list[range]:
    """As few pieces as possible of at most `size` units, all about as long.

        10 units, at most 4:   . . . | . . . | . . . .

    Pieces of exactly `size` would leave a crumb at the end, which tells little and costs a step.
    """
    _check(num_units, size)
    count = -(-num_units // size)
    cuts = [k * num_units // count for k in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(cuts)]


def grouped(parts: Sequence[range], size: int) -> list[range]:
    """Join neighbouring parts (sentences, say) into pieces of at most `size` units.

    A part that is longer than that is cut evenly; empty ones go.

        parts of 2 3 1 9 2 units, at most 5:   2+3 | 1 | 4 | 5 | 2
    """
    pieces: list[range] = []
    for part in parts:
        if pieces and part.stop - pieces[-1].start <= size:
            pieces[-1] = range(pieces[-1].start, part.stop)
        elif len(part):
            cut = even_pieces(len(part), size)
            pieces += [range(part.start + r.start, part.start + r.stop) for r in cut]
    return pieces


def _check(num_units: int, num_reads: int) -> None:
    if num_units < 1 or num_reads < 1:
        raise ValueError(f"num_units ({num_units}) and num_reads ({num_reads}) must be >= 1")


def _bisect_gaps(order: list[int], num_units: int, num_reads: int) -> list[int]:
    """Extend `order` by the middle of the widest gap between read units, earliest gap first."""
    taken = sorted(order)
    while len(order) < min(num_reads, num_units):
        edges = [-1, *taken, num_units]
        gaps = [(edges[k + 1] - edges[k], -k) for k in range(len(edges) - 1)]
        _, k = max(gaps)
        middle = (edges[-k] + edges[-k + 1]) // 2
        order.append(middle)
        taken = sorted([*taken, middle])
    return order
