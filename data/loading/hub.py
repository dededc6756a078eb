"""Labelled videos in `datasets`: tables with a Video column, and streams of them.

Both may have no `class_names`, where nobody told them: then rows say the names of their classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
from datasets.distributed import split_dataset_by_node

from ..decode.remote.urls import AllowRemote
from ..item import InputError
from .clips import WalkStep
from .order import Order
from .row import CALLED, CELLS, ClipRow, bad_row, class_order, label_names, make_row
from .split_names import ALL, is_wanted

_LOST = (ConnectionError, TimeoutError)  # the row is not bad: it can be had another time


class _Columns:
    """Which columns of a dataset hold the video and its label, without decoding."""

    def __init__(
        self,
        table: Any,
        video: str | None,
        label: str,
        several: bool,
        called: Mapping[str, str],
    ) -> None:
        features = table.features or {}
        named = [name for name, kind in features.items() if isinstance(kind, datasets.Video)]
        usual = [name for name in ("video", "path", "file") if name in features]
        self.video = video or (*named, *usual, "video")[0]
        self.label = label
        missing = [name for name in (self.video, label) if features and name not in features]
        if missing:
            raise ValueError(
                f"the dataset has the columns {list(features)}, and no {missing[0]!r}: name one "
                f"of them by {called['video_column']} or {called['label_column']}"
            )
        kind = features.get(label)
        one = getattr(kind, "feature", kind)  # of a list of labels
        self.several = several
        self.is_list = one is not kind or several
        self.names = list(one.names) if isinstance(one, datasets.ClassLabel) else None

    def undecoded(self, table: Any) -> Any:
        """The same without decoding: its videos are paths or bytes."""
        kind = (table.features or {}).get(self.video)
        if isinstance(kind, datasets.Video) and kind.decode:
            return table.cast_column(self.video, datasets.Video(decode=False))
        return table

    def row(self, place: int, cells: Mapping[str, Any]) -> ClipRow:
        """The row of a dataset's row."""
        video, name = cells.get(self.video), f"row-{place:06d}"
        # A decoder that `datasets` made knows what it decodes.
        video = getattr(video, "_hf_encoded", video)
        content = video
        if isinstance(video, Mapping):
            name = str(video.get("path") or name)
            content = video.get("bytes") or video.get("path")
        elif isinstance(video, str):
            name = video
        if not isinstance(content, str | bytes) or not content:
            return bad_row(name, f"{self.video} must hold a path or bytes, not {type(video)!r}")
        label = cells.get(self.label)
        if self.names is not None and isinstance(label, int):
            if not 0 <= label < len(self.names):  # how `datasets` writes that there is none
                label = None
            else:
                label = self.names[label]
        elif self.names is not None and isinstance(label, Sequence) and not isinstance(label, str):
            label = [self.names[one] if isinstance(one, int) else one for one in label]
        told = {key: cells[key] for key in CELLS if cells.get(key) is not None}
        return make_row(name, content, {**told, "label": label}, several=self.several)


class DatasetClips:
    """Labelled videos in a `datasets.Dataset`: rows are read when their turn comes.

    Args:
        table: The dataset.
        video_column: Column of the videos; None: the first of that feature.
        label_column: Column of the labels.
        class_names: The classes and their order; None: those of its `ClassLabel`, or that occur.
        split: Keep the rows whose column `split` says this.
        several: Clips may have several labels; see `make_row`.
        allow_remote: Which URLs may be read, as for `Video`.
        called: See `row.CALLED`.
    """

    def __init__(
        self,
        table: datasets.Dataset,
        *,
        video_column: str | None = None,
        label_column: str = "label",
        class_names: Sequence[str] | None = None,
        split: str | None = None,
        several: bool = False,
        allow_remote: AllowRemote = False,
        called: Mapping[str, str] = CALLED,
    ) -> None:
        table = table.with_format(None)
        self._columns = _Columns(table, video_column, label_column, several, called)
        self.is_multilabel = self._columns.is_list
        self.allow_remote = allow_remote
        if "split" in table.column_names:
            table = _of_split(table, split)
        self._table = self._columns.undecoded(table)
        self.class_names = list(class_names) if class_names else self._columns.names
        if self.class_names is None:
            self.class_names = self._occurring(label_column)

    def _occurring(self, column: str) -> list[str] | None:
        if self.is_multilabel:
            return None
        names = set()
        for value in self._table.unique(column):
            try:
                names.add(str(label_names(value)))
            except ValueError:  # its rows will say so
                continue
        return class_order(list(names))

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, place: int) -> ClipRow:
        return self._columns.row(place, self._table[place])

    def select(self, places: Sequence[int]) -> DatasetClips:
        """These rows, in this order; the classes stay."""
        chosen = copy.copy(self)
        chosen._table = self._table.select(places)
        return chosen

    @property
    def groups(self) -> list[str]:
        """The group of each row; "" of one without."""
        if "group" not in self._table.column_names:
            return [""] * len(self)
        return ["" if group is None else str(group) for group in self._table["group"]]

    def walk(self, order: Order, state: dict[str, Any] | None) -> Iterator[WalkStep]:
        """As `ClipList.walk`."""
        rows = order.own_rows(len(self))
        for place in range(0 if state is None else state["position"], len(rows)):
            number = int(rows[place])
            yield {"position": place + 1}, number, self[number]


def _of_split(table: datasets.Dataset, split: str | None) -> datasets.Dataset:
    told = table["split"]
    names = sorted({str(name) for name in told if name is not None})
    if split == ALL:
        return table
    if split is None:
        if len(names) > 1:
            raise ValueError(f"the dataset holds the splits {names}: choose one by split=")
        return table
    if names and not any(is_wanted(name, split) for name in names):
        raise ValueError(f"split ({split!r}) must be one that the dataset holds: {names}")
    return table.select([k for k, name in enumerate(told) if is_wanted(name, split)])


class StreamedClips:
    """Labelled videos in a `datasets.IterableDataset`, of which only a buffer is held.

    Do not shuffle it before: its own buffer forgets rows when it is resumed.

    Args:
        stream: The dataset, whole: each worker takes files of its own where these can be dealt out
            evenly, else every so-many-th row.
        video_column: Column of the videos; None: the first of that feature.
        label_column: Column of the labels.
        class_names: The classes and their order; None: those of its `ClassLabel`, if it has one.
        split: Pass over rows whose column `split` says another.
        several: Clips may have several labels; see `make_row`.
        allow_remote: Which URLs may be read, as for `Video`.
        called: See `row.CALLED`.
    """

    def __init__(
        self,
        stream: datasets.IterableDataset,
        *,
        video_column: str | None = None,
        label_column: str = "label",
        class_names: Sequence[str] | None = None,
        split: str | None = None,
        several: bool = False,
        allow_remote: AllowRemote = False,
        called: Mapping[str, str] = CALLED,
    ) -> None:
        self._columns = _Columns(stream, video_column, label_column, several, called)
        self.is_multilabel = self._columns.is_list
        self._stream = self._columns.undecoded(stream)
        self._split = split
        self.allow_remote = allow_remote
        self.class_names = list(class_names) if class_names else self._columns.names

    def rows(self) -> Iterator[ClipRow]:
        """All rows, in their order."""
        order = Order(shuffle=False, buffer_size=1, seed=0, epoch=0, shard=0, num_shards=1)
        return (row for _, _, row in self.walk(order, None))

    def walk(self, order: Order, state: dict[str, Any] | None) -> Iterator[WalkStep]:
        """Yield the rows of one share of an epoch, each with the place after it.

        Args:
            order: The epoch, and whose share.
            state: What came with the last row that was used; None: from the start. It holds the
                place in the stream where the buffer was filled, and how much of it was used.
        """
        stream = split_dataset_by_node(self._stream, rank=order.shard, world_size=order.num_shards)
        stream.set_epoch(order.epoch if order.shuffle else 0)
        begun = None if state is None else state["stream"]
        block, taken, before = (
            (0, 0, 0) if state is None else (state["block"], state["taken"], state["before"])
        )
        if begun is not None:
            stream.load_state_dict(begun)
        # Not `iter(stream)`: among the workers of a DataLoader it would deal its files out again.
        rows = stream.iter(batch_size=1)
        start = begun if begun is not None else copy.deepcopy(stream.state_dict())
        is_over = False
        while not is_over:
            held: dict[int, ClipRow] = {}
            while len(held) < (order.buffer_size if order.shuffle else 1) and not is_over:
                try:
                    cells = {name: column[0] for name, column in next(rows).items()}
                except StopIteration:
                    is_over = True
                except _LOST:
                    raise
                except Exception as error:  # whatever its files and decoders raise
                    is_over = True
                    message = f"the stream ends here, it cannot be read on: {error}"
                    reason = InputError(reason="bad_table", message=message)
                    held[len(held)] = ClipRow(id=f"stream-{order.shard}", error=reason)
                else:
                    held[len(held)] = self._columns.row(before + len(held), cells)
            count = len(held)
            own = order.own_block(block, count).tolist()
            for place in range(taken, count):
                row, number = held.pop(own[place]), before + own[place]
                after = {"stream": start, "block": block, "taken": place + 1, "before": before}
                if place + 1 == count and not is_over:
                    start = copy.deepcopy(stream.state_dict())
                    after = {
                        "stream": start,
                        "block": block + 1,
                        "taken": 0,
                        "before": before + count,
                    }
                if is_wanted(row.split, self._split):
                    yield after, number * order.num_shards + order.shard, row
            before, block, taken = before + count, block + 1, 0
