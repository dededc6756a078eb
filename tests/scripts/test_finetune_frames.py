"""Readers of frames trained by gradients: what they learn from, what is judged, what is said."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from temporal.data import Video
from temporal.models import ClipEarlyExit, ClipReader, FrameExit

from .conftest import SCRIPTS
from .small_clips import CLASSES, save_config, write_clip

GATE = (
    "--reader_options",
    json.dumps({"gate": True, "motion_bins": 4}),
    "--num_frames",
    4,
    "--order",
    "uniform",
)
QUICK = (
    "--use_cpu",
    "--disable_tqdm",
    "true",
    "--learning_rate",
    2e-2,
    "--save_only_model",
    "true",
)
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of classes below splits, with the configuration of a backbone beside it."""
    top = tmp_path_factory.mktemp("data")
    save_config(top)
    for split, count, first in (("train", 16, 0), ("validation", 6, 100), ("test", 6, 200)):
        for k in range(count):
            place = top / "clips" / split / CLASSES[k % 2]
            place.mkdir(parents=True, exist_ok=True)
            write_clip(place / f"{k}.mp4", rising=k % 2 == 1, seed=first + k)
    return top


def options(folder: Path, out: Path) -> tuple[object, ...]:
    backbone = ("--backbone", folder / "config.json", "--output_dir", out)
    return ("--data_dir", folder / "clips", *backbone, *QUICK, "--num_train_epochs", 12)


def test_a_gate_is_trained_on_kept_features_and_held_against_uniform_frames(
    folder: Path, tmp_path: Path, run_script: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = folder / "clips" / "train" / "rising" / "broken.mp4"
    broken.write_bytes(b"no video")
    result = run_script("finetune_video", *options(folder, tmp_path), *GATE)
    assert list(result["left_out"]) == [str(broken)]
    assert (result["validation"]["clips"], result["test"]["clips"]) == (6, 6)
    test = result["test"]
    assert test["accuracy"] >= 5 / 6
    assert 2 <= test["mean_frames_read"] <= 4  # min_frames are 2
    policy = test["policy"]
    assert policy["verdict"] in ("better", "no better", "worse")
    assert policy["accuracy"] == pytest.approx(test["accuracy"])
    assert policy["uniform_curve"].keys() == policy["uniform_decoded"].keys() == {"1", "2", "4"}
    # Four of four frames decode what four uniform ones do, and the policy never more.
    most = policy["uniform_decoded"]["4"]
    assert test["mean_frames_read"] <= policy["frames_decoded"] <= most
    assert test["mean_frames_decoded"] == policy["frames_decoded"]
    beside = policy["at_equal_decoding"]
    assert 1 <= beside["uniform_frames"] <= 4
    assert beside["verdict"] in ("better", "no better", "worse")
    curve = json.loads((tmp_path / "learning_curve.json").read_text())["validation"]
    assert [row["epoch"] for row in curve] == list(range(1, 13))
    assert curve[-1].keys() == {"epoch", "frames_read", "accuracy", "uniform_accuracy"}

    # What the training says is what the saved reader says of the files.
    reader = FrameExit.from_pretrained(tmp_path / "final").eval()
    read, right = 0, 0
    for k in range(6):
        label = CLASSES[k % 2]
        outcome = reader(Video(folder / "clips" / "test" / label / f"{k}.mp4"))
        read += outcome.trace.units_read
        right += reader.config.id2label[int(outcome.value.argmax())] == label
    assert (right / 6, read / 6) == pytest.approx((test["accuracy"], test["mean_frames_read"]))
    shown = reader.rows_seen
    assert shown and len(shown.of("training").rows) == 16
    assert len(shown.of("selection").rows) == 6

    # Nothing is decoded again: not even the files need to be videos that can be opened.
    monkeypatch.setattr(Video, "read", lambda *_, **__: pytest.fail("a frame was decoded"))
    again = run_script("finetune_video", *options(folder, tmp_path), *GATE)
    assert again["test"] == test
    broken.unlink()


def test_the_last_blocks_are_trained_on_varied_pixels(
    folder: Path, tmp_path: Path, run_script: Run
) -> None:
    common = (*options(folder, tmp_path)[:-1], 1, "--unfreeze", "last:1", "--eval_split", "test")
    result = run_script("finetune_video", *common, "--num_frames", 3)
    assert result.keys() >= {"test"} and "validation" not in result
    trained = load_file(tmp_path / "final" / "model.safetensors")
    start = FrameExit.from_pretrained(tmp_path / "final").backbone.model
    assert start.config.num_hidden_layers == 2
    moments = [name for name in trained if name.startswith("backbone")]
    (checkpoint,) = (tmp_path / "final").glob("checkpoint-*")
    assert moments and checkpoint.is_dir()


def test_clips_may_have_several_labels_and_be_parts_of_a_file(
    folder: Path, tmp_path: Path, run_script: Run
) -> None:
    rows = []
    for k in range(12):
        path = folder / "clips" / "train" / CLASSES[k % 2] / f"{k}.mp4"
        labels = [CLASSES[k % 2], *(["half"] if k % 3 == 0 else [])]
        part = {"start": 0.0, "end": 0.6} if k % 3 == 0 else {}
        rows.append({"path": str(path), "label": labels, **part})
    table = tmp_path / "clips.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    common = ("--data_dir", table, "--model", "frame_exit", "--num_folds", 2, "--num_frames", 2)
    out = tmp_path / "out"
    result = run_script("finetune_video", *options(folder, out)[2:], *common)
    found = result["by_group"]
    assert found["clips"] == 12 and 0 < found["mean_average_precision"] <= 1
    config = FrameExit.from_pretrained(out / "final").config
    assert config.problem_type == "multi_label_classification"
    assert sorted(config.label2id) == ["falling", "half", "rising"]


def test_what_cannot_be_is_said_before_any_work(folder: Path, run_script: Run) -> None:
    base = ("--data_dir", folder / "clips", "--output_dir", folder / "out")
    for more, told in (
        (("--model", "frame_exits"), "did you mean 'frame_exit'"),
        (("--reader_options", '{"min_frame": 2}'), "did you mean 'min_frames'"),
        (("--reader_options", "{gate}"), "must be a JSON object"),
        (("--backbone", folder / "nowhere"), "must be efficientnet_lite0, a folder"),
        (("--backbone", folder / "config.json", "--unfreeze", "first"), "none, last:K or all"),
        (("--backbone", folder / "config.json", "--unfreeze", "last:9"), "has 2 blocks"),
        (("--backbone", folder / "config.json", "--eval_split", "last"), "'test', 'train', 'vali"),
    ):
        with pytest.raises(ValueError, match=told.replace("(", r"\(")):
            run_script("finetune_video", *base, *more)
    for flag in ("--load_best_model_at_end", "--push_to_hub"):
        with pytest.raises(SystemExit, match="does nothing here"):
            run_script("finetune_video", *base, *GATE, flag)


@pytest.mark.parametrize("model", [ClipReader, ClipEarlyExit])
def test_a_video_classifier_is_trained_clip_by_clip(
    model: Any, folder: Path, tmp_path: Path, run_script: Run
) -> None:
    """The head of a VideoMAE of random weights learns; its encoder stays as it is."""
    config = VideoMAEConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
        num_frames=2,
    )
    VideoMAEForVideoClassification(config).save_pretrained(tmp_path / "videomae")
    kind = model.config_class.model_type
    result = run_script(
        "finetune_video",
        *("--data_dir", folder / "clips", "--model", kind, *QUICK),
        *("--backbone", tmp_path / "videomae", "--output_dir", tmp_path / "out"),
        *("--reader_options", '{"num_clips": 2, "sampling_rate": 2}', "--num_train_epochs", 2),
    )
    assert (result["test"]["clips"], result["test"]["mean_frames_read"]) == (6, 4)
    reader = model.from_pretrained(tmp_path / "out" / "final")
    if kind == "clip_early_exit":
        assert all(branch.linear.weight.abs().max() > 0 for branch in reader.exits)
    assert reader.config.id2label == dict(enumerate(CLASSES))
    before = VideoMAEForVideoClassification.from_pretrained(tmp_path / "videomae")
    encoder, own = before.base_model.state_dict(), reader.classifier.base_model.state_dict()
    torch.testing.assert_close(dict(own), dict(encoder))
    with pytest.raises(ValueError, match="a model of AutoModelForVideoClassification"):
        run_script(
            "finetune_video",
            *("--data_dir", folder / "clips", "--output_dir", tmp_path, "--model", "clip_reader"),
        )


def test_parts_of_videos_are_clips_where_a_reader_of_frames_is_named(
    folder: Path, tmp_path: Path, run_script: Run
) -> None:
    """Their table has the columns of a table of events; each that cannot be read is named."""
    lines = ["path,label,start_seconds,end_seconds"]
    paths = [folder / "clips" / "train" / CLASSES[k % 2] / f"{k}.mp4" for k in range(8)]
    lines += [f"{path},{CLASSES[k % 2]},0,0.5" for k, path in enumerate(paths)]
    lines += [f"{paths[0]},{CLASSES[0]},{start},{start + 1}" for start in (50, 70)]
    table = tmp_path / "parts.csv"
    table.write_text("\n".join(lines))
    given = ("--data_dir", table, "--backbone", folder / "config.json", "--output_dir", tmp_path)
    result = run_script("finetune_video", *given, "--model", "frame_exit", "--num_folds", 2)
    assert result["by_group"]["clips"] == 8
    assert list(result["left_out"]) == [f"{paths[0]}#t=50,51", f"{paths[0]}#t=70,71"]
    with pytest.raises(ValueError, match="read as a table of events.*--model frame_exit"):
        run_script("finetune_video", *given, "--num_frames", 2)


def test_one_class_is_nothing_to_learn(folder: Path, tmp_path: Path, run_script: Run) -> None:
    table = tmp_path / "one.csv"
    place = folder / "clips" / "train" / CLASSES[0]
    table.write_text("path,label\n" + "".join(f"{place / f'{k}.mp4'},same\n" for k in (0, 2)))
    given = ("--data_dir", table, "--backbone", folder / "config.json", "--output_dir", tmp_path)
    with pytest.raises(
        ValueError, match="2 clips of .*one.csv .* the class 'same': .* two or more"
    ):
        run_script("finetune_video", *given)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data_dir", "t.csv"), "it has 'clip', 'what': pass --path_column"),
        (("--data_dir", "nowhere"), "nowhere is not there"),
        ((), "give one of --data_dir and --dataset_name"),
    ],
)
def test_a_refusal_is_a_sentence_and_an_exit_code(
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "t.csv").write_text("clip,what\na.mp4,x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["finetune_video.py", "--output_dir", "out", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / "finetune_video.py"), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and told in line
