"""Image backbones for frame readers: EfficientNet-Lite0, or any image model of transformers.

Or none, where a source gives features (`GivenFeatures`).

A backbone here is one module with `features(pixels_BCHW) -> features_BD` and, when it came from a
classifier, `classify(features_BD) -> logits_BK`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

from .efficientnet_lite import EfficientNetLite0
from .features import FEATURES, GivenFeatures, are_given
from .inference import InferenceForm
from .inside import made_inside
from .zero_shot import ZeroShotClassifier

_LITE0 = "efficientnet_lite0"


class ImageBackbone(nn.Module):
    """One image model behind the interface above.

    Args:
        description: `{"model_type": "efficientnet_lite0"}`, or a transformers configuration as a
            dict with its `model_type` and, where it has more than one, its class in
            `architectures`; or `{"model_type": "features", "num_features": 256}`.
        with_classes: keep the model's own classes (its classification head).
        model: the model itself, used as it is; default: a new one.
    """

    def __init__(
        self, description: dict[str, Any], *, with_classes: bool, model: nn.Module | None = None
    ) -> None:
        super().__init__()
        fields = dict(description)
        model_type = fields.pop("model_type")
        self.with_classes = with_classes
        self.for_inference = InferenceForm()
        self.model: Any
        self.num_features: int
        self.takes_features = are_given(description)
        """Whether frames are rows of features, which are taken as they are."""
        if self.takes_features:
            if with_classes:
                raise ValueError(f"backbone ({description}) has no classes of its own")
            self.model = model or GivenFeatures(**fields)
            self.num_features = self.model.num_features
            return
        if model_type == _LITE0:
            self.model = model or EfficientNetLite0()
            if not with_classes:
                self.model.classifier = nn.Identity()  # its classes are not used
            self.num_features = self.model.num_features
            return
        config: Any = AutoConfig.for_model(model_type, **fields) if model is None else model.config
        auto: Any = AutoModelForImageClassification if with_classes else AutoModel
        if with_classes and ZeroShotClassifier.architecture in (config.architectures or ()):
            auto = ZeroShotClassifier
        self.model = model or made_inside(auto, config)
        # With classes the "features" are the logits already: an image classifier's head has a
        # different form in every family, so it is not taken apart.
        sizes = getattr(config, "hidden_sizes", None)
        width = sizes[-1] if sizes else getattr(config, "hidden_size", None)
        width = config.num_labels if with_classes else width
        if width is None:
            raise ValueError(
                f"the width of {model_type}'s features is unknown: its configuration has neither "
                "hidden_size nor hidden_sizes"
            )
        self.num_features = int(width)

    def features(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalised pixels to one vector an image."""
        if self.takes_features:
            rows_BD: Tensor = self.model(pixels_BCHW)
            return rows_BD
        # Depthwise convolutions run a fifth faster on this layout; the numbers are the same.
        pixels_BCHW = pixels_BCHW.contiguous(memory_format=torch.channels_last)
        return self.for_inference.run(self.features_of, self.model, [pixels_BCHW])

    def features_of(self, model: Any, inputs: Sequence[Tensor]) -> Tensor:
        """What `features` gives, by a model of the same form as this one's; of `[pixels_BCHW]`."""
        (pixels_BCHW,) = inputs
        if isinstance(model, EfficientNetLite0):
            return model(pixels_BCHW)
        options = self._size_options(tuple(pixels_BCHW.shape[2:]))
        if self.with_classes:
            return model(pixel_values=pixels_BCHW, **options).logits
        output = model(pixel_values=pixels_BCHW, **options)
        pooled = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden = output.last_hidden_state  # [B, D, H, W] of a CNN, or [B, tokens, D] of a ViT
        return hidden.mean(dim=(2, 3)) if hidden.dim() == 4 else hidden[:, 0]

    def _size_options(self, size: tuple[int, ...]) -> dict[str, bool]:
        """What a model with positions of a fixed number is told about frames of another size."""
        own = getattr(self.model.config, "image_size", None)
        if own is None or size == (tuple(own) if isinstance(own, (list, tuple)) else (own, own)):
            return {}
        takes = inspect.signature(self.model.forward).parameters
        return {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}

    def classify(self, features_BD: Tensor) -> Tensor:
        """The model's own classes from what `features` returned."""
        if isinstance(self.model, EfficientNetLite0):
            return self.model.classifier(features_BD)
        return features_BD


def describe(model: nn.Module) -> dict[str, Any]:
    """The description from which `ImageBackbone` builds such a model again."""
    if isinstance(model, EfficientNetLite0):
        return {"model_type": _LITE0}
    if isinstance(model, GivenFeatures):
        return {"model_type": FEATURES, "num_features": model.num_features}
    config: Any = model.config
    own_class = {"architectures": [type(model).__name__]}  # a family may have several
    return {**config.to_dict(), **own_class, "model_type": config.model_type}


def default_pixels(description: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the 0-255 pixels that a model was trained with.

    transformers keeps them in the image processor, not in the model; without one, the usual
    mean and deviation of 0.5 (ViT) are taken. Features are taken as they are.
    """
    if are_given(description):
        return [0.0], [1.0]
    if description["model_type"] == _LITE0:
        return list(EfficientNetLite0.pixel_mean), list(EfficientNetLite0.pixel_std)
    return [127.5] * 3, [127.5] * 3
