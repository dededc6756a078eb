"""LSTMShuttle: steps back, what ends the reading, and tokens that are read twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from temporal.models import LSTMShuttle, LSTMShuttleConfig

WAYS = pytest.mark.parametrize("kernels", [True, False], ids=["kernel", "lockstep"])
STOP = 4
"""With `max_back` 4, action 4 + n is a step of n."""


def make(*, kernels: bool = True, **config: Any) -> LSTMShuttle:
    """A reader of blocks of 2 tokens."""
    sizes = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
    options = {"max_back": 4, "max_jump": 6, "tokens_between_jumps": 2}
    reader = LSTMShuttle(LSTMShuttleConfig(**{**sizes, **options, **config})).eval()
    reader.uses_kernels = kernels
    with torch.no_grad():
        reader.embedding.weight.mul_(10)
    return reader


def always(reader: LSTMShuttle, step: int) -> LSTMShuttle:
    """Make it take one step, whatever it read."""
    with torch.no_grad():
        reader.policy.bias.zero_()
        reader.policy.bias[STOP + step] = 100.0
    return reader


@WAYS
@pytest.mark.parametrize(
    ("step", "max_jumps", "read", "halted_at"),
    [
        (0, 9, [0, 1], 1),
        (-1, 9, [0, 1], 1),  # before the beginning: the end of the reading
        (3, 1, [0, 1, 4, 5], 5),
        (6, 9, [0, 1, 7, 8], 8),
    ],
)
def test_where_steps_lead(step, max_jumps, read, halted_at, kernels, words) -> None:
    reader = always(make(kernels=kernels, max_jumps=max_jumps), step)
    trace = reader(words(torch.arange(3, 13))).trace
    assert list(trace.read) == read and not trace.skimmed
    assert trace.halted_at == halted_at


def back_and_forth(reader: LSTMShuttle, words: Any, step_back: int) -> Any:
    """Read tokens 0 1, jump by 6 to 7 8, go back by some steps, and from then on stop.

    The first embedding dimension alone opens the output gate of state 0, which is the policy.
    """
    with torch.no_grad():
        for weight in reader.parameters():
            weight.zero_()
        H = 16
        # Gates: input, forget, cell, output. State 0 is what the last token says, and no more.
        reader.read_input.weight[2 * H, 0] = 1.0  # cell
        reader.read_input.bias[:H] = 30.0
        reader.read_input.bias[H : 2 * H] = -30.0
        reader.read_input.bias[3 * H :] = 30.0
        values = torch.zeros(100)
        values[4], values[11] = 30.0, -30.0  # the last tokens of the first two blocks
        reader.embedding.weight[:, 0] = values
        reader.policy.weight[STOP + 6, 0] = 10.0
        reader.policy.weight[STOP - step_back, 0] = -10.0
        reader.policy.bias[STOP] = 1.0
    return reader(words(torch.arange(3, 13))).trace


@WAYS
def test_it_goes_back_to_what_it_left_out(kernels, words) -> None:
    trace = back_and_forth(make(kernels=kernels), words, 3)
    assert trace.read == (0, 1, 7, 8, 4, 5)  # 3 before 7, where the block began
    assert trace.halted_at == 5


@WAYS
def test_a_token_that_is_read_again_is_read_once_and_paid_twice(kernels, words) -> None:
    trace = back_and_forth(make(kernels=kernels), words, 1)
    assert trace.read == (0, 1, 8, 6, 7)  # 7 in the place of its last reading
    gates, H, D = 4, 16, 12
    token = gates * H * (H if kernels else H + D)
    assert trace.cost.macs == 6 * token + 3 * H * 11 + 2 * H


@WAYS
def test_one_block_for_the_whole_text_is_the_plain_network(
    kernels, random_words, plain_logits
) -> None:
    reader = make(kernels=kernels, tokens_between_jumps=4096)
    for document in random_words((1, 9, 30)):
        want = plain_logits(reader, document.ids)
        torch.testing.assert_close(reader(document).value, want, atol=1e-5, rtol=0)


def test_a_wrong_configuration_names_parameter_value_and_rule() -> None:
    with pytest.raises(Exception, match=r"max_back \(0\) must be between 1"):
        LSTMShuttleConfig(max_back=0)
