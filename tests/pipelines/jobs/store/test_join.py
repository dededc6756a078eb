"""While a run goes on its parts stay few, and no row is lost or there twice, whatever happens."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from temporal.pipelines.jobs.store import join, ledger
from temporal.pipelines.jobs.store.join import FAN_IN
from temporal.pipelines.jobs.store.ledger import ResultWriter, parts, read_rows
from temporal.pipelines.jobs.store.lock import joining
from temporal.pipelines.jobs.store.parts import Part, list_parts
from temporal.pipelines.jobs.store.resumed import done_before

SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float64())])
FORMATS = ["parquet", "jsonl"]


def row(number: int) -> dict[str, Any]:
    return {"id": f"id-{number}", "score": number / 4}


def writer(directory: Path, **options: Any) -> ResultWriter:
    options = {"rows_per_part": 1, "commit_seconds": 1e9, **options}
    return ResultWriter(directory, schema=SCHEMA, **options)


def write(out: ResultWriter, *numbers: int) -> None:
    for number in numbers:
        out.write_group([row(number)], first=number, end=number + 1)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "_MOST_ROWS", 64)


@pytest.mark.parametrize("format", FORMATS)
def test_parts_are_few_while_a_run_goes_on(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch, format: Any
) -> None:
    written: Counter[Path] = Counter()
    real = join.write_sealed

    def counted(path: Path, data: bytes, **options: Any) -> None:
        table = pq.read_table(pa.BufferReader(data)) if format == "parquet" else None
        written[path] += data.count(b"\n") if table is None else table.num_rows
        real(path, data, **options)

    monkeypatch.setattr(join, "write_sealed", counted)
    most = 0
    with writer(tmp_path, format=format) as out:
        for number in range(300):
            write(out, number)
            most = max(most, len(parts(tmp_path)))
    assert list(read_rows(tmp_path)) == [row(number) for number in range(300)]
    assert most <= 300 // 64 + 3 * FAN_IN
    assert max(written.values()) <= 64
    assert sum(written.values()) <= 3 * 300  # a row is written again three times at most
    with writer(tmp_path, format=format) as out:
        out.join()
    assert len(parts(tmp_path)) <= 300 // 64 * 2
    assert list(read_rows(tmp_path)) == [row(number) for number in range(300)]
    assert {path.suffix for path in parts(tmp_path)} == {f".{format}"}


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_that_is_cut_off_while_parts_are_joined(
    tmp_path: Path, small_parts: None, format: Any
) -> None:
    """The process ends at some step: a rename, or the removal of a part that was joined."""

    class Ended(BaseException):
        pass

    for steps in range(0, 60, 11):
        output = tmp_path / str(steps)
        output.mkdir()
        out = writer(output, format=format)
        committed = 0
        with pytest.MonkeyPatch.context() as patch:
            left = iter(range(steps + 15 * (1 + (format == "jsonl"))))
            for name in ("replace", "unlink"):
                real = getattr(Path, name)

                def act(*arguments: Any, real: Any = real, left: Any = left, **options: Any) -> Any:
                    if next(left, None) is None:
                        raise Ended
                    return real(*arguments, **options)

                patch.setattr(Path, name, act)
            with contextlib.suppress(Ended):
                for committed in range(10**6):
                    write(out, committed)
        os.close(out._lock._descriptor or 0)  # as the system does
        # A commit that was cut off after its rename is there.
        found = [one["id"] for one in read_rows(output)]
        assert found in ([f"id-{i}" for i in range(committed + more)] for more in (0, 1))
        done = done_before(output)
        assert len(done) == len(found)
        with writer(output, format=format) as again:
            write(again, *(i for i in range(40) if f"id-{i}" not in done))
            again.join()
        assert [one["id"] for one in read_rows(output)] == [f"id-{i}" for i in range(40)]
        assert list_parts(output)[1] == []


def test_a_disk_that_is_full_while_parts_are_joined_stops_no_run(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with writer(tmp_path) as out:
        with monkeypatch.context() as patch:
            patch.setattr(join, "write_sealed", refuse)
            write(out, *range(40))
            assert len(parts(tmp_path)) == 40
        write(out, *range(40, 80))
        assert len(parts(tmp_path)) < 40
    assert list(read_rows(tmp_path)) == [row(number) for number in range(80)]


def test_a_damaged_part_is_joined_with_none_and_its_rows_are_made_again(
    tmp_path: Path, small_parts: None
) -> None:
    with writer(tmp_path) as out:
        write(out, *range(10))
        damaged = parts(tmp_path)[4]
        data = bytearray(damaged.read_bytes())
        data[6] ^= 1
        damaged.write_bytes(data)
        write(out, *range(10, 40))
    assert damaged in parts(tmp_path)
    with pytest.warns(UserWarning, match=damaged.name):
        done = done_before(tmp_path)
    assert len(done) == 39 and "id-4" not in done
    with writer(tmp_path) as out:
        write(out, 4)
        out.join()
    assert list(read_rows(tmp_path)) == [row(number) for number in range(40)]


def test_a_joined_part_that_is_damaged_while_its_sources_are_there(tmp_path: Path) -> None:
    with writer(tmp_path) as out:
        write(out, *range(4))
    (tmp_path / "part-00000-000000-000002.parquet").write_bytes(b"half")
    with pytest.warns(UserWarning, match="part-00000-000000-000002"):
        done = done_before(tmp_path)
    assert len(done) == 4
    assert list(read_rows(tmp_path)) == [row(number) for number in range(4)]


def test_what_is_still_to_be_written_is_not_passed_over(tmp_path: Path, small_parts: None) -> None:
    """Ranks that share their work write in any order: what lies before a gap may be joined."""
    ahead = [number for number in range(80) if number != 20]
    with writer(tmp_path, shares_names=True, rows_per_part=None) as out:
        for number in ahead:
            out.write_group([row(number)], first=number, column=0)
            out.commit()
            out.join_neighbours(below=lambda: 20)
        joined = [Part.parse(path) for path in parts(tmp_path)]
        assert any(part and part.last > part.first for part in joined)
        assert all(part and (part.last < 20 or part.last == part.first) for part in joined)
        out.write_group([row(20)], first=20, column=0)
        out.commit()
        for _ in range(FAN_IN):
            out.join_neighbours(below=lambda: None)
        assert len(parts(tmp_path)) > 60
        for _ in range(FAN_IN):
            out.join_neighbours(below=lambda: 80)
        assert len(parts(tmp_path)) < 20
        # A rank that hung writes a block that another one has written.
        out.write_group([row(20)], first=20, column=0)
        out.commit()
    assert list(read_rows(tmp_path)) == [row(number) for number in range(80)]


def test_one_rank_joins_at_a_time(tmp_path: Path) -> None:
    with joining(tmp_path, only_one=True) as may_join:
        assert may_join
        with joining(tmp_path, only_one=True) as other:
            assert not other
        with joining(tmp_path, only_one=False) as alone:
            assert alone
    with joining(tmp_path, only_one=True) as may_join:
        assert may_join
    assert list(tmp_path.iterdir()) == []


def test_gaps_of_an_earlier_run_are_filled_beside_what_was_joined(
    tmp_path: Path, small_parts: None
) -> None:
    with writer(tmp_path) as out:
        write(out, *range(0, 80, 2))
    with writer(tmp_path) as out:
        write(out, *range(1, 80, 2))
        out.join()
    rows = [one["id"] for one in read_rows(tmp_path)]
    assert sorted(rows) == sorted(f"id-{number}" for number in range(80))


@pytest.mark.parametrize("format", FORMATS)
def test_who_reads_while_neighbours_are_joined_reads_each_row_once(
    tmp_path: Path, small_parts: None, format: Any
) -> None:
    with writer(tmp_path, format=format) as out:
        write(out, *range(30))
        reading = read_rows(tmp_path)
        found = list(itertools.islice(reading, 5))
        write(out, *range(30, 200))
        found += itertools.islice(reading, 20)
        write(out, *range(200, 400))
        out.join()
        found += reading
    assert found[:30] == [row(number) for number in range(30)]
    assert found == [row(number) for number in range(len(found))]


def test_a_part_of_many_row_groups_is_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "_TABLE_BYTES", 100)
    with writer(tmp_path, rows_per_part=4) as out:
        for number in range(40):
            out.write(row(number))
        out.commit(empty_too=True)
        out.join()
    (path,) = parts(tmp_path)
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sum(groups) == 40 and len(groups) > 1 and 0 not in groups
    assert list(read_rows(tmp_path)) == [row(number) for number in range(40)]


def test_the_ledger_has_what_reads(tmp_path: Path) -> None:
    assert ledger.read_rows is read_rows and ledger.committed_ids(tmp_path) == set()
