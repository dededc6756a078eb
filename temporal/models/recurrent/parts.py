"""Parts that recurrent readers have in common, made one after the other by their `__init__`.

In this order, with a reader's own parts between: seeds then give the same weights again.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ...checks import num_classes
from ...kernels import NUM_GATES
from ...kernels.table_cache import TableCache
from ...stage import Stage
from .class_scores import ClassScores


def make_cell(reader: Any) -> None:
    """Make the `embedding` and the cell that reads a token: `read_input`, `read_hidden`."""
    config = reader.config
    width, size, gates = config.embedding_size, config.hidden_size, NUM_GATES[config.cell]
    reader.embedding = nn.Embedding(config.vocab_size, width)
    reader.read_input = nn.Linear(width, gates * size)
    reader.read_hidden = nn.Linear(size, gates * size, bias=False)


def make_answer(reader: Any, size: int | None = None) -> None:
    """Make `dropout`, and the `classifier` with its stage `classify`.

    Args:
        reader: gets them.
        size: of what the classifier sees; default: a state's.
    """
    config = reader.config
    reader.dropout = nn.Dropout(config.dropout)
    reader.classifier = ClassScores(size or config.hidden_size, num_classes(config))
    reader.classify = Stage(reader.classifier, name="classify")


def make_kernel(reader: Any) -> None:
    """Make the stage `run`, of the reader's `_run`, and the `tables` of its compiled kernel."""
    reader.tables = TableCache()
    reader.run = Stage(reader._run, name="run", pad=True, counts_macs=True)
