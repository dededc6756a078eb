"""Arguments, exit codes and messages of `temporal run | inspect | show`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import temporal
from temporal.pipelines.command import run as command_run
from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import parts, read_rows

from ..fake_cli import BUILT

pytestmark = pytest.mark.usefixtures("fake_pipeline")

HERE = Path(__file__).parents[1]
ROOT = Path(temporal.__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("id,text,label\nr1,one two three,odd\nr2,one two,odd\nr3,one,1\n")
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"text": "one two"}\n{"text": oops\n{"text": "one"}\n')
    return path


def temporal_run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", "text-classification", *map(str, arguments)])


def ids(output: Path) -> list[str]:
    return [row["id"] for row in read_rows(output)]


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"temporal {temporal.__version__}\n")


def test_the_package_is_the_command() -> None:
    command = [sys.executable, "-m", "temporal", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (0, f"temporal {temporal.__version__}\n")


def test_all_inputs_ok(reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = temporal_run(reviews, "--output", output, "--top-k", 2, "--budget", 0.5)
    assert result.exit_code == 0, result.output
    assert ids(output) == ["r1", "r2", "r3"]
    assert BUILT == [{"task": "text-classification", "model": None, "budget": 0.5, "top_k": 2}]
    table = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
        for line in result.stdout.splitlines()
        if line.startswith("│")
    }
    # Words: 3, 2 and 1, of which 2, 1 and 1 are read, at ten MACs each.
    assert table["tokens read"] == ["4", "6", "66.7%"]
    assert table["MACs"] == ["40", "60", "66.7%"]
    assert table["decode seconds"] == ["1.50", "-", "-"]
    assert table["inputs halted early"] == ["0", "-", "0.0%"]
    assert table["right predictions"] == ["2 of 3", "-", "66.7%"]
    assert "3 inputs: 3 ok, 0 partial, 0 error" in result.stdout
    assert "3/3" in result.stderr


def test_a_broken_row_is_recorded_skipped_or_raised(broken: Path, tmp_path: Path) -> None:
    recorded = temporal_run(broken, "--output", tmp_path / "record")
    assert recorded.exit_code == 3
    assert [row["status"] for row in read_rows(tmp_path / "record")] == ["ok", "error", "ok"]
    assert "1 with an error: bad_row 1" in recorded.stdout
    skipped = temporal_run(broken, "--output", tmp_path / "skip", "--on-error", "skip")
    assert (skipped.exit_code, len(ids(tmp_path / "skip"))) == (3, 2)
    assert "1 skipped" in skipped.stdout
    raised = temporal_run(broken, "--output", tmp_path / "raise", "--on-error", "raise", "--quiet")
    assert (raised.exit_code, len(ids(tmp_path / "raise"))) == (3, 1)
    assert raised.stderr.startswith("error: ") and "bad_row" in raised.stderr
    assert "--resume --on-error record" in raised.stderr
    assert "Traceback" not in raised.stderr
    resumed = temporal_run(broken, "--output", tmp_path / "raise", "--resume", "--quiet")
    assert (resumed.exit_code, len(ids(tmp_path / "raise"))) == (3, 3)


def test_a_missing_file_is_a_row(reviews: Path, tmp_path: Path) -> None:
    result = temporal_run(reviews, tmp_path / "gone.csv", "--output", tmp_path / "out")
    assert result.exit_code == 3
    assert list(read_rows(tmp_path / "out"))[-1]["error_reason"] == "not_found"


def test_usage_errors_name_the_rule(reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for arguments, message in (
        (["--budget", "2"], "error: budget (2.0) must be >= 0 and <= 1"),
        (["--model", "no/such/model"], "error: model (no/such/model) was not found"),
        (["--on-error", "explode"], "'explode' is not one of"),
        (["--batch-size", "0"], "--batch-size"),
    ):
        result = temporal_run(reviews, "--output", output, *arguments)
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
        assert not output.exists()
    assert CliRunner().invoke(app, ["run", "audio", "x", "--output", "y"]).exit_code == 2


def test_the_output_must_be_new_or_resumed(reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert temporal_run(reviews, "--output", output, "--limit", 2, "--quiet").exit_code == 0
    refused = temporal_run(reviews, "--output", output)
    assert refused.exit_code == 2 and "--resume" in refused.stderr
    assert len(BUILT) == 1, "no model is loaded for a refused run"
    other = temporal_run(reviews, "--output", output, "--resume", "--top-k", 3)
    assert other.exit_code == 2 and "top_k: null -> 3" in other.stderr
    more = temporal_run(reviews, "--output", output, "--resume", "--batch-size", 8)
    assert more.exit_code == 0
    assert ids(output) == ["r1", "r2", "r3"]


def test_an_internal_error_is_a_sentence_unless_debugged(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["temporal.pipelines.pipeline"]
    monkeypatch.setattr(module, "pipeline", lambda *_, **__: 1 / 0)
    plain = temporal_run(reviews, "--output", tmp_path / "out")
    assert plain.exit_code == 1
    assert plain.stderr == "error: ZeroDivisionError: division by zero (--debug shows where)\n"
    debugged = temporal_run(reviews, "--output", tmp_path / "out", "--debug")
    assert debugged.exit_code == 1 and "Traceback" in debugged.stderr


def test_quiet_prints_nothing(reviews: Path, tmp_path: Path) -> None:
    result = temporal_run(reviews, "--output", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_videos_get_a_deadline(tmp_path: Path) -> None:
    for deadline, expected in (("7", {"isolate": True, "deadline_seconds": 7.0}), ("0", {})):
        output = tmp_path / f"out-{deadline}"
        (tmp_path / "clip.mp4").write_bytes(b"the pipeline is a stand-in")
        command = ["run", "video-classification", str(tmp_path / "clip.mp4")]
        options = ["--output", str(output), "--deadline-seconds", deadline]
        result = CliRunner().invoke(app, [*command, *options])
        assert result.exit_code == 0, result.output
        built = {k: v for k, v in BUILT[-1].items() if k not in ("task", "model", "budget")}
        assert built == expected


def test_jsonl(reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    temporal_run(reviews, "--output", output, "--format", "jsonl")
    rows = [json.loads(line) for line in parts(output)[0].read_text().splitlines()]
    assert [row["id"] for row in rows] == ["r1", "r2", "r3"]


def test_show_draws_kept_texts(reviews: Path, tmp_path: Path) -> None:
    output, picture = tmp_path / "out", tmp_path / "picture.png"
    temporal_run(reviews, "--output", output, "--keep-text")
    result = CliRunner().invoke(app, ["show", str(output), "--output", str(picture)])
    assert result.exit_code == 0, result.output
    assert "one two three" in result.stdout and "read 2 of 3 tokens" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    one = CliRunner().invoke(app, ["show", str(output), "--id", "r2"])
    assert "r2" in one.stdout and "r1" not in one.stdout


def test_show_names_what_it_cannot_find(reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    temporal_run(reviews, "--output", output)
    for arguments, message in (
        (["show", str(tmp_path)], "must be the output directory of a run"),
        (["show", str(output), "--id", "r9"], "id (r9) is not among the results"),
        (["show", str(output), "--output", "/no/such/folder/x.png"], "No such file"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, result.output
        assert message in result.stderr


def test_show_refuses_what_is_no_png_before_it_prints(reviews: Path, tmp_path: Path) -> None:
    temporal_run(reviews, "--output", tmp_path / "out")
    result = CliRunner().invoke(app, ["show", str(tmp_path / "out"), "--output", "x.pdf"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "output (x.pdf) must end in .png" in result.stderr


def test_show_explains_an_error_row(broken: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    temporal_run(broken, "--output", output)
    name = next(row["id"] for row in read_rows(output) if row["status"] == "error")
    result = CliRunner().invoke(app, ["show", str(output), "--id", name])
    assert result.exit_code == 0 and "bad_row" in result.stdout


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of 64 x 48 with a keyframe every ten."""
    import av

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(20):
            pixels = np.full((48, 64, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


def test_inspect_shows_what_reading_would_cost(clip: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(clip)])
    assert result.exit_code == 0, result.output
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in result.stdout.splitlines()]
    rows = {row[0]: row[1:] for row in cells if row}
    assert rows["codec"] == ["h264"] and rows["size"] == ["64 x 48"]
    assert rows["mean GOP"] == ["10.0 frames"]
    assert rows["keyframes"][:3] == ["2", "2", "10.0%"]
    # The middle frame is the second keyframe; four frames at 2, 7, 12, 17 cost 8 in each half.
    assert rows["1 uniform"][:2] == ["1", "1"]
    assert rows["4 uniform"][:2] == ["4", "16"]
    assert rows["all"][:3] == ["20", "20", "100.0%"]


def test_inspect_takes_the_largest_frames_that_are_allowed(clip: Path) -> None:
    small = CliRunner().invoke(app, ["inspect", str(clip), "--max-pixels", "100"])
    assert small.exit_code == 2 and "too_large" in small.stderr
    assert CliRunner().invoke(app, ["inspect", str(clip), "--max-pixels", "3072"]).exit_code == 0


def test_inspect_names_what_is_not_a_video(tmp_path: Path) -> None:
    fake = tmp_path / "fake.mp4"
    fake.write_text("not a video")
    for path, reason in ((fake, "not_media"), (tmp_path / "gone.mp4", "not_found")):
        result = CliRunner().invoke(app, ["inspect", str(path)])
        assert result.exit_code == 2
        assert result.stderr.count(reason) == 1 and "Traceback" not in result.stderr


def test_sigterm_stops_with_75_and_resume_finishes(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"text {i}\n" for i in range(300)))
    output = tmp_path / "out"
    command = [str(HERE / "fake_cli.py"), "run", "text-classification", str(texts)]
    process = subprocess.Popen(
        [sys.executable, *command, "--output", str(output), "--quiet"],
        env={**ENVIRONMENT, "FAKE_DELAY_SECONDS": "0.02"},
    )
    while not (output / ".rank-00000.lock").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    assert len(ids(output)) < 300
    resumed = temporal_run(texts, "--output", output, "--resume", "--quiet")
    assert resumed.exit_code == 0
    assert sorted(ids(output)) == sorted(f"text-{i:06d}" for i in range(300))


def test_ranks_share_an_output_and_the_first_speaks_for_all(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    monkeypatch.setattr(command_run, "_START_SECONDS", 0.1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    results = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        results.append(temporal_run(broken, "--output", output))
    assert "2 inputs: 2 ok" in results[0].stdout and results[1].stdout == ""
    # The first ended before the second had begun; the bad row is the second rank's.
    assert [result.exit_code for result in results] == [75, 3]
    assert "rank 1 is not at work and 1 of its inputs have no row" in results[0].stderr
    assert len(ids(output)) == 3
    assert {path.name[:10] for path in parts(output)} == {"part-00000", "part-00001"}


@pytest.mark.slow
def test_torchrun_shares_the_work_and_prints_one_table(broken: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [str(HERE / "fake_cli.py"), "run", "text-classification", str(broken)]
    result = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", "2", *command, "--output", str(output)),
        ],
        env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert len(ids(output)) == 3
    # In one part by now, and in its order, whoever read what.
    assert ids(output) == ["text-000000", "text-000001", "text-000002"]
    assert [path.name[:10] for path in parts(output)] == ["part-00000"]
    assert result.stdout.count("3 inputs: 2 ok, 0 partial, 1 error") == 1, result.stderr
    assert result.returncode == 1  # torchrun's own code where a rank left with 3
