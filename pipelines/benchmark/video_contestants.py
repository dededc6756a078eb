"""What a reader of videos is measured against besides: uniform frames, and its other points.

The same weights, which read in full what they are offered: K uniform frames by our own reads, and
by `decord.VideoReader.get_batch`, as most code reads them; the reader at all its operating points;
transformers' own pipeline, where the reader is around a classifier that it can run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers

from ...data.frames import Frames
from ...data.item import InputError, Item
from ...data.part import VideoPart
from ...models.operating_points import set_to
from ...trace import Cost
from ..reading import Reading
from .contestant import Contestant, Run, reads
from .truncated import uniform_frames
from .uniform_videos import decord_frames

COUNTS = (1, 2, 4, 8, 16, 32)
"""Numbers of uniform frames."""


def video_contestants(
    pipe: Any, items: Sequence[Item], full: Mapping[str, Any], most: int
) -> dict[str, Contestant]:
    """Further contestants, by name: `video_4`, `decord_4`, `point_2`, `transformers`.

    Args:
        pipe: of the reader.
        items: which it can read; decord is asked where all are paths or bytes, or parts of these.
        full: fields with which the reader skips nothing and never halts.
        most: frames that it then reads of an input, at most: of more it would read no others.
    """
    found: dict[str, Contestant] = {}
    counts = [k for k in COUNTS if k < most] + [k for k in COUNTS if k >= most][:1]
    for count in counts:
        says = f"reads everything of {count} uniform frame{'s' * (count > 1)}"
        run = reads(uniform_frames(pipe, count), **full)
        found[f"video_{count}"] = Contestant(says=says, run=run, facts={"uniform": count})
    if _has_decord() and all(_is_file(item.value) for item in items):
        for count in counts:
            says = f"the same of {count} by decord's get_batch"
            run = by_decord(pipe, count, full)
            facts = {"uniform": count, "frames_decoded": None}
            found[f"decord_{count}"] = Contestant(says=says, run=run, facts=facts)
    for number, point in enumerate(pipe.reader.config.operating_points or []):
        share = point["cost_share"]
        says = f"its operating point for {share:.0%} of the full cost"
        found[f"point_{number}"] = Contestant(
            says=says, run=reads(pipe, **point["policy"]), facts={"cost_share": share}
        )
    stock = _stock(pipe, items)
    if stock is not None:
        says = "transformers' own pipeline around the same classifier"
        found["transformers"] = Contestant(says=says, run=stock, shares_units=False)
    return found


def by_decord(pipe: Any, count: int, full: Mapping[str, Any]) -> Run:
    """Uniform frames by decord, at the size at which the reader reads, handed to it in memory.

    Decoding is counted into each trace; how many frames decord decoded on the way, it does not say.
    """
    size = getattr(pipe.reader, "frame_size", None)

    def run(items: Sequence[Item]) -> list[Reading]:
        seconds: list[float] = []

        def frames() -> Iterator[Item]:
            for item in items:
                start = time.perf_counter()
                try:
                    pixels, _, _ = decord_frames(item.value, count, size)
                    opened = replace(item, value=Frames(pixels), extra={})
                except Exception as fault:  # decord's own kinds: the input goes unread
                    error = InputError(reason="not_media", message=f"decord: {fault}"[:300])
                    opened = Item(id=item.id, error=error)
                seconds.append(time.perf_counter() - start)
                yield opened

        with set_to(pipe.reader.config, **full):
            readings = list(pipe.read(frames(), top_k=1))
        return [_with_decoding(one, spent) for one, spent in zip(readings, seconds, strict=True)]

    return run


def _with_decoding(reading: Reading, seconds: float) -> Reading:
    if reading.trace is None:
        return reading
    cost = reading.trace.cost + Cost(decode_seconds=seconds)
    return replace(reading, trace=replace(reading.trace, cost=cost))


def _is_file(value: Any) -> bool:
    value = value.source if isinstance(value, VideoPart) else value
    return isinstance(value, str | Path | bytes)


def _has_decord() -> bool:
    try:
        import decord  # noqa: F401
    except ImportError:
        return False
    return True


def _stock(pipe: Any, items: Sequence[Item]) -> Run | None:
    """Transformers' pipeline on paths; None: it cannot run this reader's classifier, or here."""
    classifier = pipe.reader.plain_classifier
    processor = getattr(getattr(pipe.reader, "pixels", None), "processor", None)
    if classifier is None or processor is None or not items:
        return None
    if any(isinstance(item.value, VideoPart) for item in items):  # it knows whole files alone
        return None
    try:
        stock = transformers.pipeline(
            "video-classification", model=classifier, image_processor=processor, device="cpu"
        )
        stock(str(items[0].value), top_k=1)
    except Exception:  # a family that it has no form for, or no decoder that it asks for
        return None
    numbers = {name: k for k, name in classifier.config.id2label.items()}

    def run(items: Sequence[Item]) -> list[Reading]:
        readings = []
        for item in items:
            (best,) = stock(str(item.value), top_k=1)
            classes = (numbers[best["label"]],)
            readings.append(Reading(id=item.id, classes=classes))
        return readings

    return run
