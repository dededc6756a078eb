"""Audited runs: what rows hold, resuming, several ranks, and the table."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from temporal.data import Item
from temporal.pipelines import pipeline, read_rows, row_schema, rows
from temporal.pipelines.auditing.audit import Audit
from temporal.pipelines.auditing.others import Counts, Others
from temporal.pipelines.command.cli import app
from temporal.pipelines.display.report import summary_table
from temporal.pipelines.jobs.job import run
from temporal.pipelines.jobs.stop import Stop

Words = Callable[[int, int], str]
MEASURED = ("decode_seconds", "model_seconds")


@pytest.fixture
def items(make_words: Words) -> list[Item]:
    """Eighty texts, every tenth of them empty."""
    texts = ["" if k % 10 == 9 else make_words(k, 3 + k % 28) for k in range(80)]
    return [Item(id=f"review-{k}", value=text) for k, text in enumerate(texts)]


def audited(path: Path, share: float = 0.4, threshold: float = 0.5, **options: Any) -> Any:
    return pipeline(
        "text-classification",
        str(path),
        policy=f"confidence:{threshold}",
        audit=Audit(share, **options),
        device="cpu",
        batch_size=4,
    )


def job(pipe: Any, items: Any, output: Path, **options: Any) -> Any:
    return run(pipe, items, output, progress=False, rows_per_part=8, **options)


def stored(output: Path) -> dict[str, dict[str, Any]]:
    """Rows by id, without what a clock measured."""
    found: dict[str, dict[str, Any]] = {}
    for row in read_rows(output):
        assert row["id"] not in found
        found[row["id"]] = counted(row)
    return found


def counted(value: Any) -> Any:
    """Without what a clock measured; in batches of other rows the last bits of a score differ."""
    if isinstance(value, dict):
        return {name: counted(one) for name, one in value.items() if name not in MEASURED}
    if isinstance(value, list):
        return [counted(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value


def until(items: list[Item], count: int, stop: Stop) -> Iterator[Item]:
    for k, item in enumerate(items):
        if k == count:
            stop.set()
        yield item


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_rows_hold_the_audit_beside_an_answer_that_it_leaves_alone(
    early_exit_path: Path, items: list[Item], tmp_path: Path, format: Any
) -> None:
    summary = job(audited(early_exit_path), items, tmp_path / "audited", format=format)
    plain = job(audited(early_exit_path, 0.0), items, tmp_path / "plain", format=format)
    found = stored(tmp_path / "audited")
    for row in read_rows(tmp_path / "plain"):
        assert "audit" not in row
        whole = counted(row)
        assert {name: found[row["id"]][name] for name in whole} == whole
    of_all = rows(audited(early_exit_path, 0.0, threshold=1e9), items)
    full = {row["id"]: counted(row) for row in of_all}
    chosen = [row for row in found.values() if row["audit"] is not None]
    for row in chosen:
        whole, audit = full[row["id"]], row["audit"]
        assert (audit["full_label"], audit["full_score"]) == (whole["label"], whole["score"])
        assert audit["agreed"] == (row["label"] == whole["label"])
        assert (audit["macs"], audit["units_read"]) == (whole["macs"], whole["units_read"])
        assert audit["error"] is None and row["read_in_full"] is False
    assert summary.audit is not None and plain.audit is not None
    assert summary.audit.audited == len(chosen) > 10
    assert summary.audit.disagreed == sum(not row["audit"]["agreed"] for row in chosen)
    assert summary.audit.macs == sum(row["audit"]["macs"] for row in chosen)
    assert summary.macs == plain.macs  # the full readings are no part of it
    assert (plain.audit.audited, plain.audit.alarm) == (0, False)


def test_a_resumed_run_goes_on_with_its_audit(
    early_exit_path: Path, items: list[Item], tmp_path: Path
) -> None:
    job(audited(early_exit_path), items, tmp_path / "whole")
    stop = Stop()
    first = job(audited(early_exit_path), until(items, 37, stop), tmp_path / "out", stop=stop)
    pipe = audited(early_exit_path)
    last = job(pipe, items, tmp_path / "out", resume=True)
    assert first.stopped and 0 < first.audit.audited < last.audit.audited
    assert stored(tmp_path / "out") == stored(tmp_path / "whole")
    # It has counted each once: those of the first part from its rows.
    assert (pipe.audit.audited, pipe.audit.disagreed) == (
        last.audit.audited,
        last.audit.disagreed,
    )


def test_an_alarm_is_in_the_rows_and_holds_when_the_run_is_resumed(
    early_exit_path: Path, items: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = Stop()
    pipe = audited(early_exit_path, 1.0, max_disagreement=0.02)
    before = job(pipe, until(items, 70, stop), tmp_path / "out", stop=stop)
    assert before.stopped and before.audit.alarm and before.audit.rows_in_full > 0
    assert "what comes is read in full" in capsys.readouterr().err
    written = stored(tmp_path / "out")
    pipe = audited(early_exit_path, 1.0, max_disagreement=0.02)
    after = job(pipe, items, tmp_path / "out", resume=True)
    found = stored(tmp_path / "out")
    assert {name: found[name] for name in written} == written
    new = [row for name, row in found.items() if name not in written]
    assert new and all(row["read_in_full"] and row["audit"] is None for row in new)
    assert after.audit.rows_in_full == sum(row["read_in_full"] for row in found.values())
    table = Console(width=200, record=True, file=io.StringIO())
    table.print(summary_table(after))
    text = table.export_text()
    assert "read in full after the alarm" in text and "alarm: more than 2.0%" in text


def test_ranks_add_up(early_exit_path: Path, items: list[Item], tmp_path: Path) -> None:
    alone = job(audited(early_exit_path), items, tmp_path / "alone")
    pipes = [audited(early_exit_path) for _ in range(2)]
    for rank, pipe in enumerate(pipes):
        both = job(pipe, items, tmp_path / "out", rank=rank, world_size=2)
    assert stored(tmp_path / "out") == stored(tmp_path / "alone")
    assert (both.audit.audited, both.audit.disagreed, both.audit.bounds) == (
        alone.audit.audited,
        alone.audit.disagreed,
        alone.audit.bounds,
    )
    assert sum(pipe.audit.audited for pipe in pipes) == alone.audit.audited
    assert all(0 < pipe.audit.audited < alone.audit.audited for pipe in pipes)
    assert pipes[1].audit.total.audited == alone.audit.audited  # the first one's are known there


def test_the_alarm_of_one_rank_is_that_of_all(
    early_exit_path: Path, items: list[Item], tmp_path: Path
) -> None:
    options = {"max_disagreement": 0.02}
    job(audited(early_exit_path, 1.0, **options), items, tmp_path, rank=0, world_size=2)
    other = audited(early_exit_path, 1.0, **options)
    summary = job(other, items, tmp_path, rank=1, world_size=2)
    assert other.audit.alarm and other.audit.audited == 0
    found = [row for row in read_rows(tmp_path) if int(row["id"].split("-")[1]) % 2]
    assert found and all(row["read_in_full"] for row in found) and summary.audit.alarm


def test_counts_that_others_left_are_taken_over_with_their_rows(tmp_path: Path) -> None:
    of_three = [Others(tmp_path, rank=rank, world_size=3) for rank in range(3)]
    for rank, one in enumerate(of_three):
        one.publish(10 * (rank + 1), rank)
    of_three[0].look()
    assert of_three[0].total == Counts(audited=50, disagreed=3)
    (tmp_path / ".audit-00001.json").write_text("{")  # torn: what was known before stays
    of_three[0]._next_look = 0
    of_three[0].look()
    assert of_three[0].total == Counts(audited=50, disagreed=3)
    now = Others(tmp_path, rank=0, world_size=2)  # ranks 0 and 2 are its own from now on
    now.look()
    assert not list(tmp_path.glob(".audit-0000[02].json")) and now.total == Counts()


def test_rows_of_another_engine_have_the_audit_in_the_order_of_the_inputs(
    early_exit_path: Path, items: list[Item]
) -> None:
    pipe = audited(early_exit_path, 0.3)
    made = list(rows(pipe, items))
    assert [row["id"] for row in made] == [item.id for item in items]
    assert all(set(row) == set(row_schema(audited=True).names) for row in made)
    chosen = {row["id"] for row in made if row["audit"] is not None}
    assert chosen == {i.id for i in items if i.value and pipe.audit.chooses(i.id)} != set()


def test_the_command_takes_an_audit(
    early_exit_path: Path, items: list[Item], tmp_path: Path
) -> None:
    table = tmp_path / "in.jsonl"
    table.write_text("".join(json.dumps({"text": item.value}) + "\n" for item in items))
    base = ["run", "text-classification", str(table), "-o", str(tmp_path / "out")]
    base += ["--model", str(early_exit_path), "--policy", "confidence:0.5", "--device", "cpu"]
    done = CliRunner().invoke(app, [*base, "--audit", "0.5", "--max-disagreement", "0.9"])
    said = " ".join(done.stdout.split())
    assert done.exit_code == 3  # some inputs are empty
    assert "audited answers that differ" in said and "95% confidence each, at any time" in said
    done = CliRunner().invoke(app, [*base, "--audit", "0.4", "--resume"])
    assert done.exit_code == 2  # it is another run
    assert "audit: [0.5, 0.9, 0] -> [0.4, null, 0]" in done.stderr
    done = CliRunner().invoke(app, [*base, "--overwrite", "--audit", "2"])
    assert done.exit_code == 2 and "--audit (2.0) must be between 0 and 1" in done.stderr
    (tmp_path / "out" / ".audit-00001.json").write_text("{}")  # part of what a run leaves
    assert CliRunner().invoke(app, [*base, "--overwrite"]).exit_code == 3
    assert not (tmp_path / "out" / ".audit-00001.json").exists()
