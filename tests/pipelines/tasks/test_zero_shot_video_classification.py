"""Zero-shot classification of videos is transformers' of images, averaged over the frames read."""

from __future__ import annotations

import shutil

import av
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from typer.testing import CliRunner

from temporal.data.frames import Frames
from temporal.models import FrameExit
from temporal.pipelines import pipeline
from temporal.pipelines.command.calibrate import calibrate_command
from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import read_rows

from .zero_shot_families import FAMILIES, LABELS, balance, clip, pattern, save


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_transformers_averaged_over_the_frames(family, tmp_path) -> None:
    place = save(family, str(tmp_path))
    video = clip(30)
    pipe = pipeline("zero-shot-video-classification", model=place, candidate_labels=LABELS)
    (reading,) = pipe.read(Frames(video))
    ours = {one["label"]: one["score"] for one in reading.predictions}
    theirs = transformers.pipeline("zero-shot-image-classification", model=place, device="cpu")
    want = dict.fromkeys(LABELS, 0.0)
    for frame in reading.trace.read:
        for one in theirs(Image.fromarray(video[frame]), candidate_labels=LABELS):
            want[one["label"]] += one["score"] / len(reading.trace.read)
    assert len(reading.trace.read) == pipe.model.config.num_frames > 1
    assert ours == pytest.approx(want, abs=1e-4)
    assert [one["score"] for one in reading.predictions] == sorted(ours.values(), reverse=True)


ODD = {
    "wide": {"size": {"shortest_edge": 40}},
    "no crop": {"do_center_crop": False},
    "other colours": {"image_mean": [0.2, 0.5, 0.9], "image_std": [0.1, 0.3, 1.0]},
    "not scaled": {"do_rescale": False, "do_normalize": False},
    "scaled otherwise": {"rescale_factor": 1 / 127.5},
    "nearest": {"resample": 0},
}


@pytest.mark.parametrize("odd", ODD)
def test_a_frame_is_seen_as_its_processor_says(odd, tmp_path) -> None:
    place = save("CLIP", str(tmp_path), **ODD[odd])
    video = clip(3)
    ours = pipeline("zero-shot-video-classification", model=place, candidate_labels=LABELS)
    theirs = transformers.pipeline("zero-shot-image-classification", model=place, device="cpu")
    want = dict.fromkeys(LABELS, 0.0)
    for frame in video:
        for one in theirs(Image.fromarray(frame), candidate_labels=LABELS):
            want[one["label"]] += one["score"] / 3
    assert {row["label"]: row["score"] for row in ours(video)} == pytest.approx(want, abs=1e-4)


def test_labels_and_template_may_differ_from_call_to_call(tmp_path) -> None:
    place = save("CLIP", str(tmp_path))
    pipe = pipeline("zero-shot-video-classification", model=place)
    one, other = clip(12), clip(12, seed=1)
    first = pipe(one, candidate_labels=LABELS)
    again = pipe([one, other], candidate_labels=["bird", "cat"], hypothesis_template="a {}")
    assert {row["label"] for row in again[0]} == {"bird", "cat"} and len(again) == 2
    assert pipe(one, candidate_labels=LABELS) == first
    fixed = pipeline("zero-shot-video-classification", model=place, candidate_labels=LABELS)
    assert fixed(one) == first
    assert fixed(one, candidate_labels=["bird", "cat"], hypothesis_template="a {}") == again[0]
    assert fixed(one, candidate_labels=["cat"]) == [{"label": "cat", "score": 1.0}]


def test_what_cannot_be_told_apart_is_refused(tmp_path) -> None:
    pipe = pipeline("zero-shot-video-classification", model=save("CLIP", str(tmp_path)))
    video = clip(4)
    with pytest.raises(ValueError, match="candidate_labels must be given"):
        pipe(video)
    for labels in ([], "cat", ["cat", "cat"], ["cat", " "], ["cat", 3]):
        with pytest.raises(ValueError, match="candidate_labels"):
            pipe(video, candidate_labels=labels)
    with pytest.raises(ValueError, match="hypothesis_template"):
        pipe(video, candidate_labels=LABELS, hypothesis_template="a photo")


def test_the_order_of_labels_does_not_move_scores_and_several_fit_with_siglip(tmp_path) -> None:
    pipe = pipeline("zero-shot-video-classification", model=save("Siglip", str(tmp_path)))
    alone = {label: pipe(clip(8), candidate_labels=[label])[0]["score"] for label in LABELS}
    together = pipe(clip(8), candidate_labels=LABELS[::-1])
    assert {row["label"]: row["score"] for row in together} == pytest.approx(alone, abs=1e-5)


def test_it_halts_when_the_ranking_is_stable_and_reads_no_more(tmp_path) -> None:
    place = save("CLIP", str(tmp_path))
    options = {"model": place, "candidate_labels": LABELS}
    task = "zero-shot-video-classification"
    (full,) = pipeline(task, **options).read(Frames(clip(30)))
    (brief,) = pipeline(task, **options, policy="patience:2").read(Frames(clip(30)))
    assert brief.trace.read == full.trace.read[: len(brief.trace.read)]
    assert len(brief.trace.read) < len(full.trace.read)
    assert brief.predictions[0]["label"] == full.predictions[0]["label"]
    (half,) = pipeline(task, **options, budget=0.5).read(Frames(clip(30)))
    assert len(half.trace.read) == len(full.trace.read) // 2


def test_a_saved_reader_keeps_its_labels_and_answers_the_same(tmp_path) -> None:
    place = save("Siglip", str(tmp_path / "model"))
    pipe = pipeline("zero-shot-video-classification", model=place, candidate_labels=LABELS)
    pipe.model.save_pretrained(tmp_path / "saved")
    loaded = FrameExit.from_pretrained(tmp_path / "saved")
    assert torch.equal(loaded.backbone.model.vectors, pipe.model.backbone.model.vectors)
    again = pipeline("zero-shot-video-classification", model=str(tmp_path / "saved"))
    assert again(clip(9)) == pipe(clip(9))
    with pytest.raises(ValueError, match="was made for its own: cat, two dogs, bird at night"):
        again(clip(9), candidate_labels=["cat", "bird"])


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> tuple[str, str, list]:
    """A reader that was calibrated on clips without labels; clips that it has not seen."""
    folder = tmp_path_factory.mktemp("calibrated")
    clips = folder / "clips"
    clips.mkdir()
    for number in range(40):
        write(clips / f"{number:02d}.mkv", restless(number))
    place, out = balance(save("CLIP", str(folder / "model"))), str(folder / "out")
    task = "zero-shot-video-classification"
    words = ["--task", task, "--model", place, "--data_file", str(clips), "--output_dir", out]
    report = calibrate_command(
        [*words, "--max_drop", "0.1", "--candidate_labels", *LABELS], "calibrate"
    )
    assert report["chosen"]["risk"] == "disagreement"
    assert report["chosen"]["cost_share"] < 1
    return out, place, [restless(1000 + number) for number in range(40)]


def restless(seed: int) -> np.ndarray:
    """A clip of twelve frames that have more or less in common, by its seed."""
    share = (0.1, 0.3, 0.5, 0.8)[seed % 4]
    own, others = pattern(1000 * seed), [pattern(1000 * seed + k) for k in range(1, 13)]
    return np.stack([(1 - share) * own + share * other for other in others]).astype(np.uint8)


def write(path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def test_calibrated_without_labels_it_agrees_with_the_reading_of_all_frames(calibrated) -> None:
    out, place, unseen = calibrated
    task = "zero-shot-video-classification"
    dense = pipeline(task, model=place, candidate_labels=LABELS)
    brief = pipeline(task, model=out, max_drop=0.1)
    full, few = list(dense.read(unseen)), list(brief.read(unseen))
    agree = [
        a.predictions[0]["label"] == b.predictions[0]["label"]
        for a, b in zip(full, few, strict=True)
    ]
    assert sum(agree) >= 0.9 * len(agree)
    read = [len(reading.trace.read) for reading in few]
    assert sum(read) < 10 * len(read) and len(set(read)) > 1


def test_of_other_labels_nothing_is_certified_and_the_policy_is_the_same(calibrated) -> None:
    out, place, (video, *_) = calibrated
    pipe = pipeline("zero-shot-video-classification", model=out)
    own, thresholds = pipe.model.config.operating_points, pipe.model.config.thresholds
    other = pipeline("zero-shot-video-classification", model=out, candidate_labels=["cat", "bird"])
    assert own and thresholds and other.model.config.operating_points is None
    assert other.model.config.thresholds == thresholds
    assert pipe(video, candidate_labels=["cat", "bird"]) == other(video)
    same = pipeline("zero-shot-video-classification", model=out, candidate_labels=LABELS)
    assert same.model.config.operating_points == own
    with pytest.raises(ValueError, match="max_drop"):
        pipeline(
            "zero-shot-video-classification",
            model=out,
            candidate_labels=["cat", "bird"],
            max_drop=0.1,
        )


def test_transformers_calls_it_too(tmp_path, videos) -> None:
    place = save("CLIP", str(tmp_path))
    ours = pipeline("zero-shot-video-classification", model=place, device="cpu")
    task = "adaptive-zero-shot-video-classification"
    theirs = transformers.pipeline(task, model=place, device="cpu")
    video = str(videos[0])
    assert theirs(video, candidate_labels=LABELS) == ours(video, candidate_labels=LABELS)


def test_the_command_line_reads_a_folder_with_rubbish_in_it(tmp_path, videos) -> None:
    place = save("CLIP", str(tmp_path / "model"))
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(videos[0], clips / "good.mp4")
    (clips / "bad.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    command = ["run", "zero-shot-video-classification", str(clips), "--model", place, "--quiet"]
    refused = CliRunner().invoke(app, [*command, "--output", str(out)])
    assert refused.exit_code == 2 and "candidate_labels must be given" in refused.output
    named = [*command, "--candidate-label", "cat", "--candidate-label", "two dogs"]
    done = CliRunner().invoke(app, [*named, "--output", str(out)])
    assert done.exit_code == 3  # one of them is no video
    rows = {row["id"]: row for row in read_rows(out)}
    assert rows["bad.mp4"]["status"] == "error" and rows["good.mp4"]["label"] in ("cat", "two dogs")
    other = CliRunner().invoke(
        app, [*command, "--candidate-label", "bird", "--resume", "-o", str(out)]
    )
    assert other.exit_code == 2 and "candidate_labels" in other.output
