"""Sources in memory that write down what readers ask of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from temporal.engine import Engine, Outcome
from temporal.models import READERS
from temporal.trace import Cost


class Words:
    """A document: token ids in memory."""

    unit = "token"
    in_memory = True
    truncated = False
    spent = Cost()

    def __init__(self, ids: Tensor, id: str = "document") -> None:
        self.ids, self.id = ids, id

    def __len__(self) -> int:
        return len(self.ids)

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost()

    def read(self, units: Sequence[int], **options: Any) -> Tensor:
        return self.ids[list(units)]

    def chunks(self, size: int) -> list[range]:
        return [range(k, min(k + size, len(self))) for k in range(0, len(self), size)]


class Frames:
    """A video whose frames are random by their number; it counts what it was asked for."""

    unit = "frame"
    in_memory = False

    def __init__(
        self,
        num_frames: int,
        id: str = "video",
        *,
        keyframes: Sequence[int] = (),
        broken: Sequence[int] = (),
    ) -> None:
        self.num_frames, self.id, self.broken = num_frames, id, set(broken)
        self.index = SimpleNamespace(keyframes=list(keyframes), height=32, width=32)
        self.asked: list[int] = []
        self.glanced: list[int] = []
        self.sizes: set[Any] = set()

    def __len__(self) -> int:
        return self.num_frames

    @property
    def spent(self) -> Cost:
        decoded, glanced = len(self.asked) + len(self.glanced), len(self.glanced)
        return Cost(frames_decoded=decoded, frames_glanced=glanced)

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost(frames_decoded=len(units))

    def pixels(self, unit: int, size: tuple[int, int]) -> Tensor:
        seed = torch.Generator().manual_seed(1000 * self.num_frames + unit)
        # Mostly one colour, so that frames (and what a backbone says of them) differ.
        colour = torch.randint(0, 192, (3, 1, 1), dtype=torch.uint8, generator=seed)
        return colour + torch.randint(0, 64, (3, *size), dtype=torch.uint8, generator=seed)

    def read(
        self,
        units: Sequence[int],
        *,
        size: tuple[int, int] = (32, 32),
        region: tuple[int, int, int, int] | None = None,
    ) -> Tensor:
        self.sizes.add(size)
        for unit in units:
            if unit in self.broken:
                raise OSError(f"frame {unit} is broken")
            self.asked.append(unit)
        if region is None:
            return torch.stack([self.pixels(unit, size) for unit in units])
        top, left, height, width = region
        assert size == (height, width), "nothing is scaled here"
        whole = torch.stack([self.pixels(unit, (32, 32)) for unit in units])
        return whole[:, :, top : top + height, left : left + width]

    def glance(self, units: Sequence[int], *, size: tuple[int, int] = (64, 64)) -> Tensor:
        for unit in units:
            if unit in self.broken:
                raise OSError(f"frame {unit} is broken")
            self.glanced.append(unit)
        return torch.stack([self.pixels(unit, size) for unit in units])

    def motion(self) -> np.ndarray:
        return np.random.default_rng(self.num_frames).random(self.num_frames, dtype=np.float32)


@pytest.fixture
def words() -> type[Words]:
    return Words


@pytest.fixture
def frames() -> type[Frames]:
    return Frames


@pytest.fixture
def random_words() -> Callable[..., list[Words]]:
    """`random_words(lengths, vocab_size)`: documents of random tokens, none of them padding."""

    def make(lengths: Sequence[int], vocab_size: int = 100) -> list[Words]:
        return [
            Words(torch.randint(3, vocab_size, (length,)), str(k))
            for k, length in enumerate(lengths)
        ]

    return make


@pytest.fixture
def padded() -> Callable[[list[Words]], tuple[Tensor, Tensor]]:
    """`padded(documents) -> (ids, mask)`, both int64 `[B, T]`."""

    def pad(documents: list[Words]) -> tuple[Tensor, Tensor]:
        ids = [doc.ids for doc in documents]
        mask = [torch.ones_like(row) for row in ids]
        pad_sequence = torch.nn.utils.rnn.pad_sequence
        return pad_sequence(ids, batch_first=True), pad_sequence(mask, batch_first=True)

    return pad


@pytest.fixture
def run_plain() -> Callable[..., Tensor]:
    """`run_plain(cell, x_TD, input_layer, hidden_layer)`: torch's own states, `[T, H]`."""

    def run(cell: str, x_TD: Tensor, input_layer: nn.Linear, hidden_layer: nn.Linear) -> Tensor:
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        network = kind(x_TD.shape[1], hidden_layer.in_features, batch_first=True)
        with torch.no_grad():
            network.weight_ih_l0.copy_(input_layer.weight)
            network.weight_hh_l0.copy_(hidden_layer.weight)
            network.bias_ih_l0.copy_(input_layer.bias)
            network.bias_hh_l0.zero_()
            return network(x_TD[None])[0][0]

    return run


@pytest.fixture
def read_all() -> Callable[..., list[Outcome]]:
    """`read_all(reader, items, max_in_flight=8)`: outcomes in input order, none of them failed."""

    def run(reader: Any, items: Sequence[Any], max_in_flight: int = 8) -> list[Outcome]:
        engine = Engine(max_in_flight, deterministic=True)
        outcomes = list(engine.run(reader.read, items))
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        return outcomes

    return run


@pytest.fixture
def plain_logits() -> Callable[[Any, Tensor], Tensor]:
    """`plain_logits(reader, ids)`: torch's own LSTM or GRU on one document, with its weights."""

    @torch.no_grad()
    def run(reader: Any, ids: Tensor) -> Tensor:
        config = reader.config
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[config.cell]
        plain = kind(config.embedding_size, config.hidden_size, batch_first=True)
        plain.weight_ih_l0.copy_(reader.read_input.weight)
        plain.weight_hh_l0.copy_(reader.read_hidden.weight)
        plain.bias_ih_l0.copy_(reader.read_input.bias)
        plain.bias_hh_l0.zero_()
        states_TH = plain(reader.embedding(ids)[None])[0][0]
        pooled = {"last": states_TH[-1], "max": states_TH.amax(0), "mean": states_TH.mean(0)}
        return reader.classifier(pooled[config.pooling])

    return run


_SIZES = {"vocab_size": 100, "embedding_size": 12, "hidden_size": 16}
_OPTIONS: dict[str, dict[str, Any]] = {
    "skim_rnn": {"skim_size": 5},
    "leap_lstm": {"backward_size": 3, "num_filters": 2, "policy_size": 7},
    "hm_rnn": {"num_layers": 3},
    "lstm_jump": {"tokens_between_jumps": 3, "max_jump": 6, "max_jumps": 4},
    "lstm_shuttle": {"tokens_between_jumps": 3, "max_jump": 6, "max_back": 4, "max_jumps": 5},
    "structural_jump_lstm": {
        "agent_size": 5,
        "clause_token_ids": [10, 11, 12, 13, 14],
        "sentence_token_ids": [15, 16, 17, 18],
        "reading_cost": 0.5,
    },
    "jumper": {"tokens_between_decisions": 4, "stop_threshold": 0.6},
}


WALKS = ("lstm_jump", "lstm_shuttle", "structural_jump_lstm", "jumper")
"""Readers that choose their own way through a text."""


@pytest.fixture
def recurrent_reader() -> Callable[..., Any]:
    """`recurrent_reader(name, kernels=True, **config)`: untrained, and its decisions differ.

    From token to token, or from text to text for what stops.
    """

    @torch.no_grad()
    def make(name: str, *, kernels: bool = True, **config: Any) -> Any:
        reader_class: Any = READERS[name]
        settings = {**_SIZES, **_OPTIONS.get(name, {}), **config}
        reader = reader_class(reader_class.config_class(**settings)).eval()
        reader.uses_kernels = kernels
        reader.embedding.weight.mul_(10)
        for part in ("policy", "wait_policy", "skip_policy", "jump_policy"):
            policy = getattr(reader, part, ())
            for layer in [policy] if isinstance(policy, nn.Linear) else policy:
                layer.weight.mul_(3)
        if name in WALKS:  # timid, untrained
            for part, weight in reader.named_parameters():
                if "policy" in part and weight.dim() == 1:
                    weight.zero_()
        if name == "skip_rnn":
            reader.policy.bias.fill_(-1.5)
        if name == "leap_lstm":  # about half
            ids = torch.randint(3, 100, (1, 200))
            known = reader._look_ahead(reader.embedding(ids), torch.ones_like(ids))
            reader.policy.bias -= reader.policy(known.relu()).median(1).values[0]
        return reader

    return make
