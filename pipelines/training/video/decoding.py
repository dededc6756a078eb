"""What a policy makes decoders do: the frames that it reads or glances at, and those on the way.

N clips, S frames.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....data.labelled.clips import Clip
from ....models.video.motion import known_motion
from ....policies.read import uniform
from .fit import Asked

_SAMPLE = 256
"""Clips at most whose plans are made; the means of so many are near those of all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """Frames of a clip that are decoded, in the mean; planned from the index, nothing is read."""

    frames: float
    """By the policy."""
    uniform: dict[int, float]
    """By uniform frames among those that the policy chooses from, by their number."""

    def uniform_count(self) -> float:
        """How many uniform frames take as much decoding, between two numbers in proportion.

        The least or the largest number, where the policy decodes less or more than any.
        """
        counts = sorted(self.uniform)
        decoded = [self.uniform[count] for count in counts]
        after = bisect_left(decoded, self.frames)
        if after == 0:
            return counts[0]
        if after == len(counts):
            return counts[-1]
        low, high = decoded[after - 1], decoded[after]
        share = (self.frames - low) / (high - low)
        return (1 - share) * counts[after - 1] + share * counts[after]


def decoding(
    reader: Any, clips: Sequence[Clip], asked: Asked, counts: Sequence[int] = ()
) -> Decoding:
    """Plan the decoding of clips.

    Args:
        reader: which says of what frames it chooses (`training_frames`).
        clips: N.
        asked: what the policy does with them.
        counts: of uniform frames.
    """
    own, of_uniform = [], []
    for k in range(0, len(clips), -(-len(clips) // _SAMPLE)):
        with clips[k].open() as video:
            how = {}
            if reader.chooses_by_motion:
                how["motion"] = known_motion(video.motion())
            keys = video.index.keyframes.tolist()
            plan = list(reader.training_frames(len(video), keys, **how))
            seen = asked.seen_NS[k, : len(plan)].tolist()
            parts = [[frame for frame, is_seen in zip(plan, seen, strict=True) if is_seen]]
            in_time = sorted(plan)
            parts += [[in_time[place] for place in uniform(len(plan), n)] for n in counts]
            decoded = [video.cost(part).frames_decoded if part else 0 for part in parts]
        own.append(decoded[0])
        of_uniform.append(decoded[1:])
    means = np.mean(np.array(of_uniform, dtype=float).reshape(len(own), -1), 0)
    return Decoding(
        frames=float(np.mean(own)),
        uniform=dict(zip(counts, means.tolist(), strict=True)),
    )
