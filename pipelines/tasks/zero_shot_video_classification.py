"""Zero-shot video classification: which of the caller's labels fits, by an image-text model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from temporal.backbones.zero_shot import TEMPLATE, check_labels

from ..reading import Reading
from .video_classification import VideoClassificationPipeline
from .zero_shot_models import has_labels, with_labels


class ZeroShotVideoClassificationPipeline(VideoClassificationPipeline):
    """Finds which labels fit a video; called as transformers' zero-shot image classification.

    The scores are those of single frames, averaged: a choice among the labels, or for SigLIP of
    each label by itself.

    Args:
        loaded: reader, tokenizer and name.
        **options: see `VideoClassificationPipeline`; also `candidate_labels` and
            `hypothesis_template`, which a call may set anew.
    """

    task = "zero-shot-video-classification"
    default_top_k = None

    def __init__(self, loaded: Any, **options: Any) -> None:
        super().__init__(loaded, **options)
        alone = self.model.config.problem_type == "multi_label_classification"
        # Of one label transformers tells the softmax, too.
        self.function_to_apply = self.function_to_apply or ("sigmoid" if alone else "softmax")
        self._made: tuple[tuple[Any, ...], Any] = ((), None)  # the labels of the last call

    def read(
        self,
        inputs: Any,
        *,
        candidate_labels: Sequence[str] | None = None,
        hypothesis_template: str | None = None,
        **options: Any,
    ) -> Iterator[Reading]:
        """Read a collection lazily, as `Pipeline.read` does.

        Args:
            inputs: videos.
            candidate_labels: names to choose from; default: those of `pipeline()`.
            hypothesis_template: what each is put into, as `"This is a photo of {}."`.
            **options: of `Pipeline.read`.

        Raises:
            ValueError: no labels are given, or they cannot be told apart.
        """
        call = self._for_call(
            candidate_labels=candidate_labels, hypothesis_template=hypothesis_template
        )
        return super(ZeroShotVideoClassificationPipeline, call).read(inputs, **options)

    def check_options(self) -> None:
        """Raise ValueError where there are no labels to choose from."""
        super().check_options()
        if not has_labels(self.reader):
            raise ValueError(
                "candidate_labels must be given, here or to pipeline(): the names to choose from"
            )

    def _for_call(
        self,
        *,
        candidate_labels: Sequence[str] | None = None,
        hypothesis_template: str | None = None,
        **options: Any,
    ) -> Any:
        labelled = self
        if candidate_labels is not None or hypothesis_template is not None:
            labels = list(self.id2label.values()) if candidate_labels is None else candidate_labels
            labelled = self._with_labels(labels, hypothesis_template)
        return super(ZeroShotVideoClassificationPipeline, labelled)._for_call(**options)

    def _with_labels(
        self, labels: Sequence[str], template: str | None
    ) -> ZeroShotVideoClassificationPipeline:
        check_labels(labels, template or TEMPLATE)
        key = (*labels, template)
        if self._made[0] != key:
            reader: Any = self.reader
            self._made = (key, with_labels(reader, self.tokenizer, labels, template))
        labelled = copy.copy(self)
        labelled.reader = labelled.model = self._made[1]
        return labelled
