"""Which rows a reader was trained, chosen or calibrated on: kept beside its weights as digests.

A certificate holds for rows that the reader has not seen, so whoever trains writes down what it was
shown (`RowsSeen`), and whoever calibrates, checks or measures asks (`RowsSeen.which`). A row is
known by its content: a text by its words, a file by its bytes; 8 bytes of a digest each, in
`rows_seen.json` in the saved reader's folder. What a part was trained on counts for the whole: a
`ChunkReader` takes over what the encoder inside was shown.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from temporal.moved import names_of

# Digests lie with the data that they are of; their old names still import.
__getattr__ = names_of("temporal.data.labelled.digests")

FILE = "rows_seen.json"
_VERSION = 1

Use = Literal["training", "selection", "calibration"]
"""What rows did: their labels were learned, the best of several checkpoints was picked by them, or
operating points were measured on them."""
USES: tuple[Use, ...] = ("training", "selection", "calibration")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The rows of one use."""

    rows: frozenset[int] = frozenset()
    """Digests of rows."""
    groups: frozenset[int] = frozenset()
    """Digests of the names of the groups that the rows were of, where they have names."""
    splits: tuple[dict[str, Any], ...] = ()
    """How they were picked: file, seed and shares of each step, to find the others again."""

    def __or__(self, other: Shown) -> Shown:
        splits = [*self.splits, *(split for split in other.splits if split not in self.splits)]
        return Shown(
            rows=self.rows | other.rows, groups=self.groups | other.groups, splits=tuple(splits)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the digests in base64, little-endian and in order."""
        return {
            "splits": list(self.splits),
            "num_rows": len(self.rows),
            "rows": _packed(self.rows),
            "groups": _packed(self.groups),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RowsSeen:
    """What a reader was shown, by use; a use that is missing had no rows."""

    shown: dict[Use, Shown] = field(default_factory=dict)
    started_from: tuple[str, ...] = ()
    """Names of weights that training began with and that carry no record: what they were shown
    is not known."""
    training_known: bool = True
    """False: it was trained when nothing was written down, and calibrated since."""
    unlisted: tuple[str, ...] = ()
    """What else it was trained on whose digests are not kept: there are too many to ship."""

    def __or__(self, other: RowsSeen) -> RowsSeen:
        uses = [use for use in USES if use in self.shown or use in other.shown]
        names = dict.fromkeys((*self.started_from, *other.started_from))
        return RowsSeen(
            shown={use: self.of(use) | other.of(use) for use in uses},
            started_from=tuple(names),
            training_known=self.training_known and other.training_known,
            unlisted=tuple(dict.fromkeys((*self.unlisted, *other.unlisted))),
        )

    def listing(self, kept: frozenset[int], unlisted: Sequence[str]) -> RowsSeen:
        """A smaller record: of the rows of training the kept ones, and what the others are of."""
        training = self.of("training")
        shown = replace(training, rows=training.rows & kept)
        names = tuple(dict.fromkeys((*self.unlisted, *unlisted)))
        return replace(self.with_use("training", shown), unlisted=names)

    def as_start(self, name: str) -> RowsSeen:
        """The record that a training begins with: what was not known before stays so, by name."""
        if self.training_known:
            return self
        names = dict.fromkeys((*self.started_from, name))
        return replace(self, training_known=True, started_from=tuple(names))

    def of(self, use: Use) -> Shown:
        """The rows of a use."""
        return self.shown.get(use, Shown())

    def with_use(self, use: Use, shown: Shown) -> RowsSeen:
        """The same with other rows of a use: a new calibration takes the place of the last."""
        return replace(self, shown={**self.shown, use: shown})

    def which(
        self, rows: Sequence[int], groups: Sequence[int | None] | None = None
    ) -> dict[Use, list[int]]:
        """Numbers of the rows that were seen, or whose group was, by use.

        Args:
            rows: digests.
            groups: of each row's group, None where it has none; None: none has.
        """
        found: dict[Use, list[int]] = {}
        for use, shown in self.shown.items():
            found[use] = [
                k
                for k, row in enumerate(rows)
                if row in shown.rows or (groups is not None and groups[k] in shown.groups)
            ]
        return found

    def save(self, folder: str | Path) -> None:
        """Write `rows_seen.json` into a folder."""
        saved: dict[str, Any] = {
            "version": _VERSION,
            "training_known": self.training_known,
            "started_from": list(self.started_from),
        }
        if self.unlisted:
            saved["unlisted"] = list(self.unlisted)
        for use, shown in self.shown.items():
            saved[use] = shown.to_dict()
        temporary = Path(folder, f".{FILE}.tmp")  # a file that ends early would make all unknown
        temporary.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
        temporary.replace(Path(folder, FILE))


def load_rows_seen(folder: str | Path) -> RowsSeen | None:
    """What the reader in a folder was shown; None: nothing was written down.

    Raises:
        ValueError: the file is damaged.
    """
    file = Path(folder, FILE)
    if not file.is_file():
        return None
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved["version"] != _VERSION:
            raise ValueError(f"version {saved['version']}")
        shown: dict[Use, Shown] = {}
        for use in USES:
            if use in saved:
                shown[use] = Shown(
                    rows=_unpacked(saved[use]["rows"], saved[use]["num_rows"]),
                    groups=_unpacked(saved[use]["groups"]),
                    splits=tuple(dict(split) for split in saved[use]["splits"]),
                )
        return RowsSeen(
            shown=shown,
            started_from=tuple(map(str, saved["started_from"])),
            training_known=bool(saved["training_known"]),
            unlisted=tuple(map(str, saved.get("unlisted", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} must be what training wrote of the rows that this reader was shown, and is "
            f"not ({error}): copy the reader's folder again; without the file nobody can know"
        ) from error


def start_of(folder: str | Path, name: str) -> RowsSeen:
    """The record that a training on the weights in a folder begins with.

    Args:
        folder: it, or a hub id, of which nothing is known.
        name: what to call it where it carries no record.
    """
    return (load_rows_seen(folder) or RowsSeen(training_known=False)).as_start(name)


def rows_seen_by(model: Any) -> RowsSeen | None:
    """What a model or any part of it was shown; None: no part has a record."""
    records = [
        record
        for module in model.modules()
        if (record := getattr(module, "rows_seen", None)) is not None
    ]
    together = None
    for record in records:
        together = record if together is None else together | record
    return together


def _packed(digests: Iterable[int]) -> str:
    array = np.sort(np.fromiter(digests, dtype="<u8"))
    return base64.b64encode(array.tobytes()).decode("ascii")


def _unpacked(text: str, count: int | None = None) -> frozenset[int]:
    array = np.frombuffer(base64.b64decode(text, validate=True), dtype="<u8")
    if count is not None and len(array) != count:
        raise ValueError(f"{len(array)} digests and not {count}")
    return frozenset(array.tolist())
