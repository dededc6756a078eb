"""Reading more of the places that rank near the top: frames around them, scored by a query."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from temporal.handle import Handle
from temporal.models.reader import Reader
from temporal.models.vectors.frame_vectors import FrameVectors, VectorsRead
from temporal.policies.read import snap, uniform

from ..loading.loaded_model import LoadedModel
from ..tasks.videos import VideoPipeline

Window = tuple[float, float]
"""A stretch of a video, in seconds."""


class PlacesReader(Reader):
    """Reads frames of some stretches of each video.

    Args:
        vectors: makes vectors of them.
        windows: the stretches of each video, by its id.
        frames_per_place: frames of each.
    """

    unit = "frame"

    def __init__(
        self,
        vectors: FrameVectors,
        windows: Mapping[str, Sequence[Window]],
        frames_per_place: int,
    ) -> None:
        self.vectors, self.windows, self.frames_per_place = vectors, windows, frames_per_place
        self.config = vectors.config

    async def read(self, video: Handle) -> VectorsRead:
        """Read one video's stretches. Returns the frames' vectors."""
        await video.open()
        times = video.index.timestamps_seconds
        own = [float(time - times[0]) for time in times]
        frames: list[int] = []
        for start, end in self.windows[video.source.id]:
            first = min(bisect.bisect_left(own, start), len(own) - 1)
            last = max(bisect.bisect_right(own, end), first + 1)
            count = min(self.frames_per_place, last - first)
            wanted = [first + frame for frame in uniform(last - first, count)]
            near = [k for k in video.index.keyframes if first <= k < last]
            wanted = snap(wanted, near, (last - first) / (2 * count))  # to what is read cheaply
            frames += [frame for frame in wanted if frame not in frames]
        return await self.vectors.vectors_of(video, frames)


class PlacesPipeline(VideoPipeline):
    """Scores frames of stretches of videos by a query.

    Args:
        reader: of the stretches.
        query_D: of length 1.
        **options: see `VideoPipeline`.
    """

    task = "video-feature-extraction"

    def __init__(self, reader: PlacesReader, query_D: Tensor, name: str, **options: Any) -> None:
        loaded = LoadedModel(reader=reader, module=reader.vectors, name=name)
        super().__init__(loaded, **options)
        self.query_D = query_D

    def _answers_of(self, value: VectorsRead, top_k: int | None) -> Any:
        scores = (value.vectors @ self.query_D).tolist()
        return ({"scores": scores, "seconds": value.seconds},), ()


def window_around(seconds: float, others: Sequence[float], reach: float) -> Window:
    """The stretch that a place stands for: half the way to its neighbours.

    Args:
        seconds: the place.
        others: all places of the video, this one among them, in any order.
        reach: where there is no neighbour.
    """
    before = max((one for one in others if one < seconds), default=None)
    after = min((one for one in others if one > seconds), default=None)
    start = seconds - reach if before is None else (before + seconds) / 2
    end = seconds + reach if after is None else (after + seconds) / 2
    return max(0.0, start), end
