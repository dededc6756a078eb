"""Video classification: class scores of videos, as transformers gives them."""

from __future__ import annotations

from typing import Any

from temporal.checks import check_count
from temporal.models import ClipReader

from .videos import VideoPipeline


class VideoClassificationPipeline(VideoPipeline):
    """Classifies videos; takes what transformers' video-classification pipeline takes.

    Args:
        loaded: reader and name.
        frame_sampling_rate, num_frames: of clips, for video classifiers, as in transformers.
        **options: see `VideoPipeline` and `Pipeline`.
    """

    task = "video-classification"
    default_top_k = 5

    def __init__(
        self,
        loaded: Any,
        *,
        frame_sampling_rate: int | None = None,
        num_frames: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(loaded, **options)
        for name, field, value in (
            ("frame_sampling_rate", "sampling_rate", frame_sampling_rate),
            ("num_frames", "num_frames", num_frames),
        ):
            if value is not None:
                if not isinstance(self.reader, ClipReader):
                    raise ValueError(
                        f"{name} ({value}) is for classifiers of clips; "
                        f"{self.model_name} reads single frames"
                    )
                check_count(name, value, 1)
                setattr(self.reader.config, field, value)
        config = self.model.config
        one_label = isinstance(self.reader, ClipReader) and config.num_labels == 1
        if one_label and self.function_to_apply is None and config.problem_type is None:
            self.function_to_apply = "softmax"  # as transformers does for videos
