"""Rows that a reader is judged on must be new to it: compare them with what it was shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...data.item import Kind
from ...data.labelled.clips import Clip
from ...data.labelled.digests import digest_bytes, digest_file, digest_part, digest_text
from ...data.labelled.splits import DEFAULT_SEED
from ...data.part import VideoPart
from ...data.tables.times import is_whole
from ...models.rows_seen import USES, RowsSeen, Use, load_rows_seen

_DID = {
    "training": "were trained on",
    "selection": "picked the checkpoint that was kept",
    "calibration": "were calibrated on",
}


class NotNew(ValueError):
    """Rows were shown to the reader that they are to judge, or none is left that was not."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows to judge a reader by, as digests."""

    source: str
    """The file or folder that they are from."""
    rows: Sequence[int]
    groups: Sequence[int | None] | None = None
    """Of the group of each; None: it has none."""
    videos: Sequence[int | None] | None = None
    """Of a part of a video, all of it; None: the row is a whole one."""

    def take(self, kept: Sequence[int]) -> Rows:
        """Some of them, by number."""
        groups, videos = (
            None if others is None else [others[k] for k in kept]
            for others in (self.groups, self.videos)
        )
        return replace(self, rows=[self.rows[k] for k in kept], groups=groups, videos=videos)

    @property
    def shown(self) -> frozenset[int]:
        """What is remembered of them: the rows, and of which videos there were parts."""
        videos = frozenset(map(_of_parts, (one for one in self.videos or () if one is not None)))
        return frozenset(self.rows) | videos

    def which(self, seen: RowsSeen, *, with_groups: bool = True) -> dict[Use, list[int]]:
        """Numbers of the rows that were seen, by use.

        Themselves, what they are parts of, or parts of them; or their groups.
        """
        found = seen.which(self.rows, self.groups if with_groups else None)
        if self.videos is not None:
            pairs = zip(self.rows, self.videos, strict=True)
            others = seen.which([_of_parts(row) if one is None else one for row, one in pairs])
            found = {use: sorted({*own, *others[use]}) for use, own in found.items()}
        return found


def _of_parts(video: int) -> int:
    """What says that parts of a video were shown: no other part of it, but all of it is known."""
    return digest_text(f"parts of {video:016x}")


def rows_of(clips: Sequence[Clip], source: str) -> Rows:
    """Clips as digests, with their groups."""
    return Rows(
        source=source,
        rows=[clip.digest for clip in clips],
        groups=[digest_text(clip.group) if clip.group else None for clip in clips],
        videos=[None if is_whole(clip.part) else clip.file_digest for clip in clips],
    )


def rows_of_inputs(values: Sequence[Any], kind: Kind, source: str) -> Rows:
    """Inputs of a pipeline as digests."""
    if not any(isinstance(one, VideoPart) for one in values):
        return Rows(source=source, rows=[digest_input(one, kind) for one in values])
    known: dict[str, int] = {}  # a file of many parts is read once

    def digest(value: Any) -> int:
        if not isinstance(value, str | os.PathLike):
            return digest_input(value, kind)
        return known.setdefault(str(value), known.get(str(value)) or digest_input(value, kind))

    rows, videos = [], []
    for one in values:
        part = one.part if isinstance(one, VideoPart) else (None, None)
        whole = digest(one.source if isinstance(one, VideoPart) else one)
        rows.append(digest_part(whole, part))
        videos.append(None if is_whole(part) else whole)
    return Rows(source=source, rows=rows, videos=videos)


def digest_input(value: Any, kind: Kind) -> int:
    """The digest of an input: of a text or a pair of them; of a video's file or bytes.

    Of a part of a video, also of its times. What is no file, a URL say, is known by its name.
    """
    if isinstance(value, dict):  # a pair of texts
        return digest_text("\n".join(str(part) for part in value.values()))
    if isinstance(value, VideoPart):
        return digest_part(digest_input(value.source, kind), value.part)
    if isinstance(value, bytes):
        return digest_bytes(value)
    if kind == "video" and Path(value).is_file():
        return digest_file(value)
    return digest_text(str(value))


def seed_of_split(seed: int | None, seen: RowsSeen | None) -> int:
    """The seed that was given, or that of the reader's last training, or the default."""
    if seed is not None:
        return seed
    splits = seen.of("training").splits if seen is not None else ()
    return int(splits[-1].get("seed", DEFAULT_SEED)) if splits else DEFAULT_SEED


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Which rows are left, and what is to be said of them."""

    kept: list[int]
    """Numbers of the rows that may be used."""
    report: dict[str, Any] = field(default_factory=dict)
    """Counts: `used` and how many are `distinct`, `copies` that are not used; `trained_on` and
    `selected_by` (None: not known), `calibrated_on`; `left_out`. And `not_known`: in words, what
    nobody wrote down."""


def keep_unseen(
    model: str,
    rows: Rows,
    *,
    refuse: Sequence[Use] = ("training", "selection"),
    leave_out: bool = False,
    once: bool = False,
) -> Unseen:
    """Compare rows with the record in a saved reader's folder, and say on stderr what is not known.

    Args:
        model: the folder.
        rows: the rows.
        refuse: uses that make a row unfit; of others it is only said how many there are.
        leave_out: leave such rows out rather than refuse.
        once: of rows that are the same take the first: copies would make a bound look certain.

    Raises:
        NotNew: rows are unfit, or none is left.
    """
    seen = load_rows_seen(model) or RowsSeen(training_known=False)
    not_known = _not_known(model, rows, seen)
    for words in not_known:
        print(f"Not known: {words}.", file=sys.stderr)
    found = rows.which(seen)
    unfit = set().union(*(found.get(use, ()) for use in refuse))
    if unfit and not leave_out:
        raise NotNew(refusal(model, rows, seen, refuse))
    fit = _fit(model, rows, unfit)
    kept, distinct = _distinct(rows, fit, once=once)
    counts = {use: len(set(found.get(use, ())).intersection(kept)) for use in USES}
    if counts["calibration"]:
        print(
            f"{counts['calibration']} of {len(kept)} rows are those that {model} was calibrated "
            "on: what is measured on them is no test of its operating points.",
            file=sys.stderr,
        )
    report = {
        "used": len(kept),
        "distinct": distinct,
        "copies": len(fit) - len(kept),
        "trained_on": counts["training"] if seen.training_known else None,
        "selected_by": counts["selection"] if seen.training_known else None,
        "calibrated_on": counts["calibration"],
        "left_out": len(unfit),
        "not_known": not_known,
    }
    return Unseen(kept=kept, report=report)


def _not_known(model: str, rows: Rows, seen: RowsSeen) -> list[str]:
    """What nobody wrote down of a reader's training, in words."""
    told = [f"what {name} was trained on before {model} began" for name in seen.started_from]
    if seen.unlisted:
        told.append(
            f"which of the {len(rows.rows)} rows of {rows.source} are others that {model} was "
            f"trained on, whose digests are not kept: {'; '.join(seen.unlisted)}"
        )
    if not seen.training_known:
        told.append(
            f"whether {model} was trained on any of the {len(rows.rows)} rows of {rows.source}: "
            "nothing was written down (rows_seen.json) when it was"
        )
    return told


def _fit(model: str, rows: Rows, unfit: Collection[int]) -> list[int]:
    """Numbers of the rows that were not seen, of which one must be left."""
    kept = [k for k in range(len(rows.rows)) if k not in unfit]
    if unfit and not kept:
        raise NotNew(
            f"{model}: all {len(rows.rows)} rows of {rows.source} were seen by it, and with "
            "--leave_out_seen none is left: give other data"
        )
    if unfit:
        print(f"Left out {len(unfit)} of {len(rows.rows)} rows that were seen.", file=sys.stderr)
    return kept


def _distinct(rows: Rows, kept: list[int], *, once: bool) -> tuple[list[int], int]:
    """The rows that count, and how many different ones they are, which is said."""
    distinct = len({rows.rows[k] for k in kept})
    if distinct < len(kept):
        told = "each is taken once" if once else "each is counted as often as it is there"
        print(
            f"{len(kept)} rows of {rows.source} are {distinct} different ones: {told}.",
            file=sys.stderr,
        )
    if once:
        first = {rows.rows[k]: k for k in reversed(kept)}
        kept = sorted(first.values())
    return kept, distinct


def refusal(model: str, rows: Rows, seen: RowsSeen, uses: Sequence[Use]) -> str:
    """Why rows are unfit to judge a reader by, and what to do."""
    counts = rows.which(seen, with_groups=False)
    with_groups = rows.which(seen)
    parts = []
    for use in uses:
        same, all_ = len(counts.get(use, ())), len(with_groups.get(use, ()))
        if same:
            parts.append(f"{same} of {len(rows.rows)} rows of {rows.source} {_DID[use]}")
        if all_ > same:
            parts.append(
                f"{all_ - same} of {len(rows.rows)} rows of {rows.source} are of groups whose "
                f"other rows {_DID[use]}"
            )
    step = "other data, such as a test file"
    splits = dict.fromkeys(how_split(split) for split in seen.of("training").splits)
    if splits and any(with_groups.get(use) for use in ("training", "selection")):
        step = f"the rows that the training held out ({'; '.join(splits)}), or other data"
    return (
        f"{model}: {', and '.join(parts)}. What it is judged by must be new to it: give {step}, "
        "or --leave_out_seen to use the others alone."
    )


def how_split(split: dict[str, Any]) -> str:
    """A split in the options that find its held-out rows again."""
    words = [f"{split.get('file', 'a file')}: --seed {split.get('seed', DEFAULT_SEED)}"]
    # Of its two shares the one for calibration; both together find the rows it validated on.
    first = "validation_share" if "calibration_share" not in split else "calibration_share"
    names = (first, "block_column", "group_column")
    words += [f"--{name} {split[name]}" for name in names if name in split]
    words += [f"--{name}" for name in ("train_phrases",) if split.get(name)]
    if "calibration_file" in split:
        words.append(f"of {split['calibration_file']}")
    return " ".join(words)
