"""All that a processor's settings say of pixels, wherever they are kept and however given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    ConvNextImageProcessorPil,
    VideoMAEForVideoClassification,
    VideoMAEImageProcessorPil,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from temporal.backbones.processors import load_processor
from temporal.models import FrameExit
from temporal.pipelines import pipeline

from .image_families import make_model, make_processor

SQUARE = {"height": 32, "width": 32}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
IMAGENET = {"image_mean": MEAN, "image_std": STD}
CROP = {"size": {"shortest_edge": 40}, "crop_size": SQUARE, **IMAGENET}


def noise(size: tuple[int, int], num: int = 2) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 255, (num, 3, *size), dtype=np.uint8)
    return torch.from_numpy(pixels)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def normalised(frames: torch.Tensor, mean: Any = MEAN, std: Any = STD) -> torch.Tensor:
    mean, std = (torch.tensor(x)[:, None, None] for x in (mean, std))
    return (frames / 255 - mean) / std


def pipe_of(model: Any, **options: Any) -> Any:
    return pipeline("video-classification", model, device="cpu", top_k=None, **options)


def seen_by(kind: type, pipe: Any, video: Path) -> torch.Tensor:
    """What the classifier inside a pipeline is given."""
    seen: list[torch.Tensor] = []
    inner = next(module for module in pipe.model.modules() if isinstance(module, kind))
    handle = inner.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0] if args else kwargs["pixel_values"]),
        with_kwargs=True,
    )
    pipe(str(video))
    handle.remove()
    return torch.cat(seen)


@pytest.mark.parametrize(
    "processor",
    [
        ViTImageProcessorPil(size=SQUARE, do_normalize=False),
        ViTImageProcessorPil(size=SQUARE, do_rescale=False, do_normalize=False),
        ViTImageProcessorPil(size=SQUARE, rescale_factor=1 / 127.5, **IMAGENET),
        ViTImageProcessorPil(size=SQUARE, resample=0),
        ViTImageProcessorPil(size=SQUARE, resample=3),
        ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.5),
    ],
    ids=["unnormalised", "as-bytes", "rescaled", "nearest", "bicubic", "crop-pct"],
)
def test_an_image_classifier_sees_what_its_processor_makes(
    processor: Any, tmp_path: Path, vit_path: Path, videos: list[Path]
) -> None:
    model = ViTForImageClassification.from_pretrained(vit_path)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pipe = pipe_of(str(tmp_path))
    whole = decoded(videos[0])
    order = pipe.reader.reading_order(30, [0, 10, 20])
    want = processor([Image.fromarray(whole[k]) for k in order], return_tensors="pt")
    torch.testing.assert_close(seen_by(type(model), pipe, videos[0]), want["pixel_values"])


@pytest.mark.parametrize("where", ["images", "videos", "nested", "object", "path", "name_or_path"])
def test_settings_are_found_where_they_are(
    where: str, tmp_path: Path, video_mae_path: Path, videos: list[Path]
) -> None:
    model = VideoMAEForVideoClassification.from_pretrained(video_mae_path)
    processor = VideoMAEImageProcessorPil(**CROP)
    folder, other = tmp_path / "model", tmp_path / "processor"
    model.save_pretrained(folder)
    processor.save_pretrained(other)
    settings = (other / "preprocessor_config.json").read_text()
    options: dict[str, Any] = {}
    if where in ("images", "name_or_path"):
        (folder / "preprocessor_config.json").write_text(settings)
    elif where == "videos":
        (folder / "video_preprocessor_config.json").write_text(settings)
    elif where == "nested":
        nested = {"image_processor": json.loads(settings), "processor_class": "SomeProcessor"}
        (folder / "processor_config.json").write_text(json.dumps(nested))
    elif where == "object":
        options["image_processor"] = processor
    else:
        options["feature_extractor"] = str(other)
    loaded: Any = str(folder)
    if where == "name_or_path":
        loaded = VideoMAEForVideoClassification.from_pretrained(folder)
    pipe = pipe_of(loaded, **options)
    want = processor(decoded(videos[0])[:4], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(seen_by(type(model), pipe, videos[0]), want)


def test_a_processor_of_videos_is_followed_without_torchvision() -> None:
    processor = load_processor({"video_processor_type": "VJEPA2VideoProcessor", "crop_size": 32})
    assert processor.size.shortest_edge == 36  # 32 * 256 / 224
    frames = noise((36, 48))
    made = processor([frames], return_tensors="pt")["pixel_values_videos"]
    torch.testing.assert_close(made[0], normalised(frames[:, :, 2:34, 8:40]))
    made = processor([noise((90, 120))], return_tensors="pt")["pixel_values_videos"]
    images = [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in noise((90, 120))]
    small = [np.array(image.resize((48, 36), Image.Resampling.BILINEAR)) for image in images]
    want = normalised(torch.tensor(np.stack(small)).permute(0, 3, 1, 2)[:, :, 2:34, 8:40])
    torch.testing.assert_close(made[0], want, atol=1.01 / 255 / min(STD), rtol=0)  # one level


def test_a_processor_of_videos_has_its_own_offset_and_edges() -> None:
    settings = {"video_processor_type": "VivitVideoProcessor", "do_resize": False}
    processor = load_processor({**settings, "crop_size": SQUARE, "do_normalize": False})
    frames = noise((28, 40))
    made = processor([frames], return_tensors="pt")["pixel_values"][0]
    assert made.shape[-2:] == (32, 32)
    torch.testing.assert_close(made[:, :, 2:30], frames[..., 4:36] / 127.5 - 1)
    assert (made[:, :, :2] == -1).all() and (made[:, :, 30:] == -1).all()  # black is put around


def test_frames_of_a_processor_of_videos_come_from_all_over(
    tmp_path: Path, videos: list[Path]
) -> None:
    model = make_model("vjepa2", "VJEPA2ForVideoClassification")
    model.save_pretrained(tmp_path)
    settings = {"video_processor_type": "VJEPA2VideoProcessor", "crop_size": 32}
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(settings))
    (reading,) = pipe_of(str(tmp_path)).read(videos[:1], on_error="raise")
    assert reading.trace.read == (0, 3, 7, 11, 15, 18, 22, 26)
    frames = torch.from_numpy(np.stack(decoded(videos[0])))[list(reading.trace.read)]
    pixels = load_processor(settings)([frames.permute(0, 3, 1, 2)], return_tensors="pt")
    with torch.no_grad():
        want = model(**pixels).logits[0].softmax(-1)
    got = [p["score"] for p in reading.predictions]
    assert got == pytest.approx(sorted(want.tolist(), reverse=True), abs=1e-4)


def test_pp_lcnet_sees_blue_first(tmp_path: Path, videos: list[Path]) -> None:
    model = make_model("pp_lcnet", "PPLCNetForImageClassification")
    model.save_pretrained(tmp_path)
    settings = {
        **{"image_processor_type": "PPLCNetImageProcessor", "resize_short": 48, "crop_size": 32},
        **{"image_mean": MEAN, "image_std": STD},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    pipe = pipe_of(str(tmp_path))
    order = pipe.reader.reading_order(30, [0, 10, 20])
    frames = torch.from_numpy(np.stack(decoded(videos[0]))).permute(0, 3, 1, 2)[order]
    want = normalised(frames[:, :, 8:40, 16:48])[:, [2, 1, 0]]  # 48 x 64, resized to itself
    torch.testing.assert_close(seen_by(type(model), pipe, videos[0]), want)
    (reading,) = pipe.read(videos[:1])
    with torch.no_grad():
        scores = model(want).last_hidden_state.softmax(-1).mean(0)
    assert reading.predictions[0]["score"] == pytest.approx(float(scores.max()), abs=1e-4)


def test_a_saved_reader_keeps_its_processor(
    tmp_path: Path, vit_path: Path, videos: list[Path]
) -> None:
    model = ViTForImageClassification.from_pretrained(vit_path)
    processor = ViTImageProcessorPil(size=SQUARE, resample=3, **IMAGENET)
    reader = FrameExit.from_classifier(model, processor)
    want = pipe_of(reader)(videos[0])
    reader.save_pretrained(tmp_path)
    got = pipe_of(str(tmp_path))(videos[0])
    assert [p["label"] for p in got] == [p["label"] for p in want]
    assert [p["score"] for p in got] == pytest.approx([p["score"] for p in want], abs=1e-6)


def test_what_does_not_fit_is_refused_in_words(tmp_path: Path, vit_path: Path) -> None:
    model = ViTForImageClassification.from_pretrained(vit_path)
    patches = make_processor("siglip2", "Siglip2ForImageClassification")
    with pytest.raises(ValueError, match=r"returns '\w+', which ViTFor\w+ does not take"):
        pipe_of(model, image_processor=patches)
    with pytest.raises(ValueError, match="image_processor is for classifiers"):
        pipe_of(FrameExit.from_classifier(model), image_processor=patches)
    with pytest.raises(OSError, match=r"image_processor \(.*must be where a processor is saved"):
        pipe_of(model, image_processor=str(tmp_path))
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": ')
    with pytest.raises(ValueError, match=r"preprocessor_config.json must be JSON"):
        pipe_of(str(tmp_path))


def test_clips_are_sampled_as_asked(video_mae_path: Path, videos: list[Path]) -> None:
    (reading,) = pipe_of(video_mae_path).read(videos[:1])
    assert reading.trace.read == (0, 1, 2, 3)
    (reading,) = pipe_of(video_mae_path, frame_sampling_rate=5).read(videos[:1])
    assert reading.trace.read == (0, 6, 12, 19)  # of numpy.linspace(0, 19, 4)
    (reading,) = pipe_of(video_mae_path, frame_sampling_rate=9).read(videos[:1])
    assert reading.trace.read == (0, 11, 23, 29)  # 35 is beyond the end
    with pytest.raises(ValueError, match=r"num_frames \(0\) must be"):
        pipe_of(video_mae_path, num_frames=0)
