"""`ClipLoader`: a `DataLoader` of clips that knows how far it came, and resumes there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from .bad_clips import BadClip
from .dataset import ClipDataset


class _Delivered(NamedTuple):
    """What a worker hands over: a batch, and how things stand there after it."""

    batch: Any
    shards: dict[str, Any]
    worker: int
    bad_clips: list[BadClip]


class _Last(NamedTuple):
    """Comes after a share's last sample, so that what was passed over at its end is told."""


class ClipLoader:
    """Batches of a `ClipDataset`, made by a `DataLoader`.

    `state_dict()` after a batch, `load_state_dict` in another process and the same options: the
    batches that follow are those that would have followed, with the same rows. An epoch that was
    read to its end is followed by the next one; `set_epoch` chooses another.

    Each worker makes batches of its own share, so an epoch may end with several smaller ones.
    `bad_clips` lists the rows that were passed over. Each rank saves a state of its own.
    `accelerator.prepare` leaves it as it is: batches are not dealt out a second time, and stay on
    the CPU.

    Args:
        dataset: The dataset; its `rank` and `num_ranks` say which share this loader reads.
        batch_size: Samples of a batch.
        num_workers: Processes that decode; 0: this one.
        collate: Makes a batch of a list of samples.
        drop_last: Leave out batches that are smaller.
        options: More of `DataLoader`'s options.

    Raises:
        ValueError: An option has no meaning here.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_size: int = 1,
        *,
        num_workers: int = 0,
        collate: Callable[[list[Any]], Any] = default_collate,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size ({batch_size}) must be >= 1")
        refused = {"shuffle", "sampler", "batch_sampler", "collate_fn", "persistent_workers"}
        if refused & set(options):
            raise ValueError(
                f"{sorted(refused & set(options))[0]} is no option of ClipLoader: the dataset "
                "shuffles and shards, collate= makes batches, and workers live for an epoch"
            )
        self.bad_clips: list[BadClip] = []
        self.dataset = dataset
        self.batch_size, self.num_workers = batch_size, num_workers
        self._smallest = batch_size if drop_last else 1
        self._places: dict[str, Any] = {}
        self._next_worker = 0
        self._is_resumed = False
        self._loader: DataLoader[Any] = DataLoader(
            _WithEnd(dataset),
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=_HandOver(dataset, collate, self._smallest),
            **options,
        )

    @property
    def _workers(self) -> int:
        return max(self.num_workers, 1)

    def __len__(self) -> int:
        """Batches of an epoch, if no row of it is bad; a stream has no length."""
        count = len(self.dataset.clips)  # type: ignore[arg-type]
        if self.dataset.repeat:
            raise TypeError("a dataset that repeats has no length")
        ranks, total = self.dataset.num_ranks, 0
        for worker in range(self._workers):
            shard = worker * ranks + self.dataset.rank
            own = len(range(shard, count, self._workers * ranks))
            full, rest = divmod(own, self.batch_size)
            total += full + (rest >= self._smallest)
        return total

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the place within another one is forgotten."""
        if epoch != self.dataset.epoch:
            self._places, self._next_worker, self._is_resumed = {}, 0, False
        self.dataset.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where reading stands, after the batch that came last."""
        return {
            **self.dataset.state_dict(),
            "num_shards": self._workers * self.dataset.num_ranks,
            "shards": dict(self._places),
            "next_worker": self._next_worker,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there at the next iteration.

        Args:
            state: What `state_dict` gave.

        Raises:
            ValueError: It was saved with other options, so that other rows would come.
        """
        self.dataset.load_state_dict(state)
        self.dataset.check_shares(self._workers * self.dataset.num_ranks)
        if self.dataset.epoch != state["epoch"]:
            return  # that epoch was over, and another was set
        self._places = dict(state["shards"])
        self._next_worker = int(state["next_worker"])
        self._is_resumed = True

    def __iter__(self) -> Iterator[Any]:
        first = self._next_worker if self._is_resumed else 0
        if not self._is_resumed:  # begun before and left: from the start
            self._places = {}
        self.dataset.resume(self.state_dict() if self._is_resumed else None, first)
        self._is_resumed, self._next_worker = False, first
        for delivered in self._loader:
            self._places = {**self._places, **delivered.shards}
            self._next_worker = (delivered.worker + first + 1) % self._workers
            self.bad_clips += delivered.bad_clips
            if delivered.batch is not None:
                yield delivered.batch
        self.set_epoch(self.dataset.epoch + 1)


class _WithEnd(IterableDataset[Any]):
    """The dataset, and one more thing at the end of each share."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        yield from self.dataset
        yield _Last()


class _HandOver:
    """Makes batches where the samples are made, and notes how things stand there."""

    def __init__(
        self, dataset: ClipDataset, collate: Callable[[list[Any]], Any], smallest: int
    ) -> None:
        self.dataset, self.collate, self.smallest = dataset, collate, smallest

    def __call__(self, samples: list[Any]) -> _Delivered:
        worker = get_worker_info()
        dataset = self.dataset if worker is None else cast(_WithEnd, worker.dataset).dataset
        samples = [sample for sample in samples if not isinstance(sample, _Last)]
        return _Delivered(
            batch=self.collate(samples) if len(samples) >= self.smallest else None,
            shards=dataset.state_dict()["shards"],
            worker=0 if worker is None else worker.id,
            bad_clips=dataset.take_bad_clips(),
        )
