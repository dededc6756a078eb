"""Pipelines of texts whose tokens come from a library: the same readings, and it is said."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from temporal.data import Item
from temporal.pipelines import pipeline
from temporal.pipelines.display.report import summary_table
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.trace import Cost

needs_nanotoken = pytest.mark.skipif(
    importlib.util.find_spec("nanotoken") is None, reason="of the extra `fast`"
)
WORDS = [
    "it",
    "was",
    "a",
    "long",
    "film",
    "but",
    "end",
    "\u00e9tait",
    "good",
    ".",
    "\u6211",
    "a\u0301",
]
BAD = {40: "", 41: 7, 300: " \n", 301: None, 555: "a\ud800b"}


def many_texts() -> list[Any]:
    made: list[Any] = [
        " ".join(WORDS[(k * j) % len(WORDS)] for j in range(1, 5 + k % 60)) for k in range(700)
    ]
    for place, bad in BAD.items():
        made[place] = bad
    return made


def told(pipe: Any, texts: list[Any], **options: Any) -> list[Any]:
    """Readings without what a clock measured."""
    found = []
    for reading in pipe.read(texts, **options):
        trace = reading.trace
        if trace is not None:
            trace = replace(trace, cost=Cost(layers=trace.cost.layers, macs=trace.cost.macs))
        found.append((reading.id, reading.predictions, trace, reading.error))
    return found


def by_reference(pipe: Any) -> Any:
    """The pipeline without a library."""
    pipe.exact_tokenizer.stay_with_reference("for a test")
    return pipe


@needs_nanotoken
@pytest.mark.parametrize("order", ["input", "completed"])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_readings_are_the_same(order: str, batch_size: int) -> None:
    texts = many_texts()[:400] if batch_size == 1 else many_texts()
    quick: Any = pipeline("text-classification", device="cpu", batch_size=batch_size)
    slow = by_reference(pipeline("text-classification", device="cpu", batch_size=batch_size))
    found = told(quick, texts, order=order)
    assert quick.tokenized_by.startswith("nanotoken ")
    assert slow.tokenized_by.endswith("for a test")
    assert found == told(slow, texts, order=order)
    assert len(found) == len(texts)


@needs_nanotoken
def test_a_run_says_what_tokenized(tmp_path: Path) -> None:
    pipe: Any = pipeline("text-classification", device="cpu")
    items = [Item(id=f"{k}", value="It was good, and long. " * 3) for k in range(300)]
    summary = run(pipe, items, tmp_path / "quick", progress=False)
    assert summary.ok == 300 and str(summary.tokenized_by).startswith("nanotoken ")
    caption = str(summary_table(summary).caption)
    assert f"tokenized by {summary.tokenized_by}" in caption
    slow = by_reference(pipeline("text-classification", device="cpu"))
    assert run(slow, items, tmp_path / "slow", progress=False).tokenized_by == slow.tokenized_by
    rows = [list(read_rows(tmp_path / name)) for name in ("quick", "slow")]
    for row in sum(rows, []):
        row["decode_seconds"] = row["model_seconds"] = 0.0
    assert rows[0] == rows[1]


@needs_nanotoken
def test_another_tokenizer_is_followed() -> None:
    pipe: Any = pipeline("text-classification", device="cpu")
    texts = ["It was good."] * 100
    pipe(texts)
    other = pipeline("text-classification", device="cpu")
    assert pipe.exact_tokenizer.library is not None
    pipe.tokenizer = other.tokenizer  # type: ignore[attr-defined]
    assert pipe.exact_tokenizer.reference is pipe.tokenizer
    pipe(texts)
    assert pipe.exact_tokenizer.library is not None


@needs_nanotoken
def test_no_thread_is_left() -> None:
    pipe: Any = pipeline("text-classification", device="cpu", batch_size=8)
    before = threading.active_count()
    readings = pipe.read(["It was good, and long."] * 2000)
    for _ in range(700):
        next(readings)
    readings.close()
    assert threading.active_count() <= before + 1  # numba's own may have come
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("temporal-ahead")]
