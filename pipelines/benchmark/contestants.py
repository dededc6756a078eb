"""What a reader is measured against, of any task: itself in full, cut to its cost, and others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...data.item import Item
from ...training.exit_policies import NEVER
from .contestant import Contestant, Run, in_full, reads
from .truncated import CUTS, nearest_cut, said
from .video_contestants import video_contestants

_SAMPLE = 128
"""Inputs at most by which a truncation is chosen."""
_PAIR_SECONDS, _PAIRS = 0.6, 15
"""A cut and the reader are timed side by side until that much is spent, or that often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the reader and its full reading did with a sample of the inputs."""

    share: float
    """Of the full reading's cost that the reader spends: of MACs, or of units where none count."""
    units_read: tuple[int, int]
    """By the full reading: in the mean, and at most, of an input."""


def contestants(
    pipe: Any,
    items: Sequence[Item],
    static: Any,
    classes: Mapping[int, int] | None = None,
    *,
    curve: bool = True,
) -> dict[str, Contestant]:
    """The reader and its baselines, cut to what the reader costs on a sample of the inputs.

    Args:
        pipe: of the reader, set to what is to be measured.
        items: inputs that it can read.
        static: a pipeline of a smaller model, which reads everything; None: there is none.
        classes: the reader's class for each of the smaller model's; None: they are the same.
        curve: for videos also `video_contestants`.
    """
    full = in_full(pipe)
    reader = Contestant(says="reads what it needs", run=reads(pipe))
    dense = Contestant(says="reads everything", run=reads(pipe, **full))
    found = {"reader": reader, "dense": dense}
    sample = items[:: -(-len(items) // _SAMPLE)]
    measured = _measure(reader, dense, sample)
    exits = int(getattr(pipe.reader.config, "num_exits", 0) or 0)
    if exits > 1 and "thresholds" in full:
        k = min(range(exits), key=lambda k: abs((k + 1) / exits - measured.share))
        fixed = {**full, "thresholds": [NEVER] * k + [-NEVER] * (exits - 1 - k)}
        says = f"always answers at exit {k + 1} of {exits}"
        found["fixed_exit"] = Contestant(says=says, run=reads(pipe, **fixed))
    found["truncated"] = truncated(pipe, full, reader, sample, measured)
    if curve and pipe.record.kind == "video":
        found |= video_contestants(pipe, items, full, measured.units_read[1])
    if static is not None:
        found["static"] = Contestant(
            says="the smaller static model, in full",
            run=in_classes(reads(static, **in_full(static)), classes),
            shares_units=False,
        )
    return found


def truncated(
    pipe: Any,
    full: Mapping[str, Any],
    reader: Contestant,
    sample: Sequence[Item],
    measured: Measured,
) -> Contestant:
    """The dense model on a part of each input: the part whose time is nearest to the reader's."""
    cut, words = CUTS[pipe.record.kind]
    mean, most = measured.units_read
    count = nearest_cut(
        lambda count: _relative_time(reads(cut(pipe, count), **full), reader.run, sample),
        1.0,
        first=round(mean * measured.share),
        most=most,
    )
    return Contestant(
        says=f"reads everything of {said(words, count)}: the cut nearest to the reader's time",
        run=reads(cut(pipe, count), **full),
        facts={"cut": count},
    )


def in_classes(run: Run, classes: Mapping[int, int] | None) -> Run:
    """The same readings with their classes numbered otherwise."""
    if classes is None:
        return run
    return lambda items: [
        replace(reading, classes=tuple(classes[k] for k in reading.classes))
        for reading in run(items)
    ]


def _measure(reader: Contestant, dense: Contestant, sample: Sequence[Item]) -> Measured:
    spent = [one.trace for one in reader.run(sample) if one.trace is not None]
    whole = [one.trace for one in dense.run(sample) if one.trace is not None]
    macs = sum(trace.cost.macs for trace in whole)
    units = [trace.units_read for trace in whole]
    if macs:
        share = sum(trace.cost.macs for trace in spent) / macs
    else:
        share = sum(trace.units_read for trace in spent) / max(sum(units), 1)
    mean = round(sum(units) / max(len(units), 1))
    return Measured(share=min(share, 1.0), units_read=(mean, max([1, *units])))


def _relative_time(run: Run, reader: Run, sample: Sequence[Item]) -> float:
    """How long a run takes beside the reader's, side by side: the median of pairs."""
    run(sample)  # warms up
    ratios: list[float] = []
    spent = 0.0
    while not ratios or (spent < _PAIR_SECONDS and len(ratios) < _PAIRS):
        start = time.perf_counter()
        run(sample)
        middle = time.perf_counter()
        reader(sample)
        end = time.perf_counter()
        ratios.append((middle - start) / (end - middle))
        spent += end - start
    return statistics.median(ratios)
