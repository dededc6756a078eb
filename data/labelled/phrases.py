"""Phrases inside texts: what is trained on must hold none of what is held out."""

from __future__ import annotations

from collections.abc import Iterable

from datasets import Dataset

from .digests import plain


def leave_out_phrases(rows: Dataset, texts: Iterable[str]) -> Dataset:
    """Drop the rows whose text occurs, word for word, inside one of the texts.

    Phrases of a treebank come from its sentences: those of the sentences that a reader is tested
    or calibrated on must not be trained on.
    """
    seen: set[str] = set()
    for text in texts:
        words = plain(text).split()
        seen.update(
            " ".join(words[start:end])
            for start in range(len(words))
            for end in range(start + 1, len(words) + 1)
        )
    return rows.filter(lambda row: plain(row["text"]) not in seen)
