"""Attention and means over packed and padded tokens against each text alone, by the formula."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from temporal.backbones.text import PackedTokens, PaddedTokens

LENGTHS = (5, 5, 2, 7, 1, 5)
HEADS, WIDTH, SCALE = 3, 4, 0.5
CPU = torch.device("cpu")


@pytest.fixture
def texts() -> list[Tensor]:
    """Queries, keys and values of each text: `[3, T, H, d]`."""
    torch.manual_seed(0)
    return [torch.randn(3, length, HEADS, WIDTH) for length in LENGTHS]


def alone(text: Tensor, window: float = math.inf) -> tuple[Tensor, Tensor]:
    """Attention of one text `[T, H, d]`, and the mean attention that each token received `[T]`."""
    query, key, value = text
    places = torch.arange(len(query))
    hidden = (places[:, None] - places).abs() > window
    outputs, shares = [], []
    for head in range(HEADS):
        scores = SCALE * query[:, head] @ key[:, head].T
        shares.append(scores.masked_fill(hidden, -math.inf).softmax(-1))
        outputs.append(shares[-1] @ value[:, head])
    return torch.stack(outputs, 1), torch.stack(shares).mean((0, 1))


def packed_qkv(texts: Sequence[Tensor]) -> list[Tensor]:
    return list(torch.cat(list(texts), 1)[:, None].transpose(2, 3))


def padded_qkv(texts: Sequence[Tensor]) -> list[Tensor]:
    rows = [text.transpose(0, 1) for text in texts]
    return list(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).permute(2, 0, 3, 1, 4))


def padded_tokens(texts: Sequence[Tensor], **options: object) -> PaddedTokens:
    lengths = torch.tensor([text.shape[1] for text in texts])
    return PaddedTokens(torch.arange(int(lengths.max())) < lengths[:, None], **options)  # type: ignore[arg-type]  # as named


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("window", [None, 2])
def test_packed_texts_attend_within_themselves(texts, window, watched) -> None:
    want = [alone(text, math.inf if window is None else window) for text in texts]
    tokens = PackedTokens(LENGTHS, CPU, watched=watched)
    qkv = packed_qkv(texts)
    accelerated = PackedTokens(LENGTHS, CPU, watched=watched)
    for attended in (
        tokens.attend(*qkv, scale=SCALE, window=window),
        accelerated._attend_padded([t.transpose(1, 2) for t in qkv], SCALE, 0.0, window),
    ):
        torch.testing.assert_close(attended[0], torch.cat([out for out, _ in want]))
    if watched:
        received = torch.cat([shares for _, shares in want])
        torch.testing.assert_close(tokens.received[0], received)
        torch.testing.assert_close(accelerated.received[0], received)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("window", [None, 2])
def test_padded_texts_attend_within_themselves(texts, window, watched) -> None:
    tokens = padded_tokens(texts, watched=watched)
    attended = tokens.attend(*padded_qkv(texts), scale=SCALE, window=window)
    for row, text in enumerate(texts):
        out, received = alone(text, math.inf if window is None else window)
        torch.testing.assert_close(attended[row, : len(out)], out)
        if watched:
            torch.testing.assert_close(tokens.received[row, : len(out)], received)


def test_equal_neighbours_attend_as_one_batch() -> None:
    runs = PackedTokens(LENGTHS, CPU).runs
    assert [(run.start, run.stop, count, length) for run, count, length in runs] == [
        (0, 10, 2, 5),
        (10, 12, 1, 2),
        (12, 19, 1, 7),
        (19, 20, 1, 1),
        (20, 25, 1, 5),
    ]


def test_a_window_is_measured_between_places_in_the_text(texts) -> None:
    """Of 7 tokens the first, third and seventh are left: only the first two see each other."""
    text, left = texts[3], [0, 2, 6]
    tokens = PackedTokens([3], CPU, places_1N=torch.tensor([left]))
    attended = tokens.attend(*packed_qkv([text[:, left]]), scale=SCALE, window=2)[0]
    torch.testing.assert_close(attended[:2], alone(text[:, left[:2]])[0])
    torch.testing.assert_close(attended[2], text[2, 6])


def test_a_token_that_weighs_nothing_is_not_seen(texts) -> None:
    text = texts[3]
    weights = torch.tensor([[1.0, 0, 1, 0, 0, 0, 1]])
    left = weights[0].bool()
    tokens = padded_tokens([text], weights_BT=weights)
    attended = tokens.attend(*padded_qkv([text]), scale=SCALE)
    torch.testing.assert_close(attended[0, left], alone(text[:, left])[0])
    hidden = torch.randn(1, 7, 6)
    torch.testing.assert_close(tokens.mean(hidden)[0], hidden[0, left].mean(0))


def test_first_and_mean_of_each_text() -> None:
    hidden = [torch.randn(length, 6) for length in LENGTHS]
    packed = PackedTokens(LENGTHS, CPU)
    padded = packed.padded()
    hidden_1ND = torch.cat(hidden)[None]
    hidden_BTD = packed.pad(hidden_1ND)
    first, mean = torch.stack([h[0] for h in hidden]), torch.stack([h.mean(0) for h in hidden])
    for tokens, values in ((packed, hidden_1ND), (padded, hidden_BTD)):
        torch.testing.assert_close(tokens.first(values), first)
        torch.testing.assert_close(tokens.mean(values), mean)
    assert torch.equal(packed.pack(hidden_BTD), hidden_1ND)
    assert packed.places[0, :8].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
