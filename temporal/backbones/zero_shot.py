"""A classifier of images whose classes are texts, by a model that was trained to match the two.

CLIP (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML
2021, section 3.1) answers by the cosine of an image's and a text's vector, scaled; SigLIP (Zhai et
al., ICCV 2023, section 3) adds a bias, and says of each label by itself whether it fits. The texts
are computed once, when the labels are set; of each image only its own side is computed.

B images, K labels, D width of the common space.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForZeroShotImageClassification
from transformers.modeling_outputs import ImageClassifierOutput

from .image_text import check_image_text, image_vectors, says_each_alone, text_vectors, tokens_of

TEMPLATE = "This is a photo of {}."
"""What a label is put into, as in transformers' zero-shot image classification."""

_TOLERANCE = 1e-3  # of logits, which are some tens


class ZeroShotClassifier(nn.Module):
    """An image-text model with the labels that it is to choose from.

    Its `config` is the model's with the labels as classes, so that it is read as any classifier.

    Args:
        model: of transformers, with `get_image_features` and `get_text_features`; used as it is.
        labels: K names.
        vectors_KD: their texts' vectors, of length 1.
        template: what each label was put into; a text with `{}` in its place.
    """

    architecture = "ZeroShotClassifier"

    def __init__(
        self, model: Any, labels: Sequence[str], vectors_KD: Tensor, template: str = TEMPLATE
    ) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("vectors", vectors_KD)
        self.config: Any = copy.deepcopy(model.config)
        self.config.id2label = dict(enumerate(labels))
        self.config.label2id = {label: k for k, label in enumerate(labels)}
        self.config.hypothesis_template = template
        if says_each_alone(model.config):
            self.config.problem_type = "multi_label_classification"

    @classmethod
    def from_config(cls, config: Any, *, dtype: torch.dtype) -> ZeroShotClassifier:
        """A new one with random weights, for a checkpoint's to be loaded into.

        Args:
            config: Of the image-text model, with labels and a template.
            dtype: Of the weights.
        """
        model = AutoModelForZeroShotImageClassification.from_config(config, dtype=dtype)
        labels = [config.id2label[k] for k in sorted(config.id2label)]
        vectors_KD = torch.zeros(len(labels), width_of(model), dtype=dtype)
        return cls(model, labels, vectors_KD, config.hypothesis_template)

    @classmethod
    def from_labels(
        cls, model: Any, tokenizer: Any, labels: Sequence[str], template: str = TEMPLATE
    ) -> ZeroShotClassifier:
        """Set the labels of an image-text model.

        Args:
            model: as of the class.
            tokenizer: the one that came with it.
            labels: names, each once.
            template: a text with `{}` in the place of the name.

        Raises:
            ValueError: labels or template are none, or the model matches in a way that is not known
                here.
        """
        check_labels(labels, template)
        check_image_text(model)
        texts = [template.format(label) for label in labels]
        made = cls(model, labels, text_vectors(model, tokenizer, texts), template)
        made._check_logits(tokens_of(model.config, tokenizer, texts))
        return made

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return self.model.dtype

    def forward(
        self,
        pixel_values: Tensor,
        pixel_attention_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Logits `[B, K]` of images, as the model's `logits_per_image`.

        Args:
            pixel_values: as the model's processor makes them.
            pixel_attention_mask, spatial_shapes: of those models that take patches (SigLIP 2).
            return_dict: False: a tuple.
        """
        patches = {"pixel_attention_mask": pixel_attention_mask, "spatial_shapes": spatial_shapes}
        vectors_BD = image_vectors(self.model, pixel_values, **patches)
        vectors_DK: Any = self.vectors.to(vectors_BD).T
        logits_BK = vectors_BD @ vectors_DK * self._scale() + self._bias()
        return ImageClassifierOutput(logits=logits_BK) if return_dict else (logits_BK,)

    def _scale(self) -> Tensor | float:
        if hasattr(self.model, "temperature"):  # ALIGN
            return 1 / self.model.temperature
        scale = getattr(self.model, "logit_scale", None)
        return 1.0 if scale is None else scale.exp()

    def _bias(self) -> Tensor | float:
        bias = getattr(self.model, "logit_bias", None)
        return 0.0 if bias is None else bias

    def _check_logits(self, tokens: Mapping[str, Tensor]) -> None:
        """Refuse a model that makes other logits of the same vectors."""
        model, family = self.model, self.config.model_type
        images = _probe(model)
        if images is None:
            return  # its images come as patches: its processor alone can make some
        with torch.inference_mode():
            tokens = {name: value.to(model.device) for name, value in tokens.items()}
            want_BK = model(**tokens, pixel_values=images).logits_per_image
            have_BK = self(images).logits
        if want_BK.shape != have_BK.shape or (want_BK - have_BK).abs().max() > _TOLERANCE * max(
            1.0, float(want_BK.abs().max())
        ):
            raise ValueError(
                f"model ({family}) must match images and texts by the cosine of their vectors, "
                "scaled, as CLIP and SigLIP do: it gives other logits"
            )


def check_labels(labels: Sequence[str], template: str) -> None:
    """Raise ValueError unless these are labels and a template that they can be put into."""
    if isinstance(labels, str) or not labels:
        raise ValueError(f"candidate_labels ({labels!r}) must be a list of one name or more")
    wrong = [label for label in labels if not isinstance(label, str) or not label.strip()]
    if wrong:
        raise ValueError(f"candidate_labels ({list(labels)}) must be texts; {wrong[0]!r} is none")
    if len(set(labels)) < len(labels):
        raise ValueError(f"candidate_labels ({list(labels)}) must differ from one another")
    if "{}" not in template:
        raise ValueError(
            f"hypothesis_template ({template!r}) must have {{}} where a label is put in: all "
            "labels would be one text"
        )


def _probe(model: Any) -> Tensor | None:
    """Two images of noise that a model takes; None where it takes patches."""
    if "spatial_shapes" in inspect.signature(model.get_image_features).parameters:
        return None
    vision = getattr(model.config, "vision_config", model.config)
    side = vision.image_size
    height, width = side if isinstance(side, (list, tuple)) else (side, side)
    noise = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, height, width, generator=noise)
    return images.to(model.device, model.dtype)


def width_of(model: Any) -> int:
    """D, of a model whose weights may not be there yet; 1 where its configuration does not say."""
    config = model.config
    text = getattr(config, "text_config", None)
    width = getattr(config, "projection_dim", None) or getattr(text, "projection_size", None)
    return int(width or 1)
