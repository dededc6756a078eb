"""Texts of a stream as a training takes them: encoded a block at a time, nothing else is held."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

from datasets import Dataset, load_dataset
from torch.utils.data import Dataset as TorchDataset

from ...data.labelled.digests import digest_text
from ...data.labelled.files import read_labelled_texts
from ...data.labelled.streamed_texts import TextStream
from ...data.loading.reel import Reel
from ...data.loading.row import class_order
from ...data.loading.split_names import split_name
from ...training.block_shuffle import Block, BlockShuffle
from .text_data import DataArguments

_USED = {
    *("train_file", "validation_file", "dataset_name", "dataset_config_name", "streaming"),
    *("text_column", "label_column", "regression", "max_seq_length", "crop_size", "crop_share"),
    *("crop_from", "max_train_samples", "max_eval_samples", "shuffle_buffer_size"),
}
_ENCODED = 256  # texts that a tokenizer gets at once


class StreamedTexts(TorchDataset[dict[str, Any]]):
    """Training rows of a stream, gone through once before: for their number, labels and digests.

    Args:
        stream: where they come from.
        hold: rows that are held, encoded, and shuffled among each other.
        limit: take the first so many.

    Attributes:
        labels: those that occur, as their names, in the order of their numbers.
        digests: of the texts, 64 bits each.
    """

    def __init__(self, stream: TextStream, *, hold: int, limit: int | None = None) -> None:
        self.stream, self.hold, self.limit = stream, hold, limit
        self.digests = array("Q")
        names: set[str] = set()
        for text, label in self._rows():
            self.digests.append(digest_text(text))
            names.add(str(label))
        if not self.digests:
            raise ValueError(f"{stream.data} must hold rows to train on, and has none")
        self.labels = class_order(list(names))
        self._reel: Reel[dict[str, Any]] | None = None

    def _rows(self) -> Iterator[tuple[str, Any]]:
        return islice(self.stream.rows(), self.limit)

    def encoded(self, encode: Callable[[dict[str, list]], dict[str, list]]) -> StreamedTexts:
        """Say how rows are encoded, several at a time."""
        self._encode = encode
        self._reel = Reel(self._encoded_rows, self.hold)
        return self

    def _encoded_rows(self) -> Iterator[dict[str, Any]]:
        rows = self._rows()
        while part := list(islice(rows, _ENCODED)):
            batch = self._encode({"text": [t for t, _ in part], "label": [n for _, n in part]})
            yield from (
                dict(zip(batch, cells, strict=True)) for cells in zip(*batch.values(), strict=True)
            )

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, number: int) -> dict[str, Any]:
        assert self._reel is not None
        return self._reel[number]

    def train_sampler(self, seed: int, batch_size: int) -> BlockShuffle:
        """Block after block, texts of like length in one batch."""
        blocks = _EvenBlocks(len(self), self.hold)
        return BlockShuffle(
            blocks, seed, lengths=lambda k: int(self[k]["length"]), batch_size=batch_size
        )


class _EvenBlocks(Sequence[Block]):
    """The block of each of so many rows."""

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size = count, size

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: Any) -> Any:
        return (row // self._size,)


def load_streamed(data: DataArguments) -> tuple[StreamedTexts, Dataset]:
    """The training rows as a stream, and the validation rows, which are held: names are labels.

    Raises:
        ValueError: an option is not for streams, there is nothing to validate on, or a label of
            it is not trained on.
    """
    for one in fields(data):
        if one.name not in _USED and getattr(data, one.name) != _default(one):
            raise ValueError(
                f"--{one.name} ({getattr(data, one.name)}) goes through all rows at once, and "
                "--streaming holds only some: leave one of the two out"
            )
    columns = {"text_column": data.text_column, "label_column": data.label_column}
    train, judged = data.train_file, data.validation_file
    held: Any = None
    if data.dataset_name is not None:
        splits = load_dataset(data.dataset_name, data.dataset_config_name, streaming=True)
        named = {split_name(str(name)): part for name, part in splits.items()}
        if "train" not in named:
            raise ValueError(f"{data.dataset_name} must have a split train, and has {list(splits)}")
        train = named["train"]
        held = named.get("validation", named.get("test"))
    if judged is None and held is None:
        raise ValueError(
            "--streaming holds out nothing of the training texts: give --validation_file"
        )
    rows = StreamedTexts(
        TextStream(data=train, **columns),
        hold=data.shuffle_buffer_size,
        limit=data.max_train_samples,
    )
    if judged is not None:
        table = read_labelled_texts(judged, data.text_column, data.label_column)
        pairs = list(zip(table["text"], table["label"], strict=True))
    else:
        pairs = list(TextStream(data=held, **columns).rows())
    pairs = pairs[: data.max_eval_samples]
    texts = [text for text, _ in pairs]
    labels = [float(n) if data.regression else str(n) for _, n in pairs]
    strange = sorted(set(map(str, labels)) - set(rows.labels))
    if strange and not data.regression:
        raise ValueError(
            f"labels {strange[:5]} occur in what is validated on and must also occur in what is "
            f"trained on ({data.train_file or data.dataset_name}): spell them alike"
        )
    return rows, Dataset.from_dict({"text": texts, "label": labels})


def _default(one: Any) -> Any:
    return one.default_factory() if callable(one.default_factory) else one.default
