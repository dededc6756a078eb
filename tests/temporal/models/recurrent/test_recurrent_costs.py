"""The MACs that a recurrent reader's share is of: the plain network's, counted as a trace's are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from temporal.models import READERS
from temporal.models.recurrent.readers import RecurrentReader

READ_ALL: dict[str, dict[str, Any]] = {
    "lstm_jump": {"tokens_between_jumps": 4096},
    "lstm_shuttle": {"tokens_between_jumps": 4096},
    "jumper": {"stop_threshold": 1.0},
    "adaptive_computation_time": {"halt_threshold": 1.0, "max_steps": 3},
}
MORE = {"leap_lstm", "structural_jump_lstm", "hm_rnn"}
"""They look ahead, ask agents or look down from above, on top of what the plain network does."""
RECURRENT = [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "torch"])
def test_reading_everything_spends_all_of_the_plain_networks_macs(
    kernels, name, random_words
) -> None:
    reader_class: Any = READERS[name]
    config = READ_ALL.get(name, {"read_threshold": 0.0})
    sizes = {"vocab_size": 100, "embedding_size": 64, "hidden_size": 64}
    reader = reader_class(reader_class.config_class(**sizes, **config)).eval()
    reader.uses_kernels = kernels
    if name == "adaptive_computation_time":
        with torch.no_grad():
            reader.policy.bias.fill_(-10)  # so that every token takes all steps
    trace = reader(random_words([50])[0]).trace
    assert trace.share_read == 1
    share = trace.cost.macs / reader.dense_macs(50)
    assert 0.99 < share < (1.5 if name in MORE else 1.1)
