"""What cannot work is found before anything is made; overwriting removes a run and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import read_rows
from temporal.pipelines.jobs.store.lock import RankLock

from ..fake_cli import BUILT

pytestmark = pytest.mark.usefixtures("fake_pipeline")


def run(*arguments: object, task: str = "text-classification") -> Result:
    return CliRunner().invoke(app, ["run", task, *map(str, arguments)])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("id,text\nr1,one two three\nr2,one\n")
    return path


def test_inputs_that_are_not_there_make_no_output(tmp_path: Path, output: Path) -> None:
    for task in ("text-classification", "video-classification"):
        for names in (["gone.csv"], ["no/*.mp4"], ["a.mp4", "b.mp4"]):
            result = run(*(tmp_path / name for name in names), "--output", output, task=task)
            assert result.exit_code == 2, result.output
            assert "error: input (" in result.stderr and names[0] in result.stderr
            assert not output.exists() and not BUILT


@pytest.mark.parametrize("name", ["a.csv.rar", "a.json", "a.docx"])
def test_a_file_that_holds_no_texts_here_makes_no_output(
    name: str, tmp_path: Path, output: Path
) -> None:
    (tmp_path / name).write_bytes(b"x")
    result = run(tmp_path / name, "--output", output)
    assert result.exit_code == 2 and "texts are read from .txt, .csv" in result.stderr
    assert not output.exists() and not BUILT


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_column_that_is_not_there_makes_no_output(
    suffix: str, tmp_path: Path, output: Path
) -> None:
    table = tmp_path / f"table.{suffix}"
    table.write_text("name,words\na,one\n" if suffix == "csv" else '{"name": 1, "words": "one"}\n')
    for options in ([], ["--column", "txt"], ["--column", "words", "--id-column", "nr"]):
        result = run(table, "--output", output, *options)
        assert result.exit_code == 2, result.output
        assert "column" in result.stderr and "'words'" in result.stderr
        assert options or "pass --column" in result.stderr
        assert not output.exists() and not BUILT
    assert run(table, "--output", output, "--column", "words").exit_code == 0


def test_a_run_is_overwritten_when_it_is_asked_for(reviews: Path, output: Path) -> None:
    assert run(reviews, "--output", output, "--quiet").exit_code == 0
    reviews.write_text("id,text\nr9,one two\n")
    assert run(reviews, "--output", output).exit_code == 2
    result = run(reviews, "--output", output, "--overwrite", "--format", "jsonl", "--quiet")
    assert result.exit_code == 0, result.output
    assert [row["id"] for row in read_rows(output)] == ["r9"]
    both = run(reviews, "--output", output, "--overwrite", "--resume")
    assert both.exit_code == 2 and "exclude each other" in both.stderr
    fresh = run(reviews, "--output", output.with_name("new"), "--overwrite", "--quiet")
    assert fresh.exit_code == 0


def test_a_model_that_cannot_be_loaded_costs_no_output(reviews: Path, output: Path) -> None:
    assert run(reviews, "--output", output, "--quiet").exit_code == 0
    refused = run(reviews, "--output", output, "--overwrite", "--model", "no/such/model")
    assert refused.exit_code == 2
    assert [row["id"] for row in read_rows(output)] == ["r1", "r2"]


def test_nothing_but_a_run_is_overwritten(reviews: Path, output: Path, tmp_path: Path) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    refused = run(reviews, "--output", output, "--overwrite")
    assert refused.exit_code == 2 and "holds no run" in refused.stderr
    (output / "thesis.txt").rename(tmp_path / "thesis.txt")
    assert run(reviews, "--output", output, "--quiet").exit_code == 0
    (tmp_path / "thesis.txt").rename(output / "thesis.txt")
    refused = run(reviews, "--output", output, "--overwrite")
    assert refused.exit_code == 2 and "'thesis.txt'" in refused.stderr
    assert (output / "thesis.txt").read_text() == "years of work"
    assert len(list(read_rows(output))) == 2
    (output / "thesis.txt").unlink()
    lock = RankLock(output, rank=3)
    refused = run(reviews, "--output", output, "--overwrite")
    lock.release()
    assert refused.exit_code == 2 and "another run" in refused.stderr
    assert len(list(read_rows(output))) == 2


def test_a_fault_of_the_users_model_is_a_usage_error(
    reviews: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    def broken(*_: object, **__: object) -> None:
        raise KeyError("layer.7")

    monkeypatch.setattr(sys.modules["temporal.pipelines.pipeline"], "pipeline", broken)
    result = run(reviews, "--output", output, "--model", "mine")
    assert result.exit_code == 2
    assert "error: model (mine) cannot be used: KeyError: 'layer.7'" in result.stderr
    assert run(reviews, "--output", output).exit_code == 1
