"""`ClipDataset`: labelled clips for a `DataLoader`, decoded in its workers, resumed exactly."""

from __future__ import annotations

import copy
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any, Protocol

import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..decode.errors import VideoError
from ..decode.remote.urls import AllowRemote
from .bad_clips import BadClip, write_bad_clip
from .clips import WalkStep
from .order import Order
from .row import ClipRow
from .sample import Sampler, Size, count_threads, failure_of, open_clip, read_sample

_log = logging.getLogger(__name__)

_MOST_KEPT = 10_000  # bad clips that nobody asks for; a file lists all


class Clips(Protocol):
    """What `load_clips` gives."""

    class_names: list[str] | None
    allow_remote: AllowRemote

    @property
    def is_multilabel(self) -> bool:
        """Whether labels are told by a 0 or 1 for each class."""

    def walk(self, order: Order, state: dict[str, Any] | None) -> Iterator[WalkStep]:
        """Yield the rows of one share of an epoch, each with the place after it."""


class ClipDataset(IterableDataset[dict[str, Any]]):
    """Samples of labelled clips. Each row comes once an epoch, over all ranks and workers.

    In the workers of a `DataLoader` each takes its own share; videos are opened there, and only the
    frames that the sampler chose are decoded. What cannot be read is passed over and recorded.
    `ClipLoader` resumes it within an epoch, as does torchdata's `StatefulDataLoader`.

    A sample has `pixel_values` (uint8 `[S, 3, H, W]`), `labels` (a class number; float32 `[K]`
    where clips have several), `frames` and `times` (`[S]`), `row` and `id`, and `glances` and
    `motion` where they are asked for. Random numbers of torch that the sampler or the transform
    draws depend on the seed, the epoch and the row alone, so a resumed epoch draws them again.

    Args:
        clips: From `load_clips`.
        sampler: Takes the number of frames and the keyframes of a clip and returns the frames to
            read (a reader's `training_frames`). None: nothing is opened; for counting rows.
        size: (height, width) of the frames.
        glance_size: (height, width) at which the same frames are also glanced at.
        motion: Also tell how much each of them changes, from packets alone.
        transform: Is called with each sample in the worker, and returns what is to be used.
        shuffle: Another order in each epoch (`set_epoch`). Lists are shuffled as a whole, streams
            within a buffer.
        buffer_size: Rows of a stream that are shuffled among each other, and held meanwhile.
        seed: Of the order and of what is drawn for a row.
        rank: Which process of several this is; 0 of 1 where the loader is given to
            `accelerator.prepare`, which deals batches out itself.
        num_ranks: How many processes there are.
        repeat: Never end, but go on with the next epoch: ranks whose shares differ by a row then
            take the same number of steps.
        bad_clips_file: A JSON lines file to which each row that is passed over is appended.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        clips: Clips,
        sampler: Sampler | None,
        *,
        size: Size = (224, 224),
        glance_size: Size | None = None,
        motion: bool = False,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        shuffle: bool = False,
        buffer_size: int = 256,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
        repeat: bool = False,
        bad_clips_file: str | os.PathLike[str] | None = None,
    ) -> None:
        if buffer_size < 1:
            raise ValueError(f"buffer_size ({buffer_size}) must be >= 1")
        if seed < 0:
            raise ValueError(f"seed ({seed}) must be >= 0")
        if not 0 <= rank < num_ranks:
            raise ValueError(f"rank ({rank}) must be in 0..num_ranks - 1 ({num_ranks - 1})")
        self.clips = clips
        self.sampler = sampler
        self.size, self.glance_size, self.motion = size, glance_size, motion
        self.transform = transform
        self.shuffle, self.buffer_size, self.seed = shuffle, buffer_size, seed
        self.rank, self.num_ranks = rank, num_ranks
        self.repeat = repeat
        self.bad_clips_file = bad_clips_file
        self._first_worker = 0  # which share the first worker of a loader takes
        # Workers that live on from epoch to epoch see what this process sets; -1: nothing yet.
        self._epoch = torch.full((), -1).share_memory_()
        self._num_shards = 0  # not known before it is read
        self._places: dict[str, Any] = {}  # of shares that were begun
        self._is_resumed = False
        self._bad: deque[BadClip] = deque(maxlen=_MOST_KEPT)
        names = clips.class_names or []
        self._numbers = {name: number for number, name in enumerate(names)}

    @property
    def epoch(self) -> int:
        """Which epoch is read next."""
        return max(int(self._epoch), 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and so the order; a place that was loaded in another is forgotten."""
        if epoch < 0:
            raise ValueError(f"epoch ({epoch}) must be >= 0")
        if epoch != self.epoch:
            self._places, self._is_resumed = {}, False
        self._epoch.fill_(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where reading stands, after the sample that came last: of this process's share."""
        return {
            "epoch": self.epoch,
            "num_shards": self._num_shards,
            **self._fixed(),
            "shards": copy.deepcopy(self._places),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there at the next iteration.

        Loaders with workers load it there, after `set_epoch`: then it counts for that epoch alone.

        Args:
            state: What `state_dict` gave: of one worker, or of several.

        Raises:
            ValueError: It was saved with other options, so that other rows would come.
        """
        for name, value in self._fixed().items():
            if state[name] != value:
                raise ValueError(
                    f"the saved state has {name} {state[name]!r}, and this is {value!r}: resume "
                    "with the rows and options that it was saved with"
                )
        epoch, places = int(state["epoch"]), copy.deepcopy(dict(state["shards"]))
        is_over = bool(places) and all(place["is_over"] for place in places.values())
        if (get_worker_info() is not None and int(self._epoch) not in (-1, epoch)) or (
            is_over and self.epoch > epoch
        ):
            return
        self.set_epoch(epoch)
        self._num_shards, self._places = int(state["num_shards"]), places
        self._is_resumed = True

    def check_shares(self, num_shards: int) -> None:
        """Refuse to go on with other numbers of ranks or workers.

        Raises:
            ValueError: A loaded state is of another number of shares.
        """
        if self._is_resumed and self._num_shards not in (0, num_shards):
            raise ValueError(
                f"the saved state is of {self._num_shards} shares (ranks x workers), and there "
                f"are {num_shards}: resume with as many as it was saved with"
            )

    def resume(self, state: Mapping[str, Any] | None, first_worker: int) -> None:
        """For `ClipLoader`: begin there, or at the start; the next batch is that worker's."""
        self._places, self._is_resumed = {}, False
        self._first_worker = first_worker
        if state is not None:
            self.load_state_dict(state)

    def take_bad_clips(self) -> list[BadClip]:
        """The rows that were passed over in this process since this was last asked."""
        bad = list(self._bad)
        self._bad.clear()
        return bad

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        workers, own = (1, 0) if worker is None else (worker.num_workers, worker.id)
        num_shards = self.num_ranks * workers
        self.check_shares(num_shards)
        # Ranks are the inner number: their shares then differ by one row at most.
        shard = (own + self._first_worker) % workers * self.num_ranks + self.rank
        begun = self._places.get(str(shard)) if self._is_resumed else None
        self._is_resumed, self._num_shards = False, num_shards
        self._places = {} if begun is None else {str(shard): begun}
        return self._read_on(shard, num_shards, begun)

    def _read_on(
        self, shard: int, num_shards: int, begun: dict[str, Any] | None
    ) -> Iterator[dict[str, Any]]:
        epoch = self.epoch if begun is None else begun["epoch"]
        state = None if begun is None else begun["walk"]
        while True:
            order = Order(
                shuffle=self.shuffle,
                buffer_size=self.buffer_size,
                seed=self.seed,
                epoch=epoch,
                shard=shard,
                num_shards=num_shards,
            )
            count, last = 0, state
            for last, number, row in self.clips.walk(order, state):
                self._places[str(shard)] = {"epoch": epoch, "walk": last, "is_over": False}
                sample = self._sample(row, number, order)
                if sample is not None:
                    count += 1
                    yield sample
            if not self.repeat:
                self._places[str(shard)] = {"epoch": epoch, "walk": last, "is_over": True}
                return
            if count == 0 and state is None:
                raise ValueError(
                    f"share {shard} of {num_shards} holds no clip that can be read, and would be "
                    "repeated for ever: use fewer workers, or look at the bad clips"
                )
            epoch, state = epoch + 1, None

    def _sample(self, row: ClipRow, number: int, order: Order) -> Any:
        """A row's sample; None of one that is passed over, which is recorded."""
        if row.error is not None:
            self._record(row, number, order.epoch, row.error.reason, row.error.message)
            return None
        try:
            labels = self._labels(row)
        except KeyError as error:
            message = f"label {error} is none of the classes {list(self._numbers)[:10]}"
            self._record(row, number, order.epoch, "bad_row", message)
            return None
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(order.row_seed(number))
            try:
                sample = {**self._read(row), "labels": labels, "row": number, "id": row.id}
            except (VideoError, OSError) as error:
                self._record(row, number, order.epoch, *failure_of(error))
                return None
            return sample if self.transform is None else self.transform(sample)

    def _read(self, row: ClipRow) -> dict[str, Any]:
        if self.sampler is None:
            return {}
        with open_clip(row, self.clips.allow_remote, count_threads()) as video:
            return read_sample(
                video,
                self.sampler,
                size=self.size,
                glance_size=self.glance_size,
                motion=self.motion,
            )

    def _labels(self, row: ClipRow) -> int | torch.Tensor:
        names = row.label
        assert names is not None
        if isinstance(names, str) and not self.clips.is_multilabel:
            return self._numbers[names]
        several = (names,) if isinstance(names, str) else names
        labels = torch.zeros(len(self._numbers))
        labels[[self._numbers[name] for name in several]] = 1
        return labels

    def _record(self, row: ClipRow, number: int, epoch: int, reason: str, message: str) -> None:
        bad = BadClip(id=row.id, row=number, epoch=epoch, reason=reason, message=message)
        self._bad.append(bad)
        if self.bad_clips_file is not None:
            write_bad_clip(self.bad_clips_file, bad)
        else:
            _log.warning("passed over %s: %s: %s", row.id, reason, message)

    def _fixed(self) -> dict[str, Any]:
        """What a saved state depends on."""
        return {
            "rank": self.rank,
            "num_ranks": self.num_ranks,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "buffer_size": self.buffer_size,
            "num_rows": len(self.clips) if isinstance(self.clips, Sized) else None,
        }
