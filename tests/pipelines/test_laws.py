"""Laws of the readers as users meet them: through pipelines and jobs, for all three readers.

Every input has exactly one terminal reading, whatever is wrong with its neighbours; the same inputs
give the same bits; two ranks equal one, and a resumed run equals an undisturbed one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import temporal
from temporal.data import Item, Video, collect
from temporal.pipelines import Reading, pipeline
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.store.ledger import ResultWriter, parts, read_rows

POISON = "w58"
"""A word whose embedding is not a number."""
BOMB = "w59"
"""A word that the model raises at."""

TEXT_READERS = ["skim", "early_exit", "bert"]


def text_pipe(kind: str, request: pytest.FixtureRequest, **options: Any) -> Any:
    path = request.getfixturevalue(f"{kind}_path")
    pipe: Any = pipeline("text-classification", model=path, device="cpu", **options)
    return pipe


def booby_trap(pipe: Any) -> None:
    """Make the embedding of `POISON` NaN, and the model raise where a batch holds `BOMB`."""
    module = pipe.model
    embedding = next(m for m in module.modules() if isinstance(m, torch.nn.Embedding))
    poison, bomb = pipe.tokenizer.convert_tokens_to_ids([POISON, BOMB])
    with torch.no_grad():
        embedding.weight[poison] = torch.nan

    def raise_at_bomb(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        if (inputs[0] == bomb).any():
            raise RuntimeError("boom")

    embedding.register_forward_pre_hook(raise_at_bomb)
    if hasattr(module, "run"):  # a kernel looks words up by itself
        run = module.run.fn

        def raise_or_run(ids_BT: torch.Tensor, lengths_B: torch.Tensor) -> Any:
            raise_at_bomb(module, (ids_BT,))
            return run(ids_BT, lengths_B)

        module.run.fn = raise_or_run


def result(reading: Reading) -> tuple[Any, ...]:
    """What must not depend on timing."""
    trace = reading.trace
    decisions = None
    if trace is not None:
        decisions = (trace.read, trace.skimmed, trace.halted_at, trace.exit, trace.cost.macs)
    return reading.id, reading.status, reading.predictions, reading.error, decisions


def assert_close(readings: list[Reading], others: list[Reading]) -> None:
    """Equal but for rounding: other batches add in another order."""
    assert len(readings) == len(others)
    for one, other in zip(readings, others, strict=True):
        assert (one.id, one.status, one.error) == (other.id, other.status, other.error)
        assert [p["label"] for p in one.predictions] == [p["label"] for p in other.predictions]
        scores = [p["score"] for p in other.predictions]
        assert [p["score"] for p in one.predictions] == pytest.approx(scores, abs=1e-5)
        if one.trace is not None and other.trace is not None:
            assert one.trace.read == other.trace.read
            assert one.trace.exit == other.trace.exit


# Law 5: exactly one terminal reading for each input -----------------------------------------------


def bad_texts(texts: list[str]) -> list[Any]:
    """Good texts of one length around bad ones, so that they share cohorts and batches."""
    good = "w1 w2 w3 w4"
    return [
        Item(id="good", value=good),
        Item(id="nothing", value=""),
        Item(id="blank", value=" \n "),
        Item(id="nan", value=f"w1 {POISON} w3 w4"),
        Item(id="number", value=3),
        Item(id="bomb", value=f"w4 w3 w2 {BOMB}"),
        Item(id="neighbour", value="w9 w8 w7 w6"),
        Item(id="same", value=good),
        *(Item(id=f"more-{k}", value=text) for k, text in enumerate(texts[:5])),
    ]


@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize("kind", TEXT_READERS)
def test_every_text_has_one_reading_and_only_the_guilty_fail(
    kind: str, batch_size: int, request: pytest.FixtureRequest, texts: list[str]
) -> None:
    items = bad_texts(texts)
    pipe = text_pipe(kind, request, batch_size=batch_size)
    alone = {item.id: list(pipe.read([item]))[0] for item in (items[0], items[6], *items[7:])}
    booby_trap(pipe)
    readings = list(pipe.read(items))
    assert [reading.id for reading in readings] == [item.id for item in items]
    errors = {r.id: (r.error.stage, r.error.reason) for r in readings if r.error is not None}
    assert errors == {
        "nothing": ("tokenize", "empty_input"),
        "blank": ("tokenize", "empty_input"),
        "nan": ("model", "nonfinite"),
        "number": ("tokenize", "not_text"),
        "bomb": ("model", "model_error"),
    }
    by_id = {reading.id: reading for reading in readings}
    assert by_id["bomb"].error is not None and "boom" in by_id["bomb"].error.message
    assert all(not by_id[id].predictions and by_id[id].status == "error" for id in errors)
    assert_close([by_id[id] for id in alone], list(alone.values()))

    completed = list(pipe.read(items, order="completed"))
    assert sorted(r.id for r in completed) == sorted(r.id for r in readings)
    assert {r.id: r.error for r in completed} == {r.id: r.error for r in readings}
    assert [r.id for r in pipe.read(items, on_error="skip")] == list(alone)


def bad_videos(videos: list[Path], folder: Path) -> list[Any]:
    text = folder / "text.mp4"
    text.write_text("not a video at all, whatever its name says")
    empty = folder / "empty.mp4"
    empty.touch()
    return [videos[0], folder / "gone.mp4", videos[1], text, empty, b"rubbish", videos[2], 3]


@pytest.mark.parametrize("kind", ["vit", "frame_exit", "video_mae"])
def test_every_video_has_one_reading_and_only_the_guilty_fail(
    kind: str, request: pytest.FixtureRequest, videos: list[Path], tmp_path: Path
) -> None:
    pipe: Any = pipeline(
        "video-classification", model=request.getfixturevalue(f"{kind}_path"), device="cpu"
    )
    inputs = bad_videos(videos, tmp_path)
    readings = list(pipe.read(inputs))
    assert len(readings) == len(inputs)
    statuses = [reading.status for reading in readings]
    assert statuses == ["ok", "error", "ok", "error", "error", "error", "ok", "error"]
    reasons = [r.error.reason if r.error else None for r in readings]
    assert reasons[1] == "not_found" and reasons[3] == reasons[5] == "not_media"
    assert all(r.error is None or r.error.message for r in readings)
    for position in (0, 2, 6):
        assert_close([readings[position]], list(pipe.read([inputs[position]])))
    completed = list(pipe.read(inputs, order="completed"))
    assert sorted(r.id for r in completed) == sorted(r.id for r in readings)


@pytest.mark.parametrize("order", ["input", "completed"])
def test_a_video_that_the_model_cannot_answer_fails_alone(
    frame_exit_path: Path, videos: list[Path], order: Any
) -> None:
    pipe: Any = pipeline("video-classification", model=frame_exit_path, device="cpu")
    expected = {r.id: result(r) for r in pipe.read(videos)}
    guilty_frame = Video(videos[2]).read([15], size=(32, 32)).float()

    def poison(_: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        is_guilty = [bool(torch.allclose(x, guilty, atol=1e-4)) for x in inputs[0]]
        return output.masked_fill(torch.tensor(is_guilty)[:, None], torch.nan)

    backbone = pipe.reader.backbone
    scale, mean = pipe.reader.config.pixel_std[0], pipe.reader.config.pixel_mean[0]
    guilty = (guilty_frame[0] - mean) / scale
    features = backbone.features
    backbone.features = lambda pixels: poison(None, (pixels,), features(pixels))
    readings = {r.id: r for r in pipe.read(videos, order=order)}
    assert readings.keys() == expected.keys()
    failed = [id for id, reading in readings.items() if reading.error is not None]
    assert failed == [str(videos[2])]
    assert readings[failed[0]].error.reason == "nonfinite"  # type: ignore[union-attr]  # it failed
    assert all(result(r)[:2] == expected[id][:2] for id, r in readings.items() if id not in failed)


def test_a_file_that_vanishes_is_a_reading(frame_exit_path: Path, videos: list[Path]) -> None:
    pipe: Any = pipeline("video-classification", model=frame_exit_path, device="cpu")
    copy = videos[0].with_name("vanishes.mp4")
    copy.write_bytes(videos[0].read_bytes())

    def items() -> Iterator[Item]:
        item = Item(id="vanishes", value=copy)
        copy.unlink()
        yield item
        yield Item(id="stays", value=videos[1])

    statuses = {r.id: r.error.reason if r.error else None for r in pipe.read(items())}
    assert statuses == {"vanishes": "not_found", "stays": None}


# Law 6: same inputs, same bits --------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEXT_READERS)
def test_the_same_texts_give_the_same_bits(
    kind: str, request: pytest.FixtureRequest, texts: list[str]
) -> None:
    runs = [
        [result(reading) for reading in text_pipe(kind, request, batch_size=4).read(texts)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", ["vit", "frame_exit", "video_mae"])
def test_the_same_videos_give_the_same_bits_however_long_decoding_takes(
    kind: str,
    request: pytest.FixtureRequest,
    videos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = request.getfixturevalue(f"{kind}_path")
    real = Video.read
    delays = random.Random()

    def read_late(self: Video, *arguments: Any, **options: Any) -> Any:
        time.sleep(delays.uniform(0, 0.004))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Video, "read", read_late)
    runs = []
    for seed in range(3):
        delays.seed(seed)
        pipe: Any = pipeline("video-classification", model=path, device="cpu", batch_size=2)
        runs.append([result(reading) for reading in pipe.read(videos)])
    assert runs[0] == runs[1] == runs[2]
    assert len({r[2][0]["score"] for r in runs[0]}) > 1


# Law 2: any batch, any order, any number of ranks, and resumed ------------------------------------


@pytest.mark.parametrize("kind", TEXT_READERS)
def test_any_batch_and_any_order_equal_one_by_one(
    kind: str, request: pytest.FixtureRequest, texts: list[str]
) -> None:
    items = [Item(id=str(k), value=text) for k, text in enumerate(texts)]
    one_by_one = list(text_pipe(kind, request, batch_size=1).read(items))
    for batch_size in (3, 32):
        pipe = text_pipe(kind, request, batch_size=batch_size)
        assert_close(list(pipe.read(items)), one_by_one)
        assert_close(list(pipe.read(items[::-1])), one_by_one[::-1])


@pytest.mark.parametrize("kind", ["vit", "frame_exit", "video_mae"])
def test_any_number_of_videos_in_flight_equals_one_by_one(
    kind: str, request: pytest.FixtureRequest, videos: list[Path]
) -> None:
    path = request.getfixturevalue(f"{kind}_path")
    readings = []
    for batch_size in (1, 8):
        pipe: Any = pipeline(
            "video-classification", model=path, device="cpu", batch_size=batch_size
        )
        readings.append(list(pipe.read(videos)))
    assert_close(*readings)


ROWS = 60


def items() -> Iterator[Item]:
    """Sixty texts, every fifteenth of them empty."""
    generator = random.Random(0)
    for k in range(ROWS):
        count = 0 if k % 15 == 7 else generator.randint(1, 20)
        text = " ".join(f"w{generator.randint(0, 50)}" for _ in range(count))
        yield Item(id=f"row-{k}", value=text, extra={"label": "good"})


def rows_by_id(output: Path) -> dict[str, dict[str, Any]]:
    """Rows without what a clock wrote, scores to 1e-5; fails when an id has two."""
    rows: dict[str, dict[str, Any]] = {}
    for row in read_rows(output):
        assert row["id"] not in rows
        row["score"] = None if row["score"] is None else pytest.approx(row["score"], abs=1e-5)
        rows[row["id"]] = {
            key: value
            for key, value in row.items()
            if not key.endswith("_seconds") and key not in ("predictions", "trace")
        }
    return rows


@pytest.fixture(scope="module")
def undisturbed(skim_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    pipe: Any = pipeline("text-classification", model=skim_path, device="cpu")
    summary = run(pipe, items(), output, progress=False)
    assert (summary.inputs, summary.error, summary.exit_code) == (ROWS, 4, 3)
    assert 0 < summary.units_read < summary.units_total
    return rows_by_id(output)


def test_ranks_share_the_work_and_equal_one(
    skim_path: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    pipe: Any = pipeline("text-classification", model=skim_path, device="cpu")
    for rank in range(2):
        run(pipe, items(), tmp_path, progress=False, rank=rank, world_size=2)
        assert len(rows_by_id(tmp_path)) == (ROWS // 2) * (rank + 1)
    assert rows_by_id(tmp_path) == undisturbed


@pytest.mark.parametrize("finished", [1, 17, 59])
def test_resumed_equals_undisturbed(
    skim_path: Path,
    tmp_path: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    finished: int,
) -> None:
    pipe: Any = pipeline("text-classification", model=skim_path, device="cpu", batch_size=4)
    # What a kill leaves: the first parts, and one that was being written.
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(ResultWriter, "join", ResultWriter.commit)  # a kill comes before that
        run(pipe, items(), output, progress=False, rows_per_part=4)
    assert len(parts(output)) == (ROWS + 3) // 4
    for part in parts(output)[(finished + 3) // 4 :]:
        part.unlink()
    (output / ".part-00000-000099.parquet.tmp").write_bytes(b"PAR1 torn")
    left = rows_by_id(output)
    assert 0 < len(left) <= ROWS
    taken: list[str] = []
    real = pipe.read

    def counted(inputs: Any, **options: Any) -> Any:
        return real((taken.append(item.id) or item for item in inputs), **options)

    monkeypatch.setattr(pipe, "read", counted)
    run(pipe, items(), output, resume=True, progress=False)
    assert sorted(taken) == sorted(undisturbed.keys() - left.keys())
    assert rows_by_id(output) == undisturbed
    assert not list(output.glob(".part*"))


@pytest.mark.slow
def test_two_processes_equal_one(skim_path: Path, tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    lines = [f"{item.id},{item.value},good" for item in items() if item.value]
    table.write_text("\n".join(["id,text,label", *lines]) + "\n")
    one, two = tmp_path / "one", tmp_path / "two"
    environment = {**os.environ, "PYTHONPATH": str(Path(temporal.__file__).parents[1])}
    code = "from temporal.pipelines.command.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "text-classification", str(table)]
    command += ["--model", str(skim_path), "--quiet", "--output", str(two)]
    ranks = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank), "WORLD_SIZE": "2"})
        for rank in range(2)
    ]
    assert [process.wait(120) for process in ranks] == [0, 0]
    pipe: Any = pipeline("text-classification", model=skim_path, device="cpu")
    run(pipe, collect(table, kind="text"), one, progress=False)
    assert rows_by_id(two) == rows_by_id(one)
