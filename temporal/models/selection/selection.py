"""`Selection`: frames that were chosen of a video, when they are shown, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...trace import Cost

if TYPE_CHECKING:
    from transformers.video_utils import VideoMetadata


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Frames that were chosen of a video of N frames."""

    frames: list[int]
    """[K] frame indices, in the order of time, each once. Fewer than asked for where the video is
    shorter, or where frames cannot be read (`faults`)."""

    timestamps_seconds: NDArray[np.float64]
    """[K] when they are shown, on the container's clock."""

    pixels: Tensor | None
    """uint8 [K, 3, height, width], RGB, upright; None with `read=False`."""

    scores: NDArray[np.float64] | None
    """[N] what frames were chosen by, NaN where a frame had no score; None where nothing was
    scored."""

    frames_scored: int
    """Frames that went through a model, or through a function of yours."""

    plan: Cost
    """What reading the chosen frames costs a fresh reader, known before they were read."""

    cost: Cost
    """What was spent: `frames_decoded`, of which `frames_glanced` for the scores, and
    `model_seconds` of the model that scored."""

    seconds: float
    """By the clock, of choosing and reading together, without loading a model."""

    faults: tuple[Exception, ...]
    """Why frames could not be read or seen; empty where all could."""

    metadata_fields: Mapping[str, Any]
    """What `metadata` says, by name."""

    @property
    def metadata(self) -> VideoMetadata:
        """What a processor of transformers is told of the frames; a new one each time.

        `metadata.timestamps` are their times since the first frame of the video, of a variable
        frame rate, too: see `temporal.models.selection.clock`.
        """
        from transformers.video_utils import VideoMetadata  # here: it takes a second

        fields = dict(self.metadata_fields)
        return VideoMetadata(**{**fields, "frames_indices": list(fields["frames_indices"])})

    def to_dict(self) -> dict[str, Any]:
        """What can be written as JSON: all but the pixels and the scores of all frames."""
        scores = None
        if self.scores is not None:
            known = self.scores[self.frames]
            scores = [None if np.isnan(one) else float(one) for one in known]
        return {
            "frames": self.frames,
            "timestamps_seconds": self.timestamps_seconds.tolist(),
            "scores": scores,
            "frames_scored": self.frames_scored,
            "frames_decoded": self.cost.frames_decoded,
            "frames_glanced": self.cost.frames_glanced,
            "decode_seconds": self.cost.decode_seconds,
            "model_seconds": self.cost.model_seconds,
            "seconds": self.seconds,
            "faults": [f"{type(fault).__name__}: {fault}" for fault in self.faults],
            "metadata": {
                **self.metadata_fields,
                "frames_indices": list(self.metadata_fields["frames_indices"]),
            },
        }
