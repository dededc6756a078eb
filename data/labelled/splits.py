"""How rows are held out, by everyone: the seed, the share, and what stays together."""

from __future__ import annotations

from collections.abc import Iterable

from datasets import Dataset

from .digests import digest_text

DEFAULT_SEED = 42
"""The seed of trainings (that of `transformers.TrainingArguments`), and of whoever looks for the
rows that one held out and is told no other."""
VALIDATION_SHARE = 0.1
"""The share of what is left after calibration, where no rows to validate on are given."""


def hold_out(rows: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split rows into the rest and a held-out share, whole groups together.

    Rows of one `group` (the phrases of one sentence) fall on one side; without groups, rows of the
    same text do, which `plain` decides. With them, a text may be in a group on each side, as 11 of
    IMDb's reviews are in its blocks of ids: joining such groups would make one of nearly all of a
    treebank's, and would change the split that readers were trained by. `without_texts` drops
    those from the rest.
    """
    if not 0 < share < 1:
        raise ValueError(f"share ({share}) must be between 0 and 1")
    if "group" in rows.column_names:
        values = rows["group"]
    else:  # the least of the texts that are the same stands for them
        texts = list(rows["text"])
        first: dict[int, str] = {}
        digests = [digest_text(text) for text in texts]
        for digest, text in zip(digests, texts, strict=True):
            first[digest] = min(first.get(digest, text), text)
        values = [first[digest] for digest in digests]
    keys = sorted(set(values))
    chosen = Dataset.from_dict({"key": keys}).shuffle(seed=seed)["key"][: int(share * len(keys))]
    held = set(chosen)
    flags = [value in held for value in values]
    return (
        rows.select([k for k, flag in enumerate(flags) if not flag]),
        rows.select([k for k, flag in enumerate(flags) if flag]),
    )


def without_texts(rows: Dataset, texts: Iterable[str]) -> Dataset:
    """Drop the rows whose text is one of the texts: what is held out must not be seen."""
    seen = set(map(digest_text, texts))
    kept = [k for k, text in enumerate(rows["text"]) if digest_text(text) not in seen]
    return rows if len(kept) == len(rows) else rows.select(kept)


def held_out_rows(
    rows: Dataset, seed: int, *, calibration_share: float | None, validation_share: float | None
) -> Dataset:
    """The rows that `load_data` kept out of a training, found again; without a share all rows.

    A training takes its calibration rows out first and its validation rows of the rest, so with
    both shares these are the validation rows. Of a `calibration_file` nothing is found.
    """
    if not validation_share:
        return hold_out(rows, calibration_share, seed)[1] if calibration_share else rows
    if calibration_share:
        rows = hold_out(rows, calibration_share, seed)[0]
    return hold_out(rows, validation_share, seed)[1]
