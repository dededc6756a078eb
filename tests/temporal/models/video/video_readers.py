"""Small readers of videos, by the name under which they are registered, for tests of them all.

A new reader is made of its configuration with `SIZES`; one that needs more gets a line in
`OPTIONS`, one whose answers `forward` does not give as they are a line in `DENSE`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import (
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    ViTConfig,
    VivitConfig,
    VivitForVideoClassification,
)

from temporal.models import READERS, RECORDS, ClipEarlyExit, ClipReader
from temporal.models.glimpses.looking import ReadThreshold
from temporal.models.registry import VIDEO

SIDE = 32
"""Height and width at which these readers read frames."""

_TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": SIDE,
    "patch_size": 16,
}
SIZES: dict[str, Any] = {
    "backbone": ViTConfig(**_TINY).to_dict(),
    "image_size": SIDE,
    "num_frames": 5,
    "num_labels": 4,
}
_ALL_READ = {"hidden_size": 16, "read_threshold": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "frame_exit": {"pooling": "change", "min_frames": 2},
    "ada_frame": {
        "num_candidates": 12,
        "hidden_size": 16,
        "memory_size": 8,
        "glance_pixels": SIDE,  # then no scaling tells a file from frames in memory
    },
    "fast_forward": {"num_candidates": 5, "hidden_size": 16, "jumps": [1]},
    "frame_glimpse": {"num_candidates": 12, "hidden_size": 16},
    "frame_skim_rnn": {**_ALL_READ, "glance_pixels": SIDE, "glance_features": 8, "skim_size": 4},
    "frame_skip_rnn": _ALL_READ,
    "lite_eval": {**_ALL_READ, "glance_pixels": SIDE, "glance_features": 8, "coarse_size": 4},
    # Glances of the films' own size: then no scaling tells a file from frames in memory.
    "sc_sampler": {"num_candidates": 12, "glance_features": 8, "glance_pixels": SIDE},
    "oc_sampler": {"num_candidates": 12, "glance_features": 8, "glance_pixels": SIDE},
    "listen_to_look": {"num_candidates": 12, "glance_features": 8, "glance_pixels": SIDE},
    "ar_net": {
        "image_sizes": [SIDE, SIDE // 2],
        "skips": [1],
        "glance_features": 8,
        "glance_pixels": SIDE,
        "hidden_size": 8,
    },
    "ada_focus": {"crop_pixels": SIDE // 2, "glance_features": 8, "glance_pixels": SIDE},
}
SIZES_READ: dict[str, set[tuple[int, int]]] = {
    "ada_focus": {(SIDE // 2, SIDE // 2)},
    "ar_net": {(SIDE, SIDE), (SIDE // 2, SIDE // 2)},
}
"""At which sizes a reader reads, where it is not `SIDE` x `SIDE`."""


def _clip_reader() -> ClipReader:
    config = VideoMAEConfig(num_frames=4, num_labels=4, **_TINY)
    classifier = VideoMAEForVideoClassification(config).eval()
    _stir(classifier)
    return ClipReader(classifier, num_clips=4, sampling_rate=2)


def _clip_early_exit() -> ClipEarlyExit:
    tiny = {**_TINY, "num_hidden_layers": 3}
    classifier = VivitForVideoClassification(
        VivitConfig(num_frames=4, tubelet_size=[2, 16, 16], num_labels=4, **tiny)
    )
    reader = ClipEarlyExit(classifier.eval(), exit_layers=[1, 2], num_clips=4, sampling_rate=2)
    _stir(reader)
    return reader


_MAKERS: dict[str, Callable[[], Any]] = {
    "clip_reader": _clip_reader,
    "clip_early_exit": _clip_early_exit,
}

VIDEO_READERS = sorted(
    {name for name, record in RECORDS.items() if record.auto_class == VIDEO} | set(_MAKERS)
)
"""What is registered and answers with classes, and what reads any classifier."""


READ_BY_THRESHOLD = [
    name for name in VIDEO_READERS if name in READERS and issubclass(READERS[name], ReadThreshold)
]
"""Those that a calibration reads under each of their thresholds."""


@torch.no_grad()
def _stir(module: torch.nn.Module) -> None:
    """Random weights, as if trained: decisions and answers differ from video to video."""
    for parameter in module.parameters():
        parameter.add_(0.5 * torch.randn_like(parameter))


def video_reader(name: str) -> Any:
    """A reader with random weights, the same each time, that reads everything."""
    torch.manual_seed(7)
    if name in _MAKERS:
        return _MAKERS[name]()
    reader_class: Any = READERS[name]
    settings = {**SIZES, **OPTIONS.get(name, {})}
    reader = reader_class(reader_class.config_class(**settings)).eval()
    _stir(reader)
    if name == "ar_net":  # a file's frame is scaled as it is converted, one in memory afterwards
        with torch.no_grad():
            reader.policy.bias.copy_(torch.tensor([1.0, -9.0, 0.0]))
    return reader


def _dense_clips(reader: ClipReader, video: Any) -> Tensor:
    """The mean of the classifier's probabilities over all clips."""
    clips = [clip for _, clip in reader.clips(len(video))]
    pixels = torch.stack([video.read(clip, size=(SIDE, SIDE)) for clip in clips]).float()
    logits = reader.classifier(pixel_values=(pixels - 127.5) / 127.5).logits
    return logits.softmax(-1).mean(0).log()


def _dense_frames(reader: Any, video: Any) -> Tensor:
    frames = reader.reading_order(len(video), video.index.keyframes)
    times = torch.tensor([[frame / len(video) for frame in frames]])
    return reader(video.read(frames, size=(SIDE, SIDE))[None], times).logits[0]


def dense_candidates(reader: Any, video: Any) -> Any:
    """What `forward` says of all that the reader may choose from."""
    frames = reader.training_frames(len(video), video.index.keyframes)
    given = {
        "pixel_values": video.read(frames, size=(SIDE, SIDE))[None],
        "times": torch.tensor([[frame / len(video) for frame in frames]]),
        "motion": torch.as_tensor(video.motion())[frames][None],
    }
    if reader.glance_size is not None:
        given["glances"] = video.glance(frames, size=reader.glance_size)[None]
    taken = inspect.signature(reader.forward).parameters
    return reader(**{name: value for name, value in given.items() if name in taken})


def _dense_chosen(reader: Any, video: Any) -> Tensor:
    logits: Tensor = dense_candidates(reader, video).logits[0]
    return logits


def _dense_sizes(reader: Any, video: Any) -> Tensor:
    """Of features of frames that were read at each of the sizes."""
    frames = reader.training_frames(len(video), video.index.keyframes)
    parts = [reader._features(video.read(frames, size=(s, s))) for s in reader.sizes]
    small = video.glance(frames, size=reader.glance_size)
    logits: Tensor = reader(features=torch.cat(parts, -1)[None], glances=small[None]).logits[0]
    return logits


def read_everything(name: str, reader: Any) -> Any:
    """Let a reader that skips by its policy skip nothing."""
    if name == "ar_net":
        torch.nn.init.constant_(reader.policy.bias[:1], 1e4)  # the largest size
    return reader


DENSE: dict[str, Callable[[Any, Any], Tensor]] = {
    "clip_reader": _dense_clips,
    "clip_early_exit": _dense_clips,
    "frame_exit": _dense_frames,
    "ada_frame": _dense_chosen,
    "fast_forward": _dense_chosen,
    "frame_glimpse": _dense_chosen,
    "frame_skim_rnn": _dense_chosen,
    "frame_skip_rnn": _dense_chosen,
    "lite_eval": _dense_chosen,
    "sc_sampler": _dense_chosen,
    "oc_sampler": _dense_chosen,
    "listen_to_look": _dense_chosen,
    "ada_focus": _dense_chosen,
    "ar_net": _dense_sizes,
}
"""The answer `[K]` to a video with nothing skipped, without the engine: the dense model's."""


@torch.no_grad()
def dense_answer(name: str, reader: Any, video: Any) -> Tensor:
    """The dense model's answer; by default `forward` of all frames that the reader reads."""
    if name in DENSE:
        return DENSE[name](reader, video)
    frames = reader(video).trace.read
    logits: Tensor = reader(video.read(frames, size=(SIDE, SIDE))[None]).logits[0]
    return logits
