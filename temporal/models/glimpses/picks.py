"""Frames picked one at a time, as a policy asks: `Groups` for an order that nobody knows yet.

`Picks` reads them of one video; `BatchPicks` takes them of a batch that `forward` is given.

B videos, S candidates, E exits, D feature width, C, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...checks import check_finite
from ...handle import Handle
from ...policies.location import nearest_free
from ..video.reading import MAX_FAULTS, one_frame


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pick:
    """A frame that was read."""

    rank: int
    """Which of the candidates it is, from 0."""

    frame: int
    """Its index in the video."""

    pixels: Tensor
    """uint8 `[1, C, H, W]`."""

    is_last: bool
    """Whether no other pick will follow."""


class Picks:
    """Reads candidates of a video, each once at most, where a policy wants to look.

    All of them are named to the video first (`expect`), so that those passed on the way to others
    are not decoded again. One that cannot be read is written down as a fault, and the nearest to it
    is read in its place; after `MAX_FAULTS` the reading ends, and what was read answers.

        picks = Picks(video, frames, size=(224, 224), most=10)
        while (pick := await picks.nearest(wish_1)) is not None:
            ...

    Args:
        video: the engine's handle on a source of frames, which is open.
        frames: the candidates' indices.
        size: (height, width) of the pixels.
        most: picks at most.
        places: where the candidates are, `[S]`; default: their ranks.
    """

    def __init__(
        self,
        video: Handle,
        frames: Sequence[int],
        *,
        size: tuple[int, int],
        most: int,
        places: Tensor | None = None,
    ) -> None:
        self._video = video
        self._frames = list(frames)
        self._ask = partial(video.read, size=size)
        self._left = min(most, len(self._frames))
        ranks_S = torch.arange(len(self._frames), dtype=torch.float32)
        self._places_1S = (ranks_S if places is None else places)[None]
        self._free_1S = torch.ones_like(self._places_1S, dtype=torch.bool)
        self._any_read = False
        self._faults_before = len(video.faults)  # those of glances
        video.expect(self._frames, size=size)

    async def nearest(self, wish_1: Tensor) -> Pick | None:
        """Read the candidate nearest to a place; None: there is no other one to be had.

        Raises:
            NonFiniteError: the place is none.
            Exception: the first fault, where no frame could be read.
        """
        wish_1 = check_finite(wish_1).to(self._places_1S.device)
        while self._left and not self._gives_up and bool(self._free_1S.any()):
            rank = int(nearest_free(wish_1, self._places_1S, self._free_1S))
            self._free_1S[0, rank] = False
            pixels = await one_frame(self._video, self._frames[rank], self._ask)
            if pixels is not None:
                self._any_read = True
                self._left -= 1
                is_last = not self._left or self._gives_up or not bool(self._free_1S.any())
                frame = self._frames[rank]
                return Pick(rank=rank, frame=frame, pixels=pixels, is_last=is_last)
        if not self._any_read and len(self._video.faults) > self._faults_before:
            raise self._video.faults[self._faults_before]
        self._video.note(num_exits=len(self._video.said))  # there will be no others
        return None

    @property
    def _gives_up(self) -> bool:
        return len(self._video.faults) - self._faults_before >= MAX_FAULTS


class BatchPicks:
    """Picks candidates of a batch of videos, each once at most, by the rule of `Picks`.

    Args:
        features_BSD: of the candidates.
        times_BS: where they are, as shares of the video's length.
        places_BS: what wishes are about; default: `times_BS`.
    """

    def __init__(
        self, features_BSD: Tensor, times_BS: Tensor, places_BS: Tensor | None = None
    ) -> None:
        self._features_BSD = features_BSD
        self._times_BS = times_BS
        self._places_BS = times_BS if places_BS is None else places_BS
        self._free_BS = torch.ones_like(times_BS, dtype=torch.bool)
        self._rows_B = torch.arange(len(features_BSD), device=features_BSD.device)

    def nearest(self, wish_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pick the candidates nearest to places: ranks `[B]`, features `[B, D]`, times `[B]`."""
        pick_B = nearest_free(wish_B, self._places_BS, self._free_BS)
        self._free_BS = self._free_BS.scatter(1, pick_B[:, None], False)
        return (
            pick_B,
            self._features_BSD[self._rows_B, pick_B],
            self._times_BS[self._rows_B, pick_B],
        )
