"""Every input has one row, also after kills, stops, and with several ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import temporal
from temporal.pipelines import ReadingFailed
from temporal.pipelines.jobs.job import InputFailed, run
from temporal.pipelines.jobs.manifest import MANIFEST_NAME, OutputRefused
from temporal.pipelines.jobs.store.ledger import CommitError, ResultWriter, parts, read_rows
from temporal.pipelines.jobs.table.row import row_schema
from temporal.pipelines.jobs.table.summary import Summary, summarize
from temporal.pipelines.jobs.table.targets import target_name
from temporal.pipelines.reading import Reading, ReadingError

from ..fake_pipe import FakeItem, FakePipe, numbered_items

SCRIPT = Path(__file__).parents[1] / "fake_pipe.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(temporal.__file__).parents[2])}
ITEMS = 60


def start(output: Path, *options: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(output), *options]
    return subprocess.Popen(command, env={**ENVIRONMENT, **environment})


def rows_by_id(output: Path) -> dict[str, dict[str, Any]]:
    """Rows without what a clock wrote; fails when an id has two."""
    rows: dict[str, dict[str, Any]] = {}
    for row in read_rows(output):
        assert row["id"] not in rows
        rows[row["id"]] = {k: v for k, v in row.items() if not k.endswith("_seconds")}
    return rows


def wait_for_parts(output: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while not output.is_dir() or len(parts(output)) < count:
        assert process.poll() is None, "the run ended before it was interrupted"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    run(FakePipe(), numbered_items(ITEMS), output, progress=False)
    return rows_by_id(output)


def test_one_row_per_input_with_exactly_the_columns(undisturbed: dict[str, Any]) -> None:
    assert list(undisturbed) == [f"item-{i}" for i in range(ITEMS)]
    row = dict(undisturbed["item-2"])  # three words, of which the first and the last are read
    trace = row.pop("trace")
    assert row == {
        "id": "item-2",
        "status": "ok",
        "label": "odd",
        "score": 0.75,
        "predictions": [{"label": "odd", "score": 0.75}],
        "target": "odd",
        "extra": None,
        "units_total": 3,
        "units_read": 2,
        "units_skimmed": 0,
        "frames_decoded": 0,
        "exit": None,
        "macs": 20,
        "backend": None,
        "error_stage": None,
        "error_reason": None,
        "error_message": None,
        "source": None,
    }
    assert (trace["read"], trace["dense_macs"], trace["unit"]) == ([0, 2], 30, "token")
    broken = undisturbed["item-9"]
    assert (broken["status"], broken["error_stage"]) == ("error", "input")
    assert (broken["error_reason"], broken["error_message"]) == ("empty_input", "item 9 is empty")
    assert broken["label"] is broken["trace"] is broken["units_total"] is None


@pytest.mark.parametrize("committed", [1, 5, 11])
def test_killed_and_resumed_equals_undisturbed(
    tmp_path: Path, undisturbed: dict[str, Any], committed: int
) -> None:
    output = tmp_path / "out"
    process = start(output, "--delay-seconds", "0.01")
    wait_for_parts(output, committed, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (output / ".part-00000-000099.parquet.tmp").write_bytes(b"PAR1 torn")
    left = rows_by_id(output)
    assert len(left) >= 4 * committed and left.items() <= undisturbed.items()
    pipe = FakePipe()
    summary = run(pipe, numbered_items(ITEMS), output, resume=True, progress=False)
    assert rows_by_id(output) == undisturbed
    assert len(pipe.handed_out) == ITEMS - len(left)
    assert (summary.inputs, summary.exit_code) == (ITEMS, 3)
    assert [p.name for p in output.iterdir() if p.name.startswith(".")] == [MANIFEST_NAME]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_with_75_and_the_rest_is_resumed(
    tmp_path: Path, undisturbed: dict[str, Any], number: int
) -> None:
    output = tmp_path / "out"
    process = start(output, "--delay-seconds", "0.02")
    wait_for_parts(output, 1, process)
    process.send_signal(number)
    assert process.wait(20) == 75
    assert 4 <= len(rows_by_id(output)) < ITEMS
    summary = run(FakePipe(), numbered_items(ITEMS), output, resume=True, progress=False)
    assert summary.exit_code == 3
    assert rows_by_id(output) == undisturbed


def test_a_second_signal_ends_at_once(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    output = tmp_path / "out"
    process = start(output, "--delay-seconds", "600")
    while not (output / "reading").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)  # the input in flight is being finished
    for _ in range(60):  # a busy machine may not have taken up the first one yet
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    assert process.poll() == 75
    (output / "reading").unlink()
    run(FakePipe(), numbered_items(ITEMS), output, resume=True, progress=False)
    assert rows_by_id(output) == undisturbed


def test_two_ranks_equal_one_and_a_run_may_change_its_ranks(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    output = tmp_path / "out"
    slow = ("--delay-seconds", "0.02")
    ranks = [start(output, *slow, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    wait_for_parts(output, 3, ranks[0])
    for process in ranks:
        process.kill()
        process.wait()
    assert 12 <= len(rows_by_id(output)) < ITEMS
    for rank in range(3):
        items, pipe = numbered_items(ITEMS), FakePipe()
        run(pipe, items, output, resume=True, progress=False, rank=rank, world_size=3)
    assert rows_by_id(output) == undisturbed


def test_each_rank_takes_its_share(tmp_path: Path) -> None:
    shares = []
    for rank in range(2):
        pipe = FakePipe()
        run(pipe, numbered_items(5), tmp_path, progress=False, rank=rank, world_size=2)
        shares.append(pipe.handed_out)
    assert shares == [["item-0", "item-2", "item-4"], ["item-1", "item-3"]]


def test_the_summary_is_what_the_rows_say(tmp_path: Path) -> None:
    summary = run(FakePipe(), numbered_items(21), tmp_path, progress=False)
    # Items 0 to 20 without 9 and 19: the words of item i are i % 7 + 1, every second one is read.
    sizes = [i % 7 + 1 for i in range(21) if i % 10 != 9]
    assert (summary.inputs, summary.ok, summary.partial, summary.error) == (21, 19, 0, 2)
    assert summary.reasons == {"empty_input": 2}
    assert (summary.units, summary.units_total) == ("tokens", sum(sizes))
    assert summary.units_read == sum((n + 1) // 2 for n in sizes)
    assert (summary.macs, summary.dense_macs) == (10 * summary.units_read, 10 * sum(sizes))
    assert summary.decode_seconds == 0.5 * 19
    assert (summary.traced, summary.halted) == (19, 0)
    # Right for all but the multiples of three: 0, 3, 6, 12, 15, 18 (9 has no row to be right).
    assert (summary.with_target, summary.correct) == (19, 13)
    assert summary.accuracy == 13 / 19
    assert summary == summarize(read_rows(tmp_path))


def test_exit_codes() -> None:
    assert Summary(inputs=1, ok=1).exit_code == 0
    assert Summary(inputs=1, error=1).exit_code == Summary(inputs=1, partial=1).exit_code == 3
    assert Summary(inputs=1, error=1, stopped=True).exit_code == 75


def test_a_bad_input_can_be_skipped_and_is_tried_again(tmp_path: Path) -> None:
    summary = run(FakePipe(), numbered_items(20), tmp_path, on_error="skip", progress=False)
    assert (summary.inputs, summary.skipped, summary.exit_code) == (18, 2, 0)
    pipe = FakePipe()
    summary = run(pipe, numbered_items(20), tmp_path, resume=True, progress=False)
    assert pipe.handed_out == ["item-9", "item-19"]
    assert (summary.inputs, summary.error) == (20, 2)


def test_a_bad_input_can_end_the_run_and_what_was_finished_stays(tmp_path: Path) -> None:
    with pytest.raises(
        ReadingFailed, match="item-9: empty_input: item 9 is empty; resume"
    ) as caught:
        run(FakePipe(), numbered_items(20), tmp_path, on_error="raise", progress=False)
    assert caught.value.reading.id == "item-9"
    assert InputFailed is ReadingFailed  # its older name here
    assert list(rows_by_id(tmp_path)) == [f"item-{i}" for i in range(9)]


def test_a_resumed_run_must_be_the_same_run(tmp_path: Path) -> None:
    run(FakePipe(), numbered_items(3), tmp_path, progress=False)
    with pytest.raises(OutputRefused, match="must be empty or absent"):
        run(FakePipe(), numbered_items(3), tmp_path, progress=False)
    other = FakePipe()
    other.model_name = "another"
    with pytest.raises(OutputRefused, match='model: "fake" -> "another"'):
        run(other, numbered_items(3), tmp_path, resume=True, progress=False)
    assert other.handed_out == []


def test_items_are_taken_lazily_and_stopping_takes_no_more(tmp_path: Path) -> None:
    stop, taken = threading.Event(), 0

    def endless() -> Iterator[FakeItem]:
        nonlocal taken
        for item in numbered_items(10**9):
            taken += 1
            if taken == 8:
                stop.set()
            yield item

    summary = run(FakePipe(), endless(), tmp_path, progress=False, stop=stop)
    assert (summary.stopped, summary.exit_code, summary.inputs, taken) == (True, 75, 7, 8)


def test_a_stop_after_the_last_input_is_not_a_stop(tmp_path: Path) -> None:
    stop = threading.Event()

    class StopsAtTheEnd(FakePipe):
        def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
            yield from super().read(inputs, **options)
            stop.set()

    summary = run(StopsAtTheEnd(), numbered_items(3), tmp_path, progress=False, stop=stop)
    assert (summary.stopped, summary.exit_code) == (False, 0)


@pytest.mark.parametrize("stopping", [True, False])
def test_a_decoder_that_dies_of_the_stop_is_no_result(tmp_path: Path, stopping: bool) -> None:
    stop = threading.Event()

    class Crashes(FakePipe):
        def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
            readings = super().read(inputs, **options)
            yield next(readings)
            in_flight = next(readings)
            if stopping:
                stop.set()
            error = ReadingError(stage="decode", reason="worker_crashed", message="signal 2")
            yield Reading(id=in_flight.id, error=error)

    summary = run(Crashes(), numbered_items(2), tmp_path, progress=False, stop=stop)
    assert (summary.inputs, summary.stopped) == ((1, True) if stopping else (2, False))


def test_handlers_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run(FakePipe(), numbered_items(1), tmp_path, progress=False)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_pipeline_that_forgets_an_input_is_found_out(tmp_path: Path) -> None:
    class Forgets(FakePipe):
        def read(self, inputs: Iterable[Any], **options: Any) -> Iterator[Reading]:
            return (r for r in super().read(inputs, **options) if r.id != "item-1")

    with pytest.raises(RuntimeError, match="no reading for 1 inputs, 'item-1'"):
        run(Forgets(), numbered_items(3), tmp_path, progress=False)


def test_an_id_that_comes_back_is_refused_before_it_has_two_rows(tmp_path: Path) -> None:
    items = [FakeItem(id=name, value="a b") for name in ("a", "b", "a")]
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"id \('a'\) must be unique"):
            run(FakePipe(), items, tmp_path, resume=resume, progress=False)
        assert list(rows_by_id(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_the_rows_of_a_damaged_part_are_made_again(
    tmp_path: Path, undisturbed: dict[str, Any], format: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"format": format, "rows_per_part": 10, "progress": False}
    with monkeypatch.context() as patch:
        patch.setattr(ResultWriter, "join", ResultWriter.commit)
        run(FakePipe(), numbered_items(ITEMS), tmp_path, **options)
    damaged = parts(tmp_path)[2]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 4
    damaged.write_bytes(data)
    pipe = FakePipe()
    with pytest.warns(UserWarning, match=rf"{damaged.name} is damaged: it is set aside"):
        run(pipe, numbered_items(ITEMS), tmp_path, resume=True, **options)
    assert pipe.handed_out == [f"item-{i}" for i in range(20, 30)]
    assert rows_by_id(tmp_path) == undisturbed


def test_a_full_disk_ends_the_run_resumably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        calls = iter(range(100))
        real = Path.replace
        patch.setattr(Path, "replace", lambda *a: real(*a) if next(calls) < 3 else refuse())
        with pytest.raises(CommitError):
            run(FakePipe(), numbered_items(ITEMS), tmp_path, rows_per_part=10, progress=False)
    assert len(rows_by_id(tmp_path)) == 20  # .run.json and two parts were renamed
    run(FakePipe(), numbered_items(ITEMS), tmp_path, resume=True, progress=False)
    assert rows_by_id(tmp_path) == undisturbed


def test_jsonl_holds_the_same_rows(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    run(FakePipe(), numbered_items(ITEMS), tmp_path, format="jsonl", progress=False)
    assert rows_by_id(tmp_path) == undisturbed
    assert all(path.suffix == ".jsonl" for path in parts(tmp_path))


def test_texts_are_kept_only_when_asked(tmp_path: Path) -> None:
    run(FakePipe(), numbered_items(3), tmp_path, keep_text=True, progress=False)
    rows = list(read_rows(tmp_path))
    assert rows[1]["text"] == "word word"
    assert rows[1]["spans"] == [{"start": 0, "end": 4}, {"start": 5, "end": 9}]
    assert "text" not in row_schema().names


def test_a_name_that_utf8_cannot_hold_has_one_row(tmp_path: Path) -> None:
    items = [FakeItem(id="clip\udcff.mp4", value="a b")]
    for resume in (False, True):
        summary = run(FakePipe(), items, tmp_path, resume=resume, progress=False)
    assert summary.inputs == 1
    assert next(iter(read_rows(tmp_path)))["id"] == "clip\\udcff.mp4"


def test_the_bar_shows_the_share_that_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(FakePipe(), numbered_items(7), tmp_path, total=7)
    captured = capsys.readouterr()
    # Words 1 to 7: 28 in all, 16 read.
    assert "7/7" in captured.err and "read 57.1%" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *((1, "pos"), ("1", "pos"), ("POS", "pos"), ("neg", "neg"), (7, "7"), ("x", "x")),
        *((1.0, "pos"), ("0.0", "neg"), (0.5, "0.5"), (True, "True"), ("--1", "--1"), (-1, "-1")),
        *(("9" * 5000, "9" * 5000), (None, None)),
    ],
)
def test_labels_are_named_as_the_model_names_them(label: Any, expected: str | None) -> None:
    assert target_name(label, {0: "neg", 1: "pos"}) == expected
