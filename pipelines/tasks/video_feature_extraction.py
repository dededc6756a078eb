"""Feature extraction: a vector for each video, or few of them, by any image model."""

from __future__ import annotations

import copy
from typing import Any

import torch

from ..reading import Reading
from .feature_models import check_kind
from .videos import VideoPipeline


class VideoFeatureExtractionPipeline(VideoPipeline):
    """Makes vectors of videos; called as transformers' pipelines of feature extraction.

    Args:
        loaded: reader and name.
        embedding: `"mean"`: the mean of the frames' vectors; `"few"`: those of the frames that
            differ most from one another (`temporal.policies.vectors.farthest_first`).
        num_embeddings: how many they are.
        return_tensors: answer with tensors instead of lists.
        **options: see `VideoPipeline`.
    """

    task = "video-feature-extraction"
    call_options = VideoPipeline.call_options | {
        "embedding",
        "num_embeddings",
        "return_tensors",
        "pool",
    }

    def __init__(
        self,
        loaded: Any,
        *,
        embedding: str = "mean",
        num_embeddings: int = 4,
        return_tensors: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(loaded, **options)
        self.embedding, self.num_embeddings = embedding, num_embeddings
        self.return_tensors = return_tensors
        self.check_options()

    def check_options(self) -> None:
        """As of `Pipeline`."""
        super().check_options()
        check_kind(self.embedding, self.num_embeddings)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Answer for a video, a list of videos, or lazily a generator or dataset.

        Args:
            inputs: as of `VideoPipeline`.
            **options: for this call: `embedding`, `num_embeddings`, `return_tensors`; and `pool`,
                as of transformers: True takes the model's pooled output, False what all tokens say.

        Returns:
            For one video `[1, D]` (with `pool=False` `[1, T, D]`), the mean over its frames of what
            transformers' pipeline says of each; of `embedding="few"` `[K, D]`, in the order of
            time. Nested lists, or tensors.
        """
        return super().__call__(inputs, **options)

    def _for_call(self, *, pool: bool | None = None, **options: Any) -> Any:
        pooled = self
        if pool is not None and pool != self.reader.pool:  # type: ignore[attr-defined]
            pooled = copy.copy(self)
            pooled.reader = pooled.model = self.reader.with_pool(pool)  # type: ignore[attr-defined]
        return super(VideoFeatureExtractionPipeline, pooled)._for_call(**options)

    def _answer(self, reading: Reading) -> Any:
        (found,) = reading.predictions
        answer = found["embeddings"] if "embeddings" in found else [found["embedding"]]
        return torch.tensor(answer) if self.return_tensors else answer
