"""Features of videos are transformers' of images, averaged over the frames that were read."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.dataset
import pytest
import torch
import transformers
from PIL import Image
from typer.testing import CliRunner

from temporal.data.frames import Frames
from temporal.pipelines import ReadingFailed, pipeline
from temporal.pipelines.command.cli import app

from .zero_shot_families import FAMILIES, clip, pattern, save

TASK = "video-feature-extraction"
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
MODELS = {
    "ViT": lambda: transformers.ViTModel(transformers.ViTConfig(**SMALL)),
    "Dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**SMALL)),
    "ResNet": lambda: transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of small image models with their processors."""
    found = {}
    for name, make in MODELS.items():
        torch.manual_seed(1)
        folder = str(tmp_path_factory.mktemp(name))
        make().eval().save_pretrained(folder)
        size = {"height": 32, "width": 32}
        transformers.ViTImageProcessorPil(size=size).save_pretrained(folder)
        found[name] = folder
    return found


def mean_of_images(place: str, frames: np.ndarray, **options) -> np.ndarray:
    """What transformers says of each frame, averaged."""
    pipe = transformers.pipeline("image-feature-extraction", model=place, device="cpu")
    return np.mean([pipe(Image.fromarray(frame), **options) for frame in frames], 0)


@pytest.mark.parametrize("kind", MODELS)
def test_it_is_transformers_pipeline_averaged_over_the_frames(kind, models) -> None:
    video = clip(9)
    pipe = pipeline(TASK, model=models[kind], num_frames=5)
    (reading,) = pipe.read(Frames(video))
    read = video[list(reading.trace.read)]
    assert len(read) == 5
    pooled = mean_of_images(models[kind], read, pool=True)
    pooled = pooled.reshape(1, -1)  # of a ResNet [1, D, 1, 1]
    assert np.allclose(pipe(video), pooled, atol=1e-4)
    assert np.allclose(pipe(video, pool=True), pooled, atol=1e-4)
    assert np.allclose(pipe(video, pool=False), mean_of_images(models[kind], read), atol=1e-4)
    tensor = pipe([video, clip(9, 3)], return_tensors=True)
    assert [tuple(one.shape) for one in tensor] == [pooled.shape] * 2
    assert torch.allclose(tensor[0], torch.tensor(pipe(video)))


@pytest.mark.parametrize("family", FAMILIES)
def test_of_images_and_texts_it_is_what_is_compared_with_texts(family, tmp_path) -> None:
    place = save(family, str(tmp_path))
    video = clip(4)
    inner = transformers.AutoModel.from_pretrained(place).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(place, backend="pil")
    with torch.no_grad():
        inputs = processor([Image.fromarray(x) for x in video], return_tensors="pt")
        want = inner.get_image_features(**inputs).pooler_output
    pipe = pipeline(TASK, model=place)
    assert np.allclose(pipe(video), want.mean(0, keepdim=True), atol=1e-4)
    unit = torch.nn.functional.normalize(want, dim=-1).mean(0, keepdim=True)
    assert np.allclose(pipeline(TASK, model=place, normalize=True)(video), unit, atol=1e-4)
    with pytest.raises(ReadingFailed, match="one vector for each"):
        pipe(video, pool=False)


@pytest.mark.parametrize("kind", ["ViT", "CLIP"])
def test_transformers_calls_it_too(kind, models, tmp_path) -> None:
    place = models[kind] if kind in models else save(kind, str(tmp_path))
    theirs = transformers.pipeline("adaptive-video-feature-extraction", model=place, device="cpu")
    assert np.allclose(theirs(clip(3)), pipeline(TASK, model=place)(clip(3)), atol=1e-6)


def test_it_halts_when_the_mean_is_near_that_of_all(models) -> None:
    still = np.stack([pattern(1)] * 20)
    restless = np.stack([pattern(seed) for seed in range(20)])
    pipe = pipeline(TASK, model=models["Dinov2"], similarity=0.999)
    full = pipeline(TASK, model=models["Dinov2"])
    read = []
    for video in (still, restless):
        (reading,) = pipe.read(Frames(video))
        (dense,) = full.read(Frames(video))
        assert reading.trace.read == dense.trace.read[: len(reading.trace.read)]
        read.append(len(reading.trace.read))
        vectors = [torch.tensor(one.predictions[0]["embedding"]) for one in (reading, dense)]
        assert torch.cosine_similarity(*vectors, dim=0) > 0.99
    assert read[0] == 2 < read[1] <= 16
    (half,) = pipeline(TASK, model=models["ViT"], budget=0.5).read(Frames(restless))
    assert len(half.trace.read) == 8
    same = pipeline(TASK, model=models["Dinov2"], policy="similarity:0.999")
    assert same(restless) == pipe(restless)


def test_few_are_the_frames_that_differ_most(models) -> None:
    scenes = [pattern(1), pattern(2), pattern(3)]
    video = np.stack([scenes[k // 6] for k in range(18)])
    pipe = pipeline(TASK, model=models["Dinov2"], embedding="few", num_embeddings=3, num_frames=9)
    (reading,) = pipe.read(Frames(video))
    (found,) = reading.predictions
    scene_of = [int(seconds * 24) // 6 for seconds in found["seconds"]]
    assert scene_of == [0, 1, 2]  # one of each, in the order of time
    alone = [pipe(scene[None])[0] for scene in scenes]
    assert np.allclose(pipe(video), alone, atol=1e-5)
    assert len(pipe(video, num_embeddings=2)) == 2
    assert len(pipe(video, embedding="mean")) == 1


def test_what_it_cannot_read_is_refused(models, tmp_path) -> None:
    for options, said in (
        ({"embedding": "most"}, "embedding"),
        ({"num_embeddings": 0}, "num_embeddings"),
        ({"num_frames": 0}, "num_frames"),
        ({"similarity": 2}, "similarity"),
        ({"every_seconds": 0}, "every_seconds"),
        ({"policy": "margin:0.5"}, "similarity"),
        ({"max_drop": 0.1}, "max_drop"),
    ):
        with pytest.raises(ValueError, match=said):
            pipeline(TASK, model=models["ViT"], **options)
    bare = str(tmp_path / "bare")
    MODELS["ViT"]().save_pretrained(bare)
    with pytest.raises(ValueError, match="image_processor"):
        pipeline(TASK, model=bare)
    classifier = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL)).eval()
    classifier.save_pretrained(tmp_path / "with head")
    transformers.ViTImageProcessorPil().from_pretrained(models["ViT"]).save_pretrained(
        tmp_path / "with head"
    )
    pipe = pipeline(TASK, model=str(tmp_path / "with head"))
    frames = clip(3)
    tokens = mean_of_images(str(tmp_path / "with head"), frames)
    assert np.allclose(pipe(frames, pool=False), tokens, atol=1e-4)
    assert np.allclose(pipe(frames), tokens.mean(1), atol=1e-4)  # it was saved without a pooler


def test_a_run_writes_vectors_of_half_the_size_and_rows_of_what_is_broken(
    models, tmp_path, videos
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(videos[0], clips / "good.mp4")
    (clips / "bad.mp4").write_bytes(b"no video")
    command = [
        "run",
        TASK,
        str(clips),
        "--model",
        models["ViT"],
        "--quiet",
        "-o",
        str(tmp_path / "out"),
    ]
    assert CliRunner().invoke(app, command).exit_code == 3
    table = pyarrow.dataset.dataset(tmp_path / "out", format="parquet").to_table()
    assert str(table.schema.field("embedding").type).startswith("list<element: float")
    assert "double" not in str(table.schema.field("embedding").type)
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["bad.mp4"]["embedding"] is None and rows["bad.mp4"]["status"] == "error"
    (want,) = pipeline(TASK, model=models["ViT"])(str(clips / "good.mp4"))
    assert rows["good.mp4"]["embedding"] == pytest.approx(want, abs=1e-5)
