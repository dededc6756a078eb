"""Measure a reader and its baselines on one set of labelled inputs, in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...data.item import Kind
from ...training.accuracy import interval
from ...training.model_card import promise
from ..held_out.labelled import Labelled, LeftOut
from ..held_out.unseen import keep_unseen, rows_of_inputs
from ..reading import Reading
from .contestant import Contestant, reads
from .contestants import contestants
from .interleaved import Clocked, clock, machine
from .video_seen import VideoSeen, means_of


def without_seen(
    data: Labelled, model: str | None, source: str, *, kind: Kind, leave_out: bool
) -> Labelled:
    """The inputs that a reader has not seen, of copies one.

    Args:
        data: the inputs.
        model: the reader's folder; of others, and of bundled ones (None), nothing is known.
        source: where the inputs are from.
        kind: what they are.
        leave_out: leave out what was seen, rather than refuse it.

    Raises:
        NotNew: some were seen.
    """
    digests = rows_of_inputs([item.value for item in data.items], kind, source)
    rows = digests.rows
    if not rows or model is None or not Path(model).is_dir():
        return data
    kept = keep_unseen(model, digests, leave_out=leave_out, once=True).kept
    inside, known = set(kept), {rows[k] for k in kept}
    out = []
    for k, item in enumerate(data.items):
        if k not in inside:
            reason = "copy" if rows[k] in known else "seen"
            message = (
                "the same as an input before" if reason == "copy" else "the reader has seen it"
            )
            out.append(LeftOut(id=item.id, reason=reason, message=message))
    return data.keep(kept, out)


def only_readable(pipe: Any, data: Labelled) -> tuple[Labelled, list[Reading]]:
    """The inputs that a pipeline reads in full, and its readings of them."""
    kept, readings, out = [], [], []
    for k, reading in enumerate(reads(pipe)(data.items)):
        if reading.error is not None or not reading.classes:
            error = reading.error
            reason, message = (error.reason, error.message) if error else ("no_answer", "no answer")
            out.append(LeftOut(id=reading.id, reason=reason, message=message))
        else:
            kept.append(k)
            readings.append(reading)
    return data.keep(kept, out), readings


def compare(
    pipe: Any,
    data: Labelled,
    *,
    static: Any = None,
    static_classes: Mapping[int, int] | None = None,
    rounds: int = 3,
    curve: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the reader and its baselines on the inputs, interleaved, and say what each did.

    Args:
        pipe: of the reader, set to the operating point that is to be measured.
        data: inputs; those that it cannot read are left out for all.
        static: a pipeline of a smaller model.
        static_classes: the reader's class for each of its own; None: they are the same.
        rounds: timed, after one to warm up; the median counts.
        curve: for videos, also the curve of uniform frames and the reader's operating points.
        tell: is told in a sentence what takes its time.

    Returns:
        Plain values: `inputs`, `left_out`, `units`, `rounds`, the machine, and `results` by
        contestant: `accuracy` with its 95 % interval, `ms_per_input`, `relative_speed` (the reader
        is 1), `share_read`, `macs` that were counted and `macs_share` of those of the dense
        reading; of the reader `certified` and `promise`, of the truncated dense model its `cut`.
        Of videos, too: of an input in the mean `frames_decoded` (None where decord decoded),
        `frames_glanced` (at `glance_size`), `frames_read`, `decode_ms` and `model_ms`; and
        `realised_share`, the share of the dense reading's time that is saved over that of its MACs.

    Raises:
        ValueError: nothing can be read.
    """
    tell(f"reading {len(data.items)} inputs once")
    data, readings = only_readable(pipe, data)
    if not data.items:
        raise ValueError("no input with a label could be read")
    units = sum(reading.trace.units_total for reading in readings if reading.trace is not None)
    tell(f"finding the cut of {pipe.record.kind}s that takes the reader's time")
    found = contestants(pipe, data.items, static, static_classes, curve=curve)
    tell(f"timing {', '.join(found)}: {rounds + 1} rounds")
    runs = {name: partial(one.run, data.items) for name, one in found.items()}
    clocked = clock(runs, rounds)
    videos = pipe.record.kind == "video"
    results = {
        name: _row(found[name], took, data, units if found[name].shares_units else 0, videos=videos)
        for name, took in clocked.items()
    }
    whole = results["dense"]["macs"]
    for row in results.values():
        row["relative_speed"] = results["reader"]["seconds"] / row["seconds"]
        row["macs_share"] = row["macs"] / whole if whole else None
        if videos:
            saved = 1 - row["macs"] / whole if whole and row["macs"] else 0.0
            gained = 1 - row["seconds"] / results["dense"]["seconds"]
            row["realised_share"] = gained / saved if saved > 1e-9 else None
    results["reader"].update(_certificate(pipe))
    return {
        "inputs": len(data.items),
        "left_out": [
            {"id": one.id, "reason": one.reason, "message": one.message} for one in data.left_out
        ],
        "units": f"{pipe.reader.unit}s",
        "rounds": rounds,
        **machine(),
        "results": results,
    }


def _row(
    one: Contestant, took: Clocked[list[Reading]], data: Labelled, units: int, *, videos: bool
) -> dict[str, Any]:
    """What a contestant did; `units` are those of the inputs, 0: as it counts them itself."""
    answers = [reading.classes[0] if reading.classes else None for reading in took.answer]
    right = sum(a == b for a, b in zip(answers, data.classes, strict=True))
    traces = [reading.trace for reading in took.answer if reading.trace is not None]
    count = len(data.items)
    units = units or sum(trace.units_total for trace in traces)
    return {
        "says": one.says,
        "accuracy": right / count,
        "accuracy_interval": list(interval(right / count, count)),
        "seconds": took.seconds,
        "ms_per_input": 1000 * took.seconds / count,
        "share_read": sum(trace.units_read for trace in traces) / units if units else None,
        "unread": sum(answer is None for answer in answers),
        "macs": sum(trace.cost.macs for trace in traces),
        **(_of_videos(took.answer, count) if videos else {}),
        **(one.facts or {}),
    }


def _of_videos(readings: Sequence[Reading], count: int) -> dict[str, Any]:
    """Frames and milliseconds of one of so many videos."""
    read = [reading for reading in readings if reading.trace is not None and reading.classes]
    if not read:
        return {}
    seen = [VideoSeen.of(reading) for reading in read]
    means = means_of(seen)
    del means["macs"]  # the row has their sum
    costs = [one.cost for one in seen]
    return {
        **means,
        "decode_ms": 1000 * sum(cost.decode_seconds for cost in costs) / count,
        "model_ms": 1000 * sum(cost.model_seconds for cost in costs) / count,
    }


def _certificate(pipe: Any) -> dict[str, Any]:
    """Whether the point that is measured is certified, and what it promises."""
    point = pipe.operating_point
    if point is None:  # the reader's own policy may be one that is stored
        config = pipe.reader.config
        for stored in getattr(config, "operating_points", None) or []:
            if all(getattr(config, key, None) == value for key, value in stored["policy"].items()):
                point = stored
                break
    if point is None:
        return {"certified": False, "promise": "Nothing is certified: it was not calibrated."}
    units = f"{pipe.record.kind}s"
    certified = point["cost_share"] >= 1 or point.get("risk") is not None
    return {"certified": certified, "promise": promise(point, units)}
