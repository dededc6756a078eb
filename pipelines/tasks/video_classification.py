"""Video classification: class scores of videos, as transformers gives them."""

from __future__ import annotations

from typing import Any

from temporal.checks import check_count

from .classes import ClassPipeline
from .videos import VideoPipeline


class VideoClassificationPipeline(ClassPipeline, VideoPipeline):
    """Classifies videos; takes what transformers' video-classification pipeline takes.

    Args:
        loaded: reader and name.
        frame_sampling_rate, num_frames: of clips, for video classifiers, as in transformers.
        **options: see `ClassPipeline`, `VideoPipeline` and `Pipeline`.
    """

    task = "video-classification"
    default_top_k: int | None = 5

    def __init__(
        self,
        loaded: Any,
        *,
        frame_sampling_rate: int | None = None,
        num_frames: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(loaded, **options)
        for name, value in {
            "frame_sampling_rate": frame_sampling_rate,
            "num_frames": num_frames,
        }.items():
            if value is None:
                continue
            field = self.reader.sampling_fields.get(name)
            if field is None:
                raise ValueError(
                    f"{name} ({value}) is for classifiers of clips; "
                    f"{self.model_name} reads single frames"
                )
            check_count(name, value, 1)
            setattr(self.model.config, field, value)
