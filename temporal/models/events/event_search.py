"""One reading of an `EventReader`: which places are looked at, how closely, and until when.

Places are taken in blocks in the order of time, so that nothing but scores (some numbers a place)
is kept of what was passed: a video of a day takes the memory of one of a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...handle import Handle
from ..video.reading import MAX_FAULTS, glance, read_each
from .borders import bisect, candidates
from .cascade import FULL, LEVELS, PACKETS, SMALL, Scores, Thresholds
from .event import Event, EventsFound
from .places import Frames, Places, Profiles, Seconds, make_places

_USUAL_SECONDS = 60.0
_MOST_PLACES = 32
"""Of a block."""
_AT_ONCE = 4
"""Places that are read together where the first one that is certain ends the reading."""
_SHELF_BYTES = 32 * 2**20
"""Whole frames that a video keeps after a glance: those are read without being decoded again."""
_KEPT_FEATURES = 2**23
"""Numbers of features that are kept for borders, of the latest places: 32 MB."""


class Search:
    """The state of a reading. Made by `begin`.

    Args:
        reader: the `EventReader` that reads.
        video: the engine's handle on it, open.
        times_N: when its frames are shown, in seconds from the first.
        places: of it.
        profiles: what its packets say.
    """

    def __init__(
        self,
        reader: Any,
        video: Handle,
        times_N: Seconds,
        places: Places,
        profiles: Profiles,
    ) -> None:
        self.reader, self.video, self.times_N = reader, video, times_N
        self.places, self.profiles = places, profiles
        self.thresholds = Thresholds.of(reader.config)
        self.scores = Scores(places, reader.labels, glances="small" in reader.levels)
        self.is_complete = True
        self._kept: dict[int, Tensor] = {}
        """Features of full frames around places that reach the threshold, and of the last place."""

    @classmethod
    async def begin(cls, reader: Any, video: Handle) -> Search:
        """Cut a video into places, and score all of them by packets; nothing is decoded."""
        await video.open()
        index, config = video.index, reader.config
        times_N = np.asarray(index.timestamps_seconds, dtype=np.float64)
        times_N = times_N - times_N[0]
        places = make_places(times_N, index.keyframes, config.place_seconds)
        before = getattr(video, "motion_before", None)  # a part of a stream has it
        known = () if before is None else before
        profiles = Profiles(await video.motion(), index, config.profile_bins, known)
        search = cls(reader, video, times_N, places, profiles)
        # Where packets are not asked, or are of another kind, they leave everything open.
        search.scores.levels[PACKETS] = 1.0
        # Nor does a stream say at first what is usual in it.
        is_known = before is None or len(before) >= _USUAL_SECONDS * index.frames_per_second
        if "packets" in reader.levels and is_known and reader.knows_packets(profiles.levels):
            profiles_PM = profiles.of(places.first_P, places.last_P)
            rows_PM = torch.from_numpy(profiles_PM).to(reader.device, reader.dtype)
            search.scores.levels[PACKETS] = reader.score("packets", rows_PM).cpu().numpy()
        return search

    async def score_places(self, *, skips: bool = True) -> None:
        """Look at the places that are open, as closely as it takes.

        Args:
            skips: decide places by the thresholds, and halt. False: all levels look at all.
        """
        config = self.reader.config
        nothing = Thresholds(event=self.thresholds.event, small=0.0, packets=0.0)
        thresholds = self.thresholds if skips else nothing
        scores, levels = self.scores, self.scores.levels
        halts = skips and config.halt == "first"
        # Where a glance decides nothing, it is of no use.
        glances = scores.glances and (not skips or halts or thresholds.small > 0)
        open_P = np.flatnonzero(scores.open_after_packets(thresholds))
        is_asked_P = np.zeros(len(self.places), dtype=bool)
        size = self._block_size()
        for start in range(0, len(open_P), size):
            block = open_P[start : start + size]
            if glances:
                await self._look(SMALL, block)
                block = block[scores.open_after_small(thresholds)[block]]
            if halts and len(block):  # the likeliest first: the others may not be needed
                likely_P = levels[SMALL if scores.glances else PACKETS].max(-1)
                block = block[np.argsort(-likely_P[block], kind="stable")]
            is_asked_P[block] = True
            step = _AT_ONCE if halts else size
            for part in (block[k : k + step] for k in range(0, len(block), step)):
                await self._look(FULL, part)
                if halts and (levels[FULL, part] >= np.float32(thresholds.event)).any():
                    self.video.note(halted_at=int(self.places.last_P[part].max()))
                    self.is_complete = False
                    return
            if len(self.video.faults) >= MAX_FAULTS:
                self.is_complete = False
                break
        while self.is_complete and not halts:
            beside = np.flatnonzero(scores.read_in_full(thresholds) & ~is_asked_P)
            if not len(beside):
                break
            is_asked_P[beside] = True
            for start in range(0, len(beside), size):
                await self._look(FULL, beside[start : start + size])
            self.is_complete = len(self.video.faults) < MAX_FAULTS
        is_seen = np.isfinite(levels[[SMALL, FULL]]).any()
        if len(open_P) and not is_seen and self.video.faults:
            raise self.video.faults[0]

    async def found(self) -> EventsFound:
        """The events, with their borders."""
        config, scores = self.reader.config, self.scores
        events = scores.events(self.thresholds, config.gap_seconds)
        if config.border_seconds is not None:
            events = [await self._bordered(event) for event in events]
        final_PK = scores.final(self.thresholds)
        best = dict(zip(self.reader.labels, final_PK.max(0).tolist(), strict=True))
        likeliest_P = final_PK.max(1).tolist()
        self.video.note(places=tuple(self.places.first_P.tolist()), place_scores=tuple(likeliest_P))
        order = sorted(events, key=lambda event: (event.start_seconds, event.label))
        return EventsFound(
            events=tuple(order), scores=best, is_complete=self.is_complete, counts=scores.counts()
        )

    # Looking -------------------------------------------------------------------------------------

    def _block_size(self) -> int:
        """Places whose whole frames stay on the video's shelf from a glance to a read."""
        index = self.video.index
        return int(np.clip(_SHELF_BYTES // (3 * index.height * index.width * 2), 4, _MOST_PLACES))

    async def _look(self, level: int, block: Frames) -> None:
        """Score places by frames; those whose frames cannot be had stay as they are."""
        first, last = self.places.first_P[block], self.places.last_P[block]
        features = await self._features(level, [*first, *last])
        if not features:
            return
        # A place of which one frame can be had is seen by that one.
        pairs = [
            (features.get(int(a)), features.get(int(b))) for a, b in zip(first, last, strict=True)
        ]
        seen = [k for k, pair in enumerate(pairs) if pair[0] is not None or pair[1] is not None]
        if not seen:
            return
        firsts = [_either(*pairs[k]) for k in seen]
        lasts = [_either(*reversed(pairs[k])) for k in seen]
        said_nK = self._score_pairs(
            LEVELS[level], torch.stack(firsts), torch.stack(lasts), first[seen], last[seen]
        )
        self.scores.levels[level, block[seen]] = said_nK
        if level == FULL:
            self._keep(features, int(block[-1]))

    async def _features(self, level: int, frames: Sequence[int]) -> dict[int, Tensor]:
        """Features `[D]` of those frames that can be had."""
        kept = self._kept if level == FULL else {}
        known = {int(frame): kept[frame] for frame in frames if frame in kept}
        wanted = sorted({int(frame) for frame in frames} - known.keys())
        if not wanted:
            return known
        stage = self.reader.features if level == FULL else self.reader.small_features
        look = partial(read_each if level == FULL else glance, self.video)
        try:
            had, pixels = await look(wanted, size=self.reader.size_at(LEVELS[level]))
        except Exception:  # written down as faults; other blocks may tell enough
            if not self.video.faults:
                raise
            return known
        rows = await stage(pixels)
        return known | dict(zip(had, rows, strict=True))

    def _keep(self, features: dict[int, Tensor], last_place: int) -> None:
        """Keep what the borders of events will ask for once more, up to a number of bytes."""
        places = self.places
        threshold = np.float32(self.thresholds.event)
        reaches_P = (np.nan_to_num(self.scores.levels[FULL], nan=-1.0) >= threshold).any(-1)
        beside_P = reaches_P.copy()
        beside_P[1:] |= reaches_P[:-1]
        beside_P[:-1] |= reaches_P[1:]
        beside_P[last_place] = True  # the next one may reach it
        frames = {*places.first_P[beside_P].tolist(), *places.last_P[beside_P].tolist()}
        both = self._kept | {
            frame: row.clone()  # of its own: the batch is let go
            for frame, row in features.items()
            if frame in frames and frame not in self._kept
        }
        found = [(frame, row) for frame, row in sorted(both.items()) if frame in frames]
        most = _KEPT_FEATURES // max(1, self.reader.backbone.num_features)
        self._kept = dict(found[-most:])

    def _score_pairs(
        self, head: str, first_nD: Tensor, last_nD: Tensor, first: Frames, last: Frames
    ) -> Any:
        seconds = torch.from_numpy(self.times_N[last] - self.times_N[first])
        profiles = torch.from_numpy(self.profiles.of(first, last))
        device = first_nD.device
        states = self.reader.pair_states(first_nD, last_nD, seconds.to(device), profiles.to(device))
        return self.reader.score(head, states).cpu().numpy()

    # Borders -------------------------------------------------------------------------------------

    async def _bordered(self, event: Event) -> Event:
        """The event with its start and end to the tolerance, where frames can be had."""
        places = self.places
        inside = np.flatnonzero(
            (places.start_P < event.end_seconds) & (places.end_P > event.start_seconds)
        )
        if not len(inside):  # a moment
            return event
        k = self.reader.labels.index(event.label)
        i, j = int(inside[0]), int(inside[-1])
        start, end = event.start_seconds, event.end_seconds
        if i > 0:
            start = await self._border(i - 1, k, start)
        if j < len(places) - 1:
            end = await self._border(j, k, end, is_end=True)
        if end < start:  # they crossed inside one place: it holds what it holds
            return event
        return Event(start_seconds=start, end_seconds=end, label=event.label, score=event.score)

    async def _border(self, place: int, k: int, known: float, *, is_end: bool = False) -> float:
        """When a border in a place or the next one is; `known`, where no frame tells."""
        config, times_N = self.reader.config, self.times_N
        first, last = int(self.places.first_P[place]), int(self.places.last_P[place + 1])
        frames = candidates(times_N, first, last, config.border_seconds)
        size = self.reader.size_at("full")
        self.video.expect(frames, size=size)  # those passed on the way to others are kept
        features = await self._features(FULL, [first, last])

        async def is_before(low: int, middle: int, high: int) -> bool:
            if middle not in features:
                features.update(await self._features(FULL, [middle]))
            spans = [(low, middle), (middle, high)]
            if any(frame not in features for span in spans for frame in span):
                return not is_end  # nothing tells: the event may be longer
            firsts, lasts = (np.asarray(side) for side in zip(*spans, strict=True))
            said_2K = self._score_pairs(
                "border",
                torch.stack([features[frame] for frame, _ in spans]),
                torch.stack([features[frame] for _, frame in spans]),
                firsts,
                lasts,
            )
            # How much of each half lies in the event: of the half with the border, a part; of the
            # other, all (the event's side) or nothing.
            more = float(said_2K[:, k].sum()) >= 1.0
            return not more if is_end else more

        low, high = await bisect(frames, is_before)
        return float(times_N[low] + times_N[high]) / 2 if features else known


def _either(one: Tensor | None, other: Tensor | None) -> Tensor:
    return one if one is not None else other  # type: ignore[return-value]  # one of them is there
