"""One input, one result: what a call answers for whatever holds its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from temporal.data import Video
from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.inputs import how_many
from temporal.pipelines.pipeline import ReadingFailed


@pytest.fixture(scope="module")
def texts_pipe(bert_path: Path) -> Any:
    return pipeline("text-classification", model=str(bert_path), device="cpu")


def test_containers_of_texts_are_answered_as_lists_are(texts_pipe: Any) -> None:
    datasets = pytest.importorskip("datasets")
    texts = ["w1 w2", "w3", "w4 w5 w6"]
    expected = texts_pipe(texts)
    frame = pd.DataFrame({"text": texts, "stars": [1, 2, 3]})
    table = datasets.Dataset.from_pandas(frame)
    for inputs in (tuple(texts), np.array(texts), frame, frame["text"], table["text"]):
        results = texts_pipe(inputs)
        assert isinstance(results, list) and results == expected
    for stream in (iter(texts), table, table.to_iterable_dataset()["text"]):
        results = texts_pipe(stream)
        assert iter(results) is results and list(results) == expected
    assert texts_pipe(np.array("w3"))["score"] == pytest.approx(expected[1]["score"], abs=1e-5)
    assert texts_pipe([]) == [] == list(texts_pipe(iter([])))


@pytest.mark.parametrize("inputs", [None, 5, {"w1", "w2"}])
@pytest.mark.parametrize("task", ["text", "video"])
def test_no_inputs_raise_at_once(inputs: Any, task: str, texts_pipe: Any, vit_path: Path) -> None:
    pipe = texts_pipe if task == "text" else pipeline("video-classification", vit_path)
    for call in (pipe, pipe.read):
        with pytest.raises(TypeError, match="inputs"):
            call(inputs)


def test_every_entry_has_one_reading(texts_pipe: Any) -> None:
    rows = ["w1", ["w2", "w3"], None, "w4", "w\0", {"text": "w5"}]
    readings = list(texts_pipe.read(rows))
    assert [reading.status for reading in readings] == [
        "ok", "error", "error", "ok", "error", "ok",
    ]  # fmt: skip
    assert len(list(texts_pipe.read(np.array([["w1", "w2"], ["w3", "w4"]])))) == 2
    with pytest.raises(ReadingFailed, match="one input each"):
        list(texts_pipe(pair for pair in [(("w1", "w2"), "w3")]))
    with pytest.raises(ReadingFailed, match="must be a string"):
        texts_pipe(b"w1")


def test_a_row_of_a_table_is_one_input(texts_pipe: Any) -> None:
    frame = pd.DataFrame({"text": ["w1 w2", "w3"], "mood": ["w4", "w5"]})
    alone = texts_pipe({"text": "w3"})
    assert texts_pipe(frame.iloc[1]) == alone
    expected = texts_pipe(["w1 w2", "w3"])
    assert texts_pipe([row for _, row in frame.iterrows()]) == expected
    assert texts_pipe(frame, column="mood") == texts_pipe(["w4", "w5"])
    assert texts_pipe(frame.iloc[1], column="mood") == texts_pipe({"text": "w5"})
    assert len(texts_pipe(frame["text"])) == len(texts_pipe(frame["mood"])) == 2
    with pytest.raises(ReadingFailed, match="no column 'mode'; it has 'text', 'mood'"):
        texts_pipe(frame, column="mode")


def test_rows_and_cells_hold_frames_and_open_videos(vit_path: Path, videos: list[Path]) -> None:
    pipe = pipeline("video-classification", vit_path, device="cpu")
    array = np.random.default_rng(0).integers(0, 256, (4, 40, 48, 3), dtype=np.uint8)
    expected = pipe(array)
    with Video(videos[0]) as video:
        rows = [{"video": array}, {"video": list(array)}, {"clip": 1}, {"video": video}]
        readings = list(pipe.read(rows))
        assert [reading.status for reading in readings] == ["ok", "ok", "error", "ok"]
        assert list(readings[0].predictions) == list(readings[1].predictions) == expected
        assert pipe({"video": video}) == pipe(videos[0])
        assert [answer["label"] for answer in readings[3].predictions] == [
            answer["label"] for answer in pipe(videos[0])
        ]
    assert pipe({"video": array}) == expected == pipe({"clip": array}, column="clip")
    assert len(pipe(pd.Series([array, str(videos[0])]))) == 2


def test_what_is_one_input_and_what_is_several(tmp_path: Path) -> None:
    for value in ("a.mp4", b"", {"video": "a.mp4"}, tmp_path / "a.mp4", np.zeros((2, 3, 4, 4))):
        assert how_many(value, "video") == "one"
    for value in (tmp_path, str(tmp_path / "*.mp4"), "a.csv", ["a.mp4"], np.array(["a.mp4"])):
        assert how_many(value, "video") == "list"
    assert how_many(iter(["a.mp4"]), "video") == "stream"
    assert how_many("a.txt", "text") == "one" and how_many(Path("a.txt"), "text") == "stream"


def test_the_command_says_what_it_passed_over(
    tmp_path: Path, videos: list[Path], vit_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(videos[0].read_bytes())
    (folder / "notes.txt").write_text("no film\n")
    arguments = ["run", "video-classification", str(folder), "--model", str(vit_path)]
    arguments += ["--output", str(tmp_path / "out"), "--deadline-seconds", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    told = result.stderr + capfd.readouterr().err
    assert told.count("passed over 1 file (notes.txt)") == 1
