"""Labelled videos as rows of places: their frames are seen once, by a frozen backbone.

n places, D feature width, K labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....data import Video
from ....data.labelled.events import LabelledVideo
from ....models.events.event_reader import EventReader
from ....models.events.places import Profiles, make_places, share_inside
from ....training.events.heads import PlaceRows

_CHUNK = 16
_STEPS = 4
"""Of frames around an event, so many lie in a place."""
_LAGS = (1, 2, 4)
_LEAST_TO_COMPARE = 4  # frames of an event that tell what it is
_COMPARED_SIZE = (32, 32)


@torch.inference_mode()
def rows_of_video(reader: EventReader, video: LabelledVideo, number: int) -> PlaceRows:
    """All places of a video, and spans of several lengths around its events.

    The latter teach how much of a span lies in an event, which is what finds borders.

    Args:
        reader: for its backbone, places and labels.
        video: with its events.
        number: of the video.

    Raises:
        VideoError: a frame cannot be read.
    """
    config: Any = reader.config
    with Video(video.path) as source:
        index = source.index
        times_N = index.timestamps_seconds - index.timestamps_seconds[0]
        places = make_places(times_N, index.keyframes.tolist(), config.place_seconds)
        profiles = Profiles(source.motion(), index, config.profile_bins)
        spans = list(zip(places.first_P.tolist(), places.last_P.tolist(), strict=True))
        ends = list(zip(places.start_P.tolist(), places.end_P.tolist(), strict=True))
        count = len(spans)
        more = _spans_around(video, times_N, config.place_seconds)
        spans += more
        ends += [(float(times_N[a]), float(times_N[b])) for a, b in more]
        small = None
        if "small" in reader.levels:
            seen = sorted({frame for span in spans[:count] for frame in span})
            small = _features(reader, source.glance, seen, reader.size_at("small"))
        seen = sorted({frame for span in spans for frame in span})
        full = _features(reader, source.read, seen, reader.size_at("full"))
        first, last = (np.asarray(side, dtype=np.int64) for side in zip(*spans, strict=True))
        digests = [_digest(index.packet_bytes[a : b + 1], index.pts[a : b + 1]) for a, b in spans]
        shares = [
            [
                share_inside(
                    start,
                    end,
                    [
                        (event.start_seconds, event.end_seconds)
                        for event in video.events
                        if event.label == label
                    ],
                )
                for label in reader.labels
            ]
            for start, end in ends
        ]
        small_rows = None
        if small is not None:
            nothing = torch.zeros(next(iter(small.values())).shape, dtype=torch.float16)
            small_rows = torch.stack(
                [torch.stack([small.get(a, nothing), small.get(b, nothing)]) for a, b in spans]
            )
        return PlaceRows(
            profiles=torch.from_numpy(profiles.of(first, last)),
            features=torch.stack([torch.stack([full[a], full[b]]) for a, b in spans]),
            small_features=small_rows,
            seconds=torch.from_numpy(times_N[last] - times_N[first]).float(),
            shares=torch.tensor(shares),
            is_place=torch.arange(len(spans)) < count,
            videos=torch.full((len(spans),), number),
            digests=torch.tensor(digests),
        )


def recordings_of(video: LabelledVideo) -> list[bytes]:
    """For each event of a video what it is a recording of.

    The same for copies of one recording, wherever they were joined in: the sizes of its packets and
    one picture tell. An event of a moment is like no other.

    Raises:
        VideoError: a frame cannot be read.
    """
    with Video(video.path) as source:
        index = source.index
        times_N = index.timestamps_seconds - index.timestamps_seconds[0]
        found = []
        for number, event in enumerate(video.events):
            inside = np.flatnonzero(
                (times_N >= event.start_seconds) & (times_N < event.end_seconds)
            )
            if len(inside) < _LEAST_TO_COMPARE:
                found.append(f"{video.path} {number}".encode())
                continue
            inner = inside[1:-1]  # its ends may be others'
            cheapest = int(inner[np.argmin(index.frame_costs[inner])])
            digest = hashlib.blake2b(index.packet_bytes[inner].tobytes(), digest_size=16)
            digest.update(source.read_array([cheapest], size=_COMPARED_SIZE).tobytes())
            found.append(digest.digest())
        return found


def joined_rows(parts: Sequence[PlaceRows]) -> PlaceRows:
    """The rows of several videos as one."""
    columns: dict[str, Any] = {}
    for field in fields(PlaceRows):
        values = [getattr(part, field.name) for part in parts]
        columns[field.name] = None if values[0] is None else torch.cat(values)
    return PlaceRows(**columns)


def _spans_around(
    video: LabelledVideo, times_N: Any, place_seconds: float
) -> list[tuple[int, int]]:
    """Spans between frames inside and around each event, of several lengths."""
    spans: set[tuple[int, int]] = set()
    for event in video.events:
        low = max(0.0, event.start_seconds - place_seconds)
        high = min(float(times_N[-1]), event.end_seconds + place_seconds)
        if high <= low:
            continue
        parts = min(64, max(2, round(_STEPS * (high - low) / place_seconds)))
        wished = np.linspace(low, high, parts + 1)
        frames = np.unique(np.minimum(np.searchsorted(times_N, wished), len(times_N) - 1)).tolist()
        spans |= {(frames[k], frames[k + lag]) for lag in _LAGS for k in range(len(frames) - lag)}
    return sorted(spans)


def _features(
    reader: EventReader, look: Any, frames: Sequence[int], size: tuple[int, int]
) -> dict[int, Tensor]:
    """float16 `[D]` of each frame."""
    found: dict[int, Tensor] = {}
    for start in range(0, len(frames), _CHUNK):
        chunk = list(frames[start : start + _CHUNK])
        rows = reader.training_features(look(chunk, size=size)).half().cpu()
        found.update(zip(chunk, rows, strict=True))
    return found


def _digest(sizes: Any, times: Any) -> int:
    """The same for copies of one recording, wherever they stand."""
    digest = hashlib.blake2b(np.ascontiguousarray(sizes[:-1]).tobytes(), digest_size=7)
    digest.update(np.ascontiguousarray(np.diff(times)).tobytes() if len(times) > 1 else b"")
    return int.from_bytes(digest.digest(), "little")
