"""Zero-shot classification of videos is transformers' of images, averaged over the frames read."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from temporal.data.frames import Frames
from temporal.models import FrameExit
from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import read_rows

WORDS = ["this", "is", "a", "photo", "of", ".", "cat", "two", "dogs", "bird", "at", "night"]
LABELS = ["cat", "two dogs", "bird at night"]
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 40,
    "max_position_embeddings": 80,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
FAMILIES = {
    "CLIP": {"projection_dim": 16},
    "MetaClip2": {"projection_dim": 16},
    "ChineseCLIP": {"projection_dim": 16, "text": {"sep_token_id": 2}},
    "Siglip": {"text": {"projection_size": 32}},
    "Siglip2": {"text": {"projection_size": 32}, "vision": {"num_patches": 16}},
}
PROCESSORS = {"MetaClip2": "CLIP"}


def make_tokenizer() -> PreTrainedTokenizerFast:
    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS]
    inner = Tokenizer(models.WordLevel({w: k for k, w in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")


def save(family: str, folder: str) -> str:
    """A small model with random weights, with its tokenizer and its image processor."""
    fields = FAMILIES[family]
    vision = fields.get("vision", {})
    if family == "Siglip2":
        vision = {**{k: v for k, v in VISION.items() if k != "image_size"}, **vision}
    else:
        vision = {**VISION, **vision}
    config = getattr(transformers, f"{family}Config")(
        text_config={**TEXT, **fields.get("text", {})},
        vision_config=vision,
        **{k: v for k, v in fields.items() if k not in ("text", "vision")},
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}Model")(config).eval()
    with torch.no_grad():  # the labels' scores are far apart
        model.logit_scale.fill_(3.0)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    kind = getattr(transformers, f"{PROCESSORS.get(family, family)}ImageProcessorPil")
    square = {"height": 32, "width": 32}
    given = {"size": square, "crop_size": square}
    if family == "Siglip2":
        given = {"patch_size": 8, "max_num_patches": 16}
    kind(**given).save_pretrained(folder)
    return folder


def clip(num_frames: int, seed: int = 0) -> np.ndarray:
    """Coloured noise that changes with time, uint8 [T, height, width, 3]."""
    draws = np.random.default_rng(seed)
    base = (
        draws.integers(0, 256, (1, 40, 48, 3))
        * np.linspace(0.2, 1, num_frames)[:, None, None, None]
    )
    return base.astype(np.uint8)


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
