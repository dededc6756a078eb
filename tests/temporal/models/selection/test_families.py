"""Frames for video-language models: a processor takes them as it takes those it samples itself."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.video_utils import VideoMetadata

import temporal
from temporal.backbones.processors import processor_class
from temporal.backbones.video_language import language_processor_class
from temporal.data import Video

from ..language.families import FAMILIES, family, tokenizer
from .small_image_text import brightness, film
from .test_clock import write

# GLM-4V's processor makes arrays of tensors in a way that NumPy will not have for ever.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PLACES = {
    "Qwen2-VL": "<|vision_start|><|video_pad|><|vision_end|>",
    "Qwen2.5-VL": "<|vision_start|><|video_pad|><|vision_end|>",
    "Qwen3-VL": "<|video_pad|>",
    "SmolVLM2": "<video>",
    "LLaVA-OneVision": "<video>",
    "InternVL": "<video>",
    "VideoLLaMA3": "<video>",
    "GLM-4V": "<|begin_of_video|><|video|><|end_of_video|>",
}
TIMES = {
    "Qwen3-VL": r"<([\d.]+) seconds>",
    "SmolVLM2": r"Frame from (\d\d:\d\d):",
    "VideoLLaMA3": r"Time ([\d.]+)s:",
    "GLM-4V": r"<\|end_of_image\|>([\d.]+)",
}
"""How a family writes times into the prompt; the others write none."""


def processor_of(name: str) -> Any:
    """A family's processor; of those without a model here, the processor alone."""
    if name in FAMILIES:
        return family(name)[1]
    if name == "VideoLLaMA3":
        words = tokenizer({"image_token": "<image>", "video_token": "<video>"})
        size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56 * 8}
        return language_processor_class("VideoLlama3Processor")(
            processor_class("VideoLlama3ImageProcessor")(),
            words,
            processor_class("VideoLlama3VideoProcessor")(size=size),
        )
    words = tokenizer({"image_token": "<|image|>", "video_token": "<|video|>"})
    marks = [f"<|{edge}_of_{kind}|>" for edge in ("begin", "end") for kind in ("image", "video")]
    words.add_tokens(marks, special_tokens=True)
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56 * 8}
    return language_processor_class("Glm4vProcessor")(
        processor_class("Glm4vImageProcessor")(),
        words,
        processor_class("Glm4vVideoProcessor")(size=size),
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds."""
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4", 150, range(60, 90))


def own_sampling(processor: Any, video: Video, prompt: str, indices: list[int]) -> dict[str, Any]:
    """What the processor makes of the whole video when it samples these frames itself."""
    whole = video.read(range(len(video)))
    told = VideoMetadata(
        total_num_frames=len(whole),
        fps=25.0,
        width=whole.shape[3],
        height=whole.shape[2],
        duration=len(whole) / 25,
        video_backend="torchcodec",
    )
    sampler = processor.video_processor
    sampler.sample_frames = lambda *_, **__: np.array(indices)
    try:
        return dict(
            processor(
                text=[prompt],
                videos=[whole],
                video_metadata=[told],
                do_sample_frames=True,
                return_tensors="pt",
            )
        )
    finally:
        del sampler.sample_frames


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("options", [{"by": "motion"}, {"model": brightness}, {"pairs": True}])
def test_inputs_are_those_of_the_processors_own_sampling(
    name: str, options: Any, clip: Path
) -> None:
    processor = processor_of(name)
    prompt = f"{PLACES[name]}What happens?"
    with Video(clip) as video:
        chosen = temporal.select(video, 6, **options)
        inputs = processor(
            text=[prompt],
            videos=chosen.pixels,
            video_metadata=chosen.metadata,
            do_sample_frames=False,
            return_tensors="pt",
        )
        want = own_sampling(processor, video, prompt, chosen.frames)
    assert set(inputs) == set(want)
    for key, value in want.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(inputs[key], value), key
        else:
            assert inputs[key] == value, key
    text = processor.tokenizer.decode(inputs["input_ids"][0])
    if name == "Qwen3-VL":
        times = [float(one) for one in re.findall(TIMES[name], text)]
        pairs = chosen.timestamps_seconds.reshape(3, 2).mean(axis=1)
        assert times == pytest.approx(pairs, abs=0.0501)
    elif name == "VideoLLaMA3":
        times = [float(one) for one in re.findall(TIMES[name], text)]
        assert times == pytest.approx(chosen.timestamps_seconds, abs=0.0501)
    elif name == "GLM-4V":
        times = [float(one) for one in re.findall(TIMES[name], text)]
        assert times == pytest.approx(chosen.timestamps_seconds[::2], abs=1.0)
    elif name == "SmolVLM2":
        whole = [int(one) for one in chosen.timestamps_seconds]
        assert re.findall(TIMES[name], text) == [f"00:{one:02d}" for one in whole]
    elif name == "Qwen2.5-VL":  # it is told of one spacing, and takes it for all
        assert inputs["second_per_grid_ts"] == pytest.approx([2 * 6.0 / 6])
    else:
        assert "seconds" not in text and "00:0" not in text


@pytest.mark.parametrize("name", TIMES)
def test_times_of_a_variable_rate_are_told(name: str, tmp_path: Path) -> None:
    """A film of frames at 0 to 1 s, then one a minute: its mean rate would tell all wrong."""
    ticks = [0, 40, 80, 120, 1000, 61000, 121000, 121040]
    path = write(tmp_path / "variable.mkv", ticks, Fraction(1, 1000), rate=1000)
    processor = processor_of(name)
    chosen = temporal.select(Video(path), 8)
    inputs = processor(
        text=[PLACES[name]],
        videos=chosen.pixels,
        video_metadata=chosen.metadata,
        do_sample_frames=False,
        return_tensors="pt",
    )
    told = re.findall(TIMES[name], processor.tokenizer.decode(inputs["input_ids"][0]))
    if name == "SmolVLM2":
        assert told == [*["00:00"] * 4, "00:01", "01:01", "02:01", "02:01"]
    elif name == "Qwen3-VL":
        assert told == ["0.0", "0.1", "31.0", "121.0"]
    elif name == "GLM-4V":
        assert [float(one) for one in told] == pytest.approx([0, 0.08, 1, 121], abs=1.0)
    else:
        assert told == ["0.0", "0.0", "0.1", "0.1", "1.0", "61.0", "121.0", "121.0"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_answers_of_chosen_frames(name: str, clip: Path) -> None:
    model, processor = family(name)
    chosen = temporal.select(Video(clip), 4, model=brightness, pairs=True)
    inputs = processor(
        text=[f"{PLACES[name]}What happens?"],
        videos=chosen.pixels,
        video_metadata=chosen.metadata,
        do_sample_frames=False,
        return_tensors="pt",
    )
    with torch.no_grad():
        logits = model(**inputs).logits
    assert logits.shape[:2] == inputs["input_ids"].shape and torch.isfinite(logits).all()
