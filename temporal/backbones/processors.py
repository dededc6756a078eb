"""Image and video processors of transformers, also those that were written for torchvision.

torchvision is not needed here: where a processor has no form for PIL, its few steps on tensors
(resize, crop, normalise) are done by torch itself, as torchvision does them.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import threading
from types import ModuleType
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn import functional as F
from transformers.image_transforms import (
    get_resize_output_image_size,
    get_size_with_aspect_ratio,
)
from transformers.utils import is_torchvision_available

_TYPES = ("video_processor_type", "image_processor_type", "feature_extractor_type")
_FILTERS = {0: "nearest-exact", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""torch's names of PIL's filters."""
_STEPS = ("convert_to_rgb", "resize", "center_crop", "normalize")
"""What `TorchSteps` does instead of torchvision."""
_TORCHVISION = (
    *("torchvision", "torchvision.transforms", "torchvision.transforms.v2"),
    "torchvision.transforms.v2.functional",
)
_IMPORTING = threading.RLock()
_PP_LCNET = "PPLCNetImageProcessor"


def describe_processor(processor: Any) -> dict[str, Any]:
    """A processor's settings, with its class, from which `load_processor` builds it again."""
    return json.loads(processor.to_json_string())


def load_processor(settings: dict[str, Any]) -> Any:
    """Build a processor from its settings.

    Args:
        settings: as in a checkpoint's `preprocessor_config.json`, its class among them.

    Raises:
        ValueError: the class is not named, unknown, or needs what is not installed.
    """
    name = next((settings[key] for key in _TYPES if settings.get(key)), None)
    if name is None:
        raise ValueError(f"the settings of a processor must have one of {list(_TYPES)}")
    fields = {key: value for key, value in settings.items() if key not in _TYPES}
    name = name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    return processor_class(name)(**fields)


def processor_class(name: str) -> type:
    """A processor's class, in the form that runs with what is installed.

    Raises:
        ValueError: there is none.
    """
    if is_torchvision_available() and hasattr(transformers, name):
        return getattr(transformers, name)
    with_pil = getattr(transformers, f"{name}Pil", None)
    if with_pil is not None:
        return with_pil
    if name == _PP_LCNET:
        return _pp_lcnet()
    found = getattr(transformers, name, None)
    if found is None:
        raise ValueError(f"transformers {transformers.__version__} has no processor {name!r}")
    try:  # where torchvision is missed, the name stands for a class that only says so
        own = getattr(_import(found.__module__), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the processor {name} needs torchvision: install it") from error
    needs_torchvision = any("Torchvision" in base.__name__ for base in own.__mro__)
    return _with_torch_steps(name, own) if needs_torchvision else own


def _import(module: str) -> Any:
    """Import a module of transformers, also one that imports torchvision for its annotations."""
    with _IMPORTING:
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("torchvision"):
                raise
        absent = {name: ModuleType(name) for name in _TORCHVISION if name not in sys.modules}
        sys.modules.update(absent)
        try:
            return importlib.import_module(module)
        finally:
            for name in absent:
                del sys.modules[name]


def _with_torch_steps(name: str, own: type) -> type:
    """A family's class whose steps on tensors are torch's.

    What the family makes of a step (which size it resizes to) stays its own, and ends in torch's
    step; only where it calls torchvision itself is it passed over.
    """
    from transformers.image_processing_backends import TorchvisionBackend

    backend: Any = type("TorchBackend", (TorchSteps, TorchvisionBackend), {})

    instead = {}
    for step in _STEPS:
        overriding = next(base for base in own.__mro__ if step in vars(base))
        code = getattr(vars(overriding)[step], "__code__", None)
        if overriding is not TorchvisionBackend and code is not None and "tvF" in code.co_names:
            instead[step] = getattr(TorchSteps, step)
    bases = (own, backend) if issubclass(own, TorchvisionBackend) else (TorchSteps, own)
    return type(name, bases, instead)


class TorchSteps:
    """The steps that transformers' processors on tensors leave to torchvision, by torch alone."""

    def convert_to_rgb(self, image: Tensor, **_: Any) -> Tensor:
        """Frames are RGB already."""
        return image

    def resize(self, image: Tensor, size: Any, resample: Any = None, **_: Any) -> Tensor:
        """Resize `[..., C, H, W]`, uint8 or float, with an antialiasing filter."""
        height, width = image.shape[-2:]
        if size.shortest_edge and size.longest_edge:
            edges = (size.shortest_edge, size.longest_edge)
            new = get_size_with_aspect_ratio((height, width), *edges)
        elif size.shortest_edge:
            new = get_resize_output_image_size(
                image,  # type: ignore[arg-type]  # only its shape is asked for
                size=size.shortest_edge,
                default_to_square=False,
                input_data_format="channels_first",
            )
        elif size.height and size.width:
            new = (size.height, size.width)
        else:
            raise NotImplementedError(f"size {size} without torchvision")
        if tuple(new) == (height, width):
            return image
        resample = 2 if resample is None else int(resample)
        if resample not in _FILTERS:
            raise NotImplementedError(f"resample {resample} without torchvision")
        smooth = {} if resample == 0 else {"antialias": True, "align_corners": False}
        flat = image.reshape(-1, *image.shape[-3:])
        flat = F.interpolate(flat, tuple(new), mode=_FILTERS[resample], **smooth)
        return flat.reshape(*image.shape[:-2], *new)

    def center_crop(self, image: Tensor, size: Any, **_: Any) -> Tensor:
        """Cut out the middle; what is smaller is first padded with zeros."""
        (height, width), crop = image.shape[-2:], (size.height, size.width)
        rows, columns = max(0, crop[0] - height), max(0, crop[1] - width)
        margins = (columns // 2, (columns + 1) // 2, rows // 2, (rows + 1) // 2)
        image = F.pad(image, margins) if rows or columns else image
        top, left = (image.shape[-2] - crop[0]) // 2, (image.shape[-1] - crop[1]) // 2
        return image[..., top : top + crop[0], left : left + crop[1]]

    def normalize(self, image: Tensor, mean: Any, std: Any, **_: Any) -> Tensor:
        """Subtract the mean and divide by the deviation of each channel."""
        mean, std = (torch.as_tensor(x, dtype=image.dtype).reshape(-1, 1, 1) for x in (mean, std))
        return (image - mean) / std


def _pp_lcnet() -> type:
    """PP-LCNet's processor, whose module in transformers cannot even be imported here.

    It resizes the short edge to `resize_short`, edges rounded up to multiples of `size_divisor`,
    and hands channels on as BGR, normalised in the order of RGB.
    """
    from transformers.image_processing_backends import TorchvisionBackend
    from transformers.processing_utils import ImagesKwargs

    class Settings(ImagesKwargs, total=False):
        resize_short: int
        size_divisor: int

    class Steps(TorchSteps):
        def resize(self, image: Tensor, size: Any, resample: Any = None, **_: Any) -> Tensor:
            own: Any = self
            if own.resize_short is not None:
                divisor, scale = own.size_divisor or 1, own.resize_short / min(image.shape[-2:])
                edges = [math.ceil(round(x * scale) / divisor) * divisor for x in image.shape[-2:]]
                size = type(size)(height=edges[0], width=edges[1])
            return super().resize(image, size, resample)

        def _preprocess(self, *args: Any, **fields: Any) -> Any:
            outputs = super()._preprocess(*args, **fields)  # type: ignore[misc]  # the backend's
            outputs["pixel_values"] = outputs["pixel_values"].flip(1)
            return outputs

    defaults = {
        **{"resample": 2, "resize_short": 256, "size_divisor": 1, "crop_size": 224},
        "size": {"height": 256, "width": 256},
        **{"image_mean": (0.406, 0.456, 0.485), "image_std": (0.225, 0.224, 0.229)},
        **dict.fromkeys(("do_resize", "do_rescale", "do_normalize", "do_center_crop"), True),
        "valid_kwargs": Settings,
    }
    return type(_PP_LCNET, (Steps, TorchvisionBackend), defaults)
