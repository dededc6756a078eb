"""The vectors nearest to a query: all compared, or by an index of FAISS where it is installed.

N vectors of length 1, D width.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INNER_PRODUCT = 0  # faiss.METRIC_INNER_PRODUCT
_BLOCK = 1 << 16  # vectors that are compared at a time


def has_faiss() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def nearest(
    vectors_ND: NDArray[np.float32], query_D: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k largest inner products, compared with all.

    Returns:
        Numbers of the vectors `[min(k, N)]`, the best first, among equals the first; and their
        products.
    """
    blocks = range(0, len(vectors_ND), _BLOCK)
    scores_N = np.concatenate(
        [vectors_ND[k : k + _BLOCK] @ query_D for k in blocks] or [np.zeros(0, np.float32)]
    )
    k = min(k, len(scores_N))
    if k == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    least = np.partition(scores_N, len(scores_N) - k)[len(scores_N) - k]
    near = np.flatnonzero(scores_N >= least)  # more than k, where there are equals
    best = near[np.argsort(-scores_N[near], kind="stable")][:k]
    return best, scores_N[best]


def faiss_index(dataset: Any) -> Any:
    """A dataset of `datasets` with an exact index of inner products over its `embedding`."""
    dataset.add_faiss_index("embedding", string_factory="Flat", metric_type=_INNER_PRODUCT)
    return dataset
