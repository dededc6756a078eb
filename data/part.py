"""`VideoPart`: some seconds of a video, read as a `Video` is; nothing else of it is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from temporal.trace import Cost

from .borrowed import is_open_source
from .decode.files.sniff import portable, source_name
from .decode.packets import choice
from .decode.packets.index_cache import IN_MEMORY
from .decode.packets.motion import packet_motion
from .decode.packets.part import PartIndex, part_index
from .decode.pictures.glimpse import MotionVectors
from .decode.pictures.region import Box, Size
from .decode.sound import Sound, Span
from .decode.streaming.by_index import stream_by_index
from .decode.streaming.stream import StreamFrame
from .places.content import Content
from .tables.times import check_part, name_of_part
from .video import Video

if TYPE_CHECKING:
    import torch


class VideoPart:
    """A source of frames: those of a video from `start_seconds` up to before `end_seconds`.

    Frame 0 is the first frame whose time is >= the start, and the last is the last whose time is
    < the end; each is bit for bit the frame of the whole video. Only they are decoded, and those
    that decoding them needs: of the GOP in which the part begins, the frames before it.

    The start and the end are on the video's own clock, that of `Video.index.timestamps_seconds`, as
    tables of clips mean them. All times that the part tells (`index.timestamps_seconds`, `plan`, of
    its sound, and so what models and results say) count from the part's start, as in a file that
    was cut out: who asks about a clip means its third second, not that of the hour around it. A
    time of the part plus `start_seconds` is one of the video.

    Args:
        source: What `Video` takes, opened when it is first used and closed with the part; or a
            source of frames that is open (a `Video`, a part), which stays open.
        start_seconds: None: from the video's first frame, whose time stays what it is.
        end_seconds: None: to its end.
        id: The part's name in results; by default the video's with its times, as in a URI of media
            fragments: `clip.mp4#t=1.5,4`.
        **options: of `Video`, for a source that is not open.

    Raises:
        ValueError: The times are none, or the part would end before it begins.

    What the video cannot give is said at the first use: `VideoError`, with `not_found` where it has
    no frame between the two times, or ends more than a second before the part does.

    Example:
        >>> part = VideoPart("match.mp4", 61.5, 64.0)
        >>> frames = part.read([0, len(part) - 1], size=(224, 224))
    """

    unit = "frame"

    is_of_row = False
    """Whether a table's row means it: to tasks that look for events its times are their labels."""

    def __init__(
        self,
        source: Any,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        id: str | None = None,
        **options: Any,
    ) -> None:
        self.source = source
        self.start_seconds, self.end_seconds = check_part(start_seconds, end_seconds)
        self._is_open = is_open_source(source)
        if self._is_open and options:
            raise TypeError(f"{', '.join(options)} cannot be set: the source is open already")
        self._closes = not self._is_open
        self.id = name_of_part(_name_of(source), self.part) if id is None else id
        self._options = options
        self._video: Any = source if self._is_open else None
        self._index: PartIndex | None = None

    @property
    def part(self) -> tuple[float | None, float | None]:
        """Where it begins and ends in its video, in seconds."""
        return self.start_seconds, self.end_seconds

    @property
    def video(self) -> Any:
        """The video that it is a part of."""
        if self._video is None:
            options = {"index_cache_dir": IN_MEMORY, **self._options}
            self._video = Video(self.source, id=self.id, **options)
        return self._video

    def opened_by(self, open_video: Callable[..., Any], *, id: str, **options: Any) -> VideoPart:
        """The same part under another name, its source opened by `Video` or what stands for it.

        Args:
            open_video: as `Video` or `DecodePool.open`.
            id: its name.
            **options: of `open_video`. A source that is open stays what it is.
        """
        source, is_own = self.source, True
        if isinstance(source, VideoPart):
            source = source.opened_by(open_video, id=id, **options)
        elif self._is_open:
            is_own = False
        else:
            # A file may have many parts: its packets are walked once for those that follow.
            options = {"index_cache_dir": IN_MEMORY, **options}
            source = open_video(source, id=id, **options)
        made = VideoPart(source, *self.part, id=id)
        made._closes = is_own
        return made

    @property
    def in_memory(self) -> bool:
        """Whether reading is a look-up: as of the video."""
        return bool(self.video.in_memory)

    @property
    def backend(self) -> str:
        """The decoder that reads the video."""
        return str(self.video.backend)

    @property
    def index(self) -> PartIndex:
        """The part's frames, their times and prices, from packets alone; read at the first use.

        Raises:
            VideoError: The video cannot be opened, or has no such part.
        """
        if self._index is None:
            self._index = part_index(self.video.index, *self.part, name=self.id)
        return self._index

    def __len__(self) -> int:
        return len(self.index)

    @property
    def spent(self) -> Cost:
        """What the reads of the video so far cost."""
        spent: Cost = self.video.spent
        return spent

    def cost(self, units: Sequence[int]) -> Cost:
        """What a fresh reader would spend on these frames; see `Video.cost`.

        Raises:
            IndexError: An index is not in 0..len - 1; so all that take frame indices.
        """
        cost: Cost = self.video.cost(self._there(units))
        return cost

    def read(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> torch.Tensor:
        """Decode frames, uint8 [K, 3, height, width], RGB; see `Video.read`."""
        frames: torch.Tensor = self.video.read(self._there(units), size=size, region=region)
        return frames

    def read_array(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> NDArray[np.uint8]:
        """Decode frames as `read` does, into a NumPy array."""
        made = self.video.read_array(self._there(units), size=size, region=region)
        frames: NDArray[np.uint8] = made
        return frames

    def glance(self, units: Sequence[int], *, size: Size = (64, 64)) -> torch.Tensor:
        """Look at frames, small; see `Video.glance`."""
        frames: torch.Tensor = self.video.glance(self._there(units), size=size)
        return frames

    def motion(self) -> NDArray[np.float32]:
        """How much each frame seems to change, [N], beside the others of the part."""
        return packet_motion(self.index)

    def vectors(self, units: Sequence[int]) -> MotionVectors:
        """Take the motion vectors out of coded frames; see `evidence.motion_vectors`."""
        found: MotionVectors = self.video.vectors(self._there(units))
        return replace(found, frames=found.frames - self.index.first_frame)

    def decode_small(
        self, frames: Sequence[int], size: Size, options: Mapping[str, str]
    ) -> tuple[NDArray[np.uint8], Cost]:
        """For `temporal.data.evidence`: see `glimpse.decode_small`."""
        made: tuple[NDArray[np.uint8], Cost]
        made = self.video.decode_small(self._there(frames), size, options)
        return made

    def audio(self, *, between: Span | None = None) -> Sound | None:
        """Decode the sound of the part; None: there is none. See `Video.audio`."""
        hear = getattr(self.video, "audio", None)
        if hear is None:
            return None
        shift, (low, high) = self.start_seconds or 0.0, between or (-math.inf, math.inf)
        low, high = low + shift, high + shift
        if self.start_seconds is not None:
            low = max(low, self.start_seconds)
        if self.end_seconds is not None:
            high = min(high, self.end_seconds)
        sound: Sound | None = hear(between=(low, high)) if low < high else None
        return sound and replace(sound, start_seconds=sound.start_seconds - shift)

    def stream(
        self, every_seconds: float = 1.0, *, size: Size | None = None
    ) -> Iterator[StreamFrame]:
        """Yield the frames that are due, in constant memory; see `Video.stream`."""
        return stream_by_index(self, every_seconds, size)

    def expect(
        self, units: Sequence[int], *, size: Size | None = None, region: Box | None = None
    ) -> None:
        """Name frames that may be read later; see `Video.expect`. Opens the video."""
        index = self.index
        own = [unit for unit in map(int, units) if 0 <= unit < len(index)]
        there = [index.first_frame + unit for unit in own]
        self.video.expect(there, size=size, region=region)

    def plan(self, times_seconds: Sequence[float], tolerance_seconds: float = 0.0) -> list[int]:
        """Choose frames for wished times of the part; see `Video.plan`."""
        return choice.nearest_frames(self.index, times_seconds, tolerance_seconds)

    def snap(self, frame_indices: Sequence[int], tolerance_frames: int) -> list[int]:
        """Replace frames by cheaper ones of the part near them; see `Video.snap`."""
        frames = choice.check_frames(self.index, frame_indices, name=self.id)
        return choice.snap_frames(self.index, frames, tolerance_frames)

    def close(self) -> None:
        """Let go of the file, unless it was given open; a later read opens it again."""
        if self._video is not None and self._closes:
            self._video.close()

    def __enter__(self) -> VideoPart:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __str__(self) -> str:
        return name_of_part(_name_of(self.source), self.part)

    def __repr__(self) -> str:
        return f"VideoPart({self.id!r})"

    def __getstate__(self) -> dict[str, Any]:
        source = self.source if self._is_open else portable(self.source)
        video = source if self._is_open else None
        return {**self.__dict__, "source": source, "_video": video, "_index": None}

    def _there(self, units: Sequence[int]) -> list[int]:
        """The numbers that frames of the part have in the video."""
        index = self.index
        frames = choice.check_frames(index, units, name=self.id)
        return [index.first_frame + frame for frame in frames]


def _name_of(source: Any) -> str:
    if isinstance(source, VideoPart | Content):
        return str(source)
    return str(source.id) if is_open_source(source) else source_name(source)
