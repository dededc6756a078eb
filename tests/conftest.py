"""What every test runs under: one thread, no hub, fixed seeds."""

from __future__ import annotations

import os
import random

# Before anything imports these libraries: they read their environment once. Tests use models that
# a package or a temporary folder holds; one that asks the hub is a mistake and must fail at once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy
import pytest
import torch

# A sum split over threads rounds differently with their number, and the tests compare bits.
# torch's deterministic mode stays off: users do not set it, and the laws must hold for them.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_seeds() -> None:
    """Start every test from the same random state, whichever tests ran before it."""
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
