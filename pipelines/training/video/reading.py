"""Videos of labelled clips: read a few at a time, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ....data import VideoError
from ....data.labelled.clips import Clip
from ....data.loading.reel import Reel
from ....data.loading.row_places import RowOf
from ....engine import Engine
from ....models.video.motion import known_motion
from ....training.block_shuffle import BlockShuffle

_HELD = 64
"""Videos of a stream that are held at a time, as bytes, and shuffled among each other."""


def read_all(
    read: Callable[[Any, int], Any],
    clips: Iterable[Clip],
    is_wanted: Callable[[int, Clip], bool],
    **options: Any,
) -> Iterator[tuple[int, Any]]:
    """Read videos of clips, a few at a time.

    Args:
        read: reads one, given its number.
        clips: in their order.
        is_wanted: whether a clip is read.
        **options: of the engine.

    Yields:
        The number of a clip and its outcome, or why there is none to be read.
    """
    numbers: dict[int, int] = {}  # of the videos in flight
    order: deque[tuple[int, Exception | None]] = deque()

    def videos() -> Iterator[Any]:
        for number, clip in enumerate(clips):
            if not is_wanted(number, clip):
                continue
            try:
                video = clip.open()
            except (OSError, VideoError) as error:
                order.append((number, error))
                continue
            numbers[id(video)] = number
            order.append((number, None))
            yield video

    async def one(video: Any) -> Any:
        return await read(video, numbers.pop(id(video.source)))

    engine = Engine(8, deterministic=True, count_macs=False, **options)
    for outcome in engine.run(one, videos()):
        while order[0][1] is not None:
            yield order.popleft()
        yield order.popleft()[0], outcome
    yield from order


def unreadable(reader: Any, clips: Sequence[Clip]) -> dict[int, Exception]:
    """Why clips cannot be read for a reader, by their numbers; decodes them once, keeps nothing.

    For a training on pixels, which would fail at such a clip, hours later.
    """

    async def read(video: Any, number: int) -> None:
        await video.open()
        how = {}
        if reader.chooses_by_motion:
            how["motion"] = known_motion(await video.motion())
        frames = reader.training_frames(len(video), video.index.keyframes.tolist(), **how)
        await video.read(frames, size=(16, 16))

    faults: dict[int, Exception] = {}
    for number, outcome in read_all(read, clips, lambda number, clip: True):
        error = outcome if isinstance(outcome, Exception) else outcome.error
        if error is not None:
            faults[number] = error
    return faults


def stream_order(clips: Sequence[Clip], seed: int) -> BlockShuffle | None:
    """The order of clips of streams, which will hold a block at a time; None: they are of none."""
    reels: list[Reel[Any]] = []
    blocks: list[tuple[int, ...]] = []
    for clip in clips:
        place = clip.place
        if not isinstance(place, RowOf) or not isinstance(place.rows, Reel):
            return None
        if place.rows not in reels:
            reels.append(place.rows)
            place.rows.hold = _HELD
        blocks.append((reels.index(place.rows), place.number // _HELD))
    return BlockShuffle(blocks, seed) if blocks else None
