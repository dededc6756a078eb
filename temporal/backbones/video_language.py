"""Processors of video-language models: built without torchvision, and given chosen frames.

A processor takes frames that somebody else chose (`do_sample_frames=False`) together with a
`VideoMetadata` that says which these are; so it writes their true times into the prompt.

F frames, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.image_processing_base import ImageProcessingMixin
from transformers.processing_utils import ProcessorMixin
from transformers.utils import is_torchvision_available
from transformers.video_utils import VideoMetadata

from .processors import load_processor


def language_processor_class(name: str) -> type:
    """A family's processor (`"Qwen2VLProcessor"`), in the form that runs with what is installed.

    Without torchvision, transformers knows no class of video processors, and takes none.

    Raises:
        ValueError: there is none of that name.
    """
    own = getattr(transformers, name, None)
    if not isinstance(own, type) or not issubclass(own, ProcessorMixin):
        raise ValueError(f"transformers {transformers.__version__} has no processor {name!r}")
    return own if is_torchvision_available() else type(name, (_AnyVideoProcessor, own), {})


class _AnyVideoProcessor:
    """Takes processors of videos that are made by `temporal.backbones.processors`."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Ask transformers about all others."""
        if argument_name == "video_processor" and hasattr(argument, "sample_frames"):
            return type(argument)
        return super().check_argument_for_proper_class(argument_name, argument)  # type: ignore[misc]  # mixed in


def load_language_processor(path: str | Path, **hub: Any) -> Any:
    """The processor of a video-language model, as `AutoProcessor.from_pretrained` loads it.

    Args:
        path: a folder or hub id.
        **hub: options of `from_pretrained`.

    Raises:
        OSError: there is none.
        ValueError: it is of no known class, or takes no videos.
    """
    if is_torchvision_available():
        processor = AutoProcessor.from_pretrained(path, **hub)
    else:
        processor = _without_torchvision(str(path), hub)
    if getattr(processor, "video_processor", None) is None:
        raise ValueError(
            f"{path} must have a processor of videos: its {type(processor).__name__} has none"
        )
    return processor


def _without_torchvision(path: str, hub: dict[str, Any]) -> Any:
    from transformers.video_processing_utils import VideoProcessorMixin

    settings, _ = ProcessorMixin.get_processor_dict(path, **hub)
    tokenizer = AutoTokenizer.from_pretrained(path, **hub)
    name = settings.get("processor_class") or tokenizer.init_kwargs.get("processor_class")
    if name is None:
        raise ValueError(f"{path} must name its processor (processor_class), and does not")
    kind: Any = language_processor_class(name)
    of_videos, _ = VideoProcessorMixin.get_video_processor_dict(path, **hub)
    if "video_processor_type" not in of_videos:  # older ones have one file for both
        of_images = str(of_videos.get("image_processor_type", name)).removesuffix("Fast")
        family = of_images.removesuffix("ImageProcessor").removesuffix("Processor")
        of_videos = {**of_videos, "video_processor_type": f"{family}VideoProcessor"}
    of_videos.pop("image_processor_type", None)
    parts = {"tokenizer": tokenizer, "video_processor": load_processor(of_videos)}
    if "image_processor" in kind.get_attributes():
        parts["image_processor"] = _image_processor(path, hub)
    return kind.from_args_and_dict([parts[part] for part in kind.get_attributes()], settings)


def _image_processor(path: str, hub: dict[str, Any]) -> Any:
    try:
        return AutoImageProcessor.from_pretrained(path, **hub)
    except (ImportError, ValueError):  # written for torchvision
        settings, _ = ImageProcessingMixin.get_image_processor_dict(path, **hub)
        return load_processor(settings)


def chosen_inputs(
    processor: Any,
    texts: Sequence[str],
    videos: Sequence[Tensor],
    metadata: Sequence[VideoMetadata],
    **options: Any,
) -> dict[str, Any]:
    """What a model takes, of prompts and frames that were chosen.

    Args:
        processor: of the model.
        texts: prompts, with the processor's placeholder for each video.
        videos: uint8 `[F, 3, H, W]` of each placeholder, in order.
        metadata: of each video; see `temporal.models.selection.clock`.
        **options: others of the processor's call.
    """
    made = processor(
        text=list(texts),
        videos=list(videos),
        video_metadata=[_copied(one) for one in metadata],
        do_sample_frames=False,
        return_tensors="pt",
        **options,
    )
    return dict(made)


def _copied(metadata: VideoMetadata) -> VideoMetadata:
    """A copy: processors write into what they are given."""
    fields = dict(vars(metadata))
    fields["frames_indices"] = list(metadata.frames_indices or ())
    return VideoMetadata(**fields)
