"""The benchmark of readers of frames: one table, the same folds, and the honest word."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import ViTConfig, ViTModel

from .small_clips import CLASSES, write_clip

Run = Callable[..., dict[str, Any]]
NUM_CLIPS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of six groups, and a backbone of random weights beside them."""
    top = tmp_path_factory.mktemp("data")
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=32,
    )
    ViTModel(config).save_pretrained(top / "vit")
    (top / "clips").mkdir()
    rows = [["path", "label", "group"]]
    for k in range(NUM_CLIPS):
        write_clip(top / "clips" / f"{k}.mp4", rising=k % 2 == 1, seed=k)
        rows.append([f"{k}.mp4", CLASSES[k % 2], f"group{k // 2}"])
    with open(top / "clips" / "groups.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return top


def options(folder: Path, *more: object) -> tuple[object, ...]:
    data = ("--data_dir", folder / "clips", "--backbone", folder / "vit", "--num_folds", 2)
    return (*data, "--views", 1, "--cache_dir", folder / "features", *more)


@pytest.mark.filterwarnings("ignore:this reader was calibrated in float32")  # is asked for
def test_readers_and_uniform_frames_stand_in_one_table(
    folder: Path, tmp_path: Path, run_script: Run
) -> None:
    exits, gate = tmp_path / "exits", tmp_path / "gate"
    trained = run_script(
        "finetune_video", *options(folder, "--inner_folds", 2, "--output_dir", exits)
    )
    learns = (
        "--use_cpu",
        "--disable_tqdm",
        "true",
        "--num_train_epochs",
        1,
        "--model",
        "lite_eval",
    )
    small = json.dumps({"num_frames": 4, "glance_pixels": 16, "hidden_size": 64})
    run_script(
        "finetune_video",
        *options(folder, *learns, "--reader_options", small, "--selection_share", 0.4),
        *("--model", "lite_eval", "--output_dir", gate),
    )
    ask = options(folder, "--model_dirs", exits, gate, "--output_dir", tmp_path / "bench")
    ask = (*ask, "--uniform", 1, 4, "--dense", 4, "--chosen_frames", 2, "--rounds", 1)
    report = run_script("benchmark_video", *ask, "--points", "own", "chosen", "full")
    results = report["results"]
    assert report["clips"] == NUM_CLIPS and report["seed"] == 42
    readers = ["exits", "exits/chosen", "exits/full", "gate", "gate/chosen", "gate/full"]
    uniform = ["decord_1", "decord_4", "video_1", "video_4"]
    assert list(results) == [*readers, "keyframes_2", "motion_2", *uniform]

    own = results["exits"]
    assert own["accuracy"] == trained["by_group"]["accuracy"]
    assert own["frames_read"] == trained["by_group"]["mean_frames_read"]
    assert own["glance_size"] is None and own["frames_glanced"] == 0
    looks = results["gate"]
    assert (looks["frames_glanced"], looks["glance_size"]) == (4, [16, 16])
    # To see four frames of the clip, it decodes what anybody has to who reads them.
    assert looks["frames_decoded"] == results["video_4"]["frames_decoded"]
    assert results["gate/full"]["frames_read"] == 4 == results["video_4"]["frames_read"]
    assert results["video_4"]["macs"] == 4 * results["video_1"]["macs"] > 0
    for way in ("decord", "video"):
        assert results[f"{way}_1"]["frames_decoded"] == results["video_1"]["frames_decoded"]
    for row in results.values():
        assert row["ms"] >= row["decode_ms"] + row["model_ms"] > 0
        low, high = row["accuracy_interval"]
        assert low <= row["accuracy"] <= high
    assert results["decord_4"]["relative_time"] == 1
    assert "realised_share_own" in own and "beaten_by" not in results["decord_1"]

    table = (tmp_path / "bench" / "results.md").read_text().splitlines()
    assert len(table) == 2 + len(results)
    assert (tmp_path / "bench" / "results.png").stat().st_size > 1000

    # What was answered once is kept: only the clock runs again. Half precision is beside it.
    again = run_script(
        "benchmark_video", *ask, "--points", "own", "--dtypes", "float32", "bfloat16"
    )
    halves = [name for name in again["results"] if name.startswith("bfloat16 ")]
    assert halves == [f"bfloat16 {name}" for name in ("exits", "gate", *uniform)]
    for name in halves:
        row, whole = again["results"].pop(name), results[name.removeprefix("bfloat16 ")]
        assert row["says"] == f"{whole['says']}, in bfloat16"
        assert row["frames_decoded"] == whole["frames_decoded"] or "exits" in name
    for name, row in again["results"].items():
        assert row["accuracy"] == results[name]["accuracy"]
        assert row["frames_decoded"] == results[name]["frames_decoded"]

    # Other folds are another experiment.
    other = tmp_path / "other"
    run_script("finetune_video", *options(folder), "--num_folds", 3, "--output_dir", other)
    with pytest.raises(ValueError, match="other and .*exits have other folds: train them with"):
        run_script("benchmark_video", *ask[:-6], "--model_dirs", exits, other)
    with pytest.raises(ValueError, match="must hold folds.json"):
        run_script("benchmark_video", *ask[:-6], "--model_dirs", tmp_path)


def test_a_reader_that_does_not_pay_is_told_so(script: Callable[[str], Any]) -> None:
    module = script("parts.video_table")

    def row(accuracy: float, ms: float, macs: float, balanced: float | None = None) -> Any:
        balanced = accuracy if balanced is None else balanced
        told = {"accuracy": accuracy, "balanced_accuracy": balanced, "ms": ms, "macs": macs}
        return {**told, "accuracy_interval": (accuracy - 0.02, accuracy), "most_frequent": 0.6}

    results = {
        "good": row(0.95, 50, 2),
        "good/full": row(0.95, 60, 3),
        "best": row(0.99, 70, 4),
        "slow": row(0.90, 120, 8),
        "guess": row(0.61, 1, 1),
        "decord_2": row(0.90, 80, 2),
        "decord_4": row(0.95, 100, 4, balanced=0.9),
        "decord_8": row(0.96, 150, 8),
        "decord_16": row(0.96, 250, 16),
        "video_4": row(0.95, 90, 4),
    }
    uniform = [name for name in results if "_" in name]
    module.beside_uniform(results, uniform, "decord_16")
    good = results["good"]
    # Four frames are as accurate, but not as balanced: eight are.
    assert (good["cheapest_as_good"], good["speedup"]) == ("decord_8", 3.0)
    assert good["beaten_by"] is None and good["relative_time"] == 0.2
    assert good["realised_share"] == pytest.approx((1 - 50 / 250) / (1 - 2 / 16))
    assert good["realised_share_own"] == pytest.approx((1 - 50 / 60) / (1 - 2 / 3))
    assert module._word(good) == "yes: 3.00 times as fast as decord_8"
    assert module._word(results["best"]) == "yes: no uniform frames are as accurate"
    assert module._word(results["slow"]) == "no: decord_4 is as accurate, and as fast"
    told = "no: always the most frequent class is right 0.600"
    assert module._word(results["guess"]) == told
    assert results["decord_16"]["realised_share"] is None
