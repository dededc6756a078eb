"""Parts are whole or absent; ids are found again; other runs are refused."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.pipelines.jobs.manifest import OutputRefused, RunManifest, check_output, open_run
from temporal.pipelines.jobs.store import durable, join, ledger
from temporal.pipelines.jobs.store.ledger import (
    CommitError,
    ResultWriter,
    committed_ids,
    parts,
    read_rows,
)

SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float64())])
FORMATS = ["parquet", "jsonl"]


def row(i: int) -> dict[str, Any]:
    return {"id": f"id-{i}", "score": i / 4}


def writer(directory: Path, **options: Any) -> ResultWriter:
    options = {"rows_per_part": 2, "commit_seconds": 1e9, **options}
    return ResultWriter(directory, schema=SCHEMA, **options)


@pytest.mark.parametrize("format", FORMATS)
def test_rows_come_back_as_they_were_written(tmp_path: Path, format: str) -> None:
    rows = [
        *map(row, range(5)),
        {"id": "größe\n\x00 ✓", "score": None},
    ]
    with writer(tmp_path, format=format) as out:
        for one in rows:
            out.write(one)
    assert list(read_rows(tmp_path)) == rows
    assert committed_ids(tmp_path) == {one["id"] for one in rows}
    assert [path.name for path in parts(tmp_path)] == [
        f"part-00000-00000{i}.{format}" for i in range(3)
    ]


def test_a_part_without_a_value_has_the_same_types_as_any_other(tmp_path: Path) -> None:
    with writer(tmp_path, rows_per_part=1) as out:
        out.write({"id": "a", "score": None})
        out.write({"id": "b", "score": 0.5})
    assert {str(pq.read_schema(path)) for path in parts(tmp_path)} == {str(SCHEMA)}
    assert pq.read_table(tmp_path).num_rows == 2


def test_rows_are_committed_by_count_by_time_and_on_close(tmp_path: Path) -> None:
    out = writer(tmp_path)
    out.write(row(0))
    assert committed_ids(tmp_path) == set()
    out.write(row(1))
    assert committed_ids(tmp_path) == {"id-0", "id-1"}
    out.commit_seconds = 0.0
    out.write(row(2))
    assert committed_ids(tmp_path) == {"id-0", "id-1", "id-2"}
    out.commit_seconds = 1e9
    out.write(row(3))
    out.close()
    assert len(committed_ids(tmp_path)) == 4
    assert out.rows_committed == 4


def test_the_time_between_commits_grows_with_the_age_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(ledger.time, "monotonic", lambda: now)
    with writer(tmp_path, commit_seconds=None, rows_per_part=10**6) as out:
        for age, expected in ((0, 5.0), (100, 5.0), (2000, 20.0), (10**6, 300.0)):
            now = 1000.0 + age
            assert out._commit_seconds() == pytest.approx(expected)


def test_rows_of_an_interrupted_block_are_kept(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writer(tmp_path) as out:
        out.write(row(0))
        raise ZeroDivisionError
    assert committed_ids(tmp_path) == {"id-0"}


def test_a_torn_temporary_file_is_neither_read_nor_kept(tmp_path: Path) -> None:
    with writer(tmp_path) as out:
        out.write(row(0))
    torn = tmp_path / ".part-00000-000001.parquet.tmp"
    torn.write_bytes(parts(tmp_path)[0].read_bytes()[:40])
    assert committed_ids(tmp_path) == {"id-0"}
    with writer(tmp_path) as out:
        assert not torn.exists()
        out.write(row(1))
    assert [path.name[:17] for path in parts(tmp_path)] == [
        "part-00000-000000",
        "part-00000-000001",
    ]


def test_each_temporary_file_has_one_rank_that_removes_it(tmp_path: Path) -> None:
    """Rank 0 must not remove what rank 1 is writing; rank 2's are left from a larger run."""
    torn = [tmp_path / f".part-0000{rank}-000000.parquet.tmp" for rank in range(3)]
    for path in torn:
        path.touch()
    writer(tmp_path, rank=0, world_size=2).close()
    assert [path.exists() for path in torn] == [False, True, False]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_makes_no_part_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    out = writer(tmp_path)
    out.write(row(0))
    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(pq, "write_table", refuse)
        elif step == "fsync":
            patch.setattr(durable.os, "fsync", refuse)
        else:
            patch.setattr(Path, "replace", refuse)
        with pytest.raises(CommitError, match=r"part-00000-000000.*No space left"):
            out.write(row(1))
        assert parts(tmp_path) == []
        assert list(tmp_path.glob(".*.tmp")) == []
    out.close()
    assert list(read_rows(tmp_path)) == [row(0), row(1)]


def test_a_damaged_part_is_an_error_that_names_it(tmp_path: Path) -> None:
    with writer(tmp_path) as out:
        out.write(row(0))
    path = parts(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"part-00000-000000\.parquet is damaged"):
        committed_ids(tmp_path)


def test_ranks_number_their_own_parts(tmp_path: Path) -> None:
    for rank in (0, 1, 0):
        with writer(tmp_path, rank=rank, world_size=2) as out:
            out.write(row(10 * rank + len(parts(tmp_path))))
    names = ["part-00000-000000", "part-00000-000001", "part-00001-000000"]
    assert [path.stem for path in parts(tmp_path)] == names


def test_a_second_writer_of_the_same_rank_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with writer(tmp_path), pytest.raises(OutputRefused, match="another run"):
        writer(tmp_path)
    writer(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_the_directory_free(tmp_path: Path) -> None:
    code = (
        "import os, sys, pyarrow as pa;"
        "from temporal.pipelines.jobs.store.ledger import ResultWriter;"
        "ResultWriter(sys.argv[1], schema=pa.schema([('id', pa.string())])); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=Path.cwd())
    assert (tmp_path / ".rank-00000.lock").exists()
    writer(tmp_path).close()


def test_a_run_of_another_size_is_refused_while_a_rank_of_the_first_lives(tmp_path: Path) -> None:
    """The shares overlap: one process would do again what rank 1 of 2 is doing."""
    torn = tmp_path / ".part-00001-000000.parquet.tmp"
    with writer(tmp_path, rank=1, world_size=2):
        torn.touch()
        for rank, world_size in ((0, 1), (0, 3), (2, 3)):
            with pytest.raises(OutputRefused, match="rank 1 of another run"):
                writer(tmp_path, rank=rank, world_size=world_size)
        assert torn.exists()
        writer(tmp_path, rank=0, world_size=2).close()
    writer(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_locks_of_dead_ranks_are_removed(tmp_path: Path) -> None:
    for rank in (0, 1, 7):
        (tmp_path / f".rank-0000{rank}.lock").write_text("8\n")
    writer(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_parts_past_a_million_are_seen(tmp_path: Path) -> None:
    with writer(tmp_path, rows_per_part=1) as out:
        out._number = 999_999
        out.write(row(0))
        out.write(row(1))
    with writer(tmp_path, rows_per_part=1) as out:
        out.write(row(2))
    numbers = [999_999, 1_000_000, 1_000_001]
    assert [path.name for path in parts(tmp_path)] == [f"part-00000-{n}.parquet" for n in numbers]
    assert list(read_rows(tmp_path)) == [row(0), row(1), row(2)]


def test_an_output_that_becomes_read_only_is_a_commit_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    out = writer(tmp_path)
    out.write(row(0))
    with monkeypatch.context() as patch:
        for name in ("open", "unlink", "replace"):
            patch.setattr(Path, name, refuse)
        with pytest.raises(CommitError, match="Read-only"), out:
            out.write(row(1))
    assert out._lock._descriptor is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows_per_part": 0}, r"rows_per_part \(0\) must be >= 1"),
        ({"format": "csv"}, r"format \('csv'\) must be"),
        ({"rank": 2, "world_size": 2}, r"rank \(2\) must be"),
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        writer(tmp_path, **options)


def test_a_row_with_other_columns_is_refused(tmp_path: Path) -> None:
    with writer(tmp_path) as out, pytest.raises(ValueError, match="columns: colour, score"):
        out.write({"id": "a", "colour": "red"})


MANIFEST = RunManifest(task="t", model="m", budget=0.5, options={"top_k": 1}, version="1")


def test_a_new_run_needs_an_empty_directory(tmp_path: Path) -> None:
    open_run(tmp_path / "new" / "deep", MANIFEST, resume=False)
    assert RunManifest.read(tmp_path / "new" / "deep") == MANIFEST
    with pytest.raises(OutputRefused, match=r"must be empty or absent.*--resume"):
        open_run(tmp_path / "new" / "deep", MANIFEST, resume=False)
    open_run(tmp_path / "new" / "deep", MANIFEST, resume=True)
    open_run(tmp_path / "none", MANIFEST, resume=True)


def test_resuming_names_what_differs(tmp_path: Path) -> None:
    open_run(tmp_path, MANIFEST, resume=False)
    other = RunManifest(task="t", model="m", budget=0.3, options={"policy": "x"}, version="1")
    with pytest.raises(OutputRefused) as refused:
        open_run(tmp_path, other, resume=True)
    assert 'budget: 0.5 -> 0.3; policy: null -> "x"; top_k: 1 -> null.' in str(refused.value)
    assert other.digest != MANIFEST.digest
    assert json.loads((tmp_path / ".run.json").read_text())["digest"] == MANIFEST.digest


def test_what_is_not_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(OutputRefused, match="must hold a run"):
        check_output(tmp_path, resume=True)
    with pytest.raises(OutputRefused, match="it is a file"):
        check_output(tmp_path / "thesis.txt", resume=True)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(OutputRefused, match="not a run's manifest"):
        open_run(tmp_path, MANIFEST, resume=True)
    assert sorted(os.listdir(tmp_path)) == ["run.json", "thesis.txt"]


def test_other_ranks_wait_for_rank_0(tmp_path: Path) -> None:
    timer = threading.Timer(0.2, open_run, [tmp_path, MANIFEST], {"resume": False})
    timer.start()
    open_run(tmp_path, MANIFEST, resume=False, rank=1)
    timer.join()
    with pytest.raises(OutputRefused, match="is rank 0 alive"):
        open_run(tmp_path / "never", MANIFEST, resume=False, rank=1, wait_seconds=0.1)


def write_rows(directory: Path, count: int, **options: Any) -> ResultWriter:
    out = writer(directory, **options)
    for number in range(count):
        out.write(row(number))
    out.commit()
    return out


@pytest.mark.parametrize("format", FORMATS)
def test_small_parts_are_joined_in_their_order(tmp_path: Path, format: Any) -> None:
    with write_rows(tmp_path, 9, format=format) as out:
        out.join()
    assert [path.name for path in parts(tmp_path)] == [f"part-00000-000000-000004.{format}"]
    assert list(read_rows(tmp_path)) == [row(number) for number in range(9)]
    shown = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert shown == parts(tmp_path)
    hidden = {path.name for path in tmp_path.iterdir()} - {path.name for path in shown}
    assert hidden == ({f".{shown[0].name}.sha256"} if format == "jsonl" else set())
    # What comes later gets later numbers, and is joined with what was.
    with write_rows(tmp_path, 0, format=format) as out:
        out.write(row(9))
        out.join()
    assert [path.name for path in parts(tmp_path)] == [f"part-00000-000000-000005.{format}"]
    assert list(read_rows(tmp_path)) == [row(number) for number in range(10)]


def test_joined_parts_stay_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "_MOST_ROWS", 5)
    with write_rows(tmp_path, 9) as out:
        out.join()
    names = [path.name for path in parts(tmp_path)]
    assert names == [
        "part-00000-000000-000001.parquet",
        "part-00000-000002-000004.parquet",
    ]
    assert list(read_rows(tmp_path)) == [row(number) for number in range(9)]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("steps", range(8))
def test_a_join_that_is_cut_off_anywhere_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, format: Any
) -> None:
    """The disk refuses from some step on: a rename, or the removal of a part that was joined."""
    rows = [row(number) for number in range(6)]
    out = write_rows(tmp_path, 6, format=format)
    with monkeypatch.context() as patch:
        left = iter(range(steps))
        for name in ("replace", "unlink"):
            real = getattr(Path, name)

            def act(*arguments: Any, real: Any = real, **options: Any) -> Any:
                if next(left, None) is None:
                    raise OSError(5, "Input/output error")
                return real(*arguments, **options)

            patch.setattr(Path, name, act)
        with contextlib.suppress(CommitError):
            out.join()
    out._lock.release()
    assert list(read_rows(tmp_path)) == rows
    assert committed_ids(tmp_path) == {one["id"] for one in rows}
    with writer(tmp_path, format=format) as again:
        again.join()
    assert [path.name for path in parts(tmp_path)] == [f"part-00000-000000-000002.{format}"]
    assert list(read_rows(tmp_path)) == rows
    assert pq_or_lines(tmp_path, format) == 6


def pq_or_lines(directory: Path, format: str) -> int:
    """Rows for a reader that takes every file that is not hidden."""
    if format == "parquet":
        return int(pq.read_table(directory).num_rows)
    shown = [path for path in directory.iterdir() if not path.name.startswith(".")]
    return sum(len(path.read_text().splitlines()) for path in shown)


def test_who_reads_while_parts_are_joined_reads_each_row_once(tmp_path: Path) -> None:
    write_rows(tmp_path, 2, rank=1, world_size=2).close()
    out = write_rows(tmp_path, 8)
    reading = read_rows(tmp_path)
    first = [next(reading) for _ in range(3)]
    out.join()
    assert first + list(reading) == [row(number) for number in (*range(8), 0, 1)]
    out.close()


def test_the_parts_of_ranks_that_are_no_more_are_joined_too(tmp_path: Path) -> None:
    for rank in range(3):
        write_rows(tmp_path, 4, rank=rank, world_size=3).close()
    with writer(tmp_path) as out:
        out.join()
    assert [path.stem for path in parts(tmp_path)] == [
        f"part-0000{rank}-000000-000001" for rank in range(3)
    ]


def test_what_is_damaged_is_not_joined(tmp_path: Path) -> None:
    out = write_rows(tmp_path, 6)
    path = parts(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="digest"):
        out.join()
    assert len(parts(tmp_path)) == 3
    out.close()
