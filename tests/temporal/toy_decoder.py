"""A small decoder with a key-value cache, and the same without one, to test stages that remember.

N tokens of all rows, T of one row, D width, H heads, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from temporal.engine import Slots, Stage
from temporal.memory import Memory
from temporal.packed import Packed
from temporal.trace import Cost

WORDS, WIDTH, HEADS, LAYERS, MOST = 23, 16, 4, 2, 512


class Prompt:
    """A source of token ids; its number says how many words are to follow."""

    unit = "token"
    spent = Cost()
    in_memory = True

    def __init__(self, ids: Sequence[int], num_words: int) -> None:
        self.id, self.ids, self.num_words = f"prompt-{ids}", list(ids), num_words

    def __len__(self) -> int:
        return len(self.ids)

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost()

    def read(self, units: Sequence[int], **options: Any) -> Tensor:
        return torch.tensor([self.ids[unit] for unit in units])


class Decoder(nn.Module):
    """Two layers of causal attention over the words so far, and a product with the words.

    Args:
        gathers: the attention of a row is computed on a copy of what is cached, rather than in
            place.
        **slots: of the pool.
    """

    def __init__(self, *, gathers: bool = False, **slots: Any) -> None:
        super().__init__()
        self.gathers = gathers
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(MOST, WIDTH)
        self.attention = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(LAYERS))
        self.mixing = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        names = [f"{kind}_{layer}" for layer in range(LAYERS) for kind in ("keys", "values")]
        entry = (HEADS, WIDTH // HEADS)
        self.slots = Slots(growing=dict.fromkeys(names, entry), like=self, **slots)
        self.step = Stage(self._step, slots=self.slots, name="step")

    def dense(self, ids: Sequence[int]) -> Tensor:
        """The logits after every word `[T, V]`, from all words anew."""
        hidden_TD = self.words.weight[list(ids)] + self.places.weight[: len(ids)]
        for attention, mixing in zip(self.attention, self.mixing, strict=True):
            query, key, value = (
                part.unflatten(-1, (HEADS, -1)).transpose(0, 1)
                for part in attention(hidden_TD).chunk(3, -1)
            )
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            hidden_TD = hidden_TD + mixing(mixed.transpose(0, 1).flatten(1)).tanh()
        return hidden_TD @ self.words.weight.T

    def _step(self, ids: Packed, *, memory: Memory) -> Tensor:
        """The logits after the last new word of each row `[B, V]`."""
        memory.extend(ids.lengths)
        places = torch.cat(
            [
                torch.arange(start, start + length)
                for start, length in zip(memory.positions, ids.lengths, strict=True)
            ]
        )
        hidden_ND = self.words(ids.values) + self.places(places)
        for layer, (attention, mixing) in enumerate(zip(self.attention, self.mixing, strict=True)):
            queries_NHd, keys_NHd, values_NHd = (
                part.unflatten(-1, (HEADS, -1)) for part in attention(hidden_ND).chunk(3, -1)
            )
            memory.write(f"keys_{layer}", keys_NHd)
            memory.write(f"values_{layer}", Packed(values_NHd, ids.lengths))
            rows = []
            for row, queries_nHd in enumerate(queries_NHd.split(ids.lengths)):
                keys = memory.pieces(f"keys_{layer}", row)
                values = memory.pieces(f"values_{layer}", row)
                if self.gathers:
                    keys = [memory.read(f"keys_{layer}").sequences()[row]]
                    values = [memory.read(f"values_{layer}").sequences()[row]]
                rows.append(attend(queries_nHd, keys, values))
            hidden_ND = hidden_ND + mixing(torch.cat(rows).flatten(1)).tanh()
        last_BD = torch.stack([row[-1] for row in hidden_ND.split(ids.lengths)])
        return last_BD @ self.words.weight.T

    async def read(self, prompt: Any) -> tuple[list[int], Tensor]:
        """The likeliest words after a prompt, and the logits `[W, V]` they were chosen by."""
        slot = self.step.slot()
        new = await prompt.read(range(len(prompt)))
        words, logits = [], []
        for _ in range(prompt.num_words):
            logits_1V = await self.step(Packed.of([new]), slots=slot)
            new = logits_1V.argmax(-1)
            words.append(int(new))
            logits.append(logits_1V[0])
        return words, torch.stack(logits)


def attend(queries_nHd: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Attention of the last n words over pieces that hold all words `[t, H, d]`, in place."""
    scores = [torch.einsum("nhd,thd->hnt", queries_nHd, piece) for piece in keys]
    scores_HnT = torch.cat(scores, -1) / queries_nHd.shape[-1] ** 0.5
    num_new, num_all = scores_HnT.shape[-2:]
    ahead = torch.ones(num_new, num_all, dtype=torch.bool).triu(num_all - num_new + 1)
    weights = scores_HnT.masked_fill(ahead, -torch.inf).softmax(-1)
    parts = weights.split([len(piece) for piece in values], -1)
    mixed = [torch.einsum("hnt,thd->nhd", w, v) for w, v in zip(parts, values, strict=True)]
    return torch.stack(mixed).sum(0)


def generate_densely(decoder: Decoder, prompt: Prompt) -> tuple[list[int], Tensor]:
    """What `Decoder.read` gives, by reading everything again for each word."""
    ids, logits = list(prompt.ids), []
    with torch.no_grad():
        for _ in range(prompt.num_words):
            logits.append(decoder.dense(ids)[-1])
            ids.append(int(logits[-1].argmax()))
    return ids[len(prompt.ids) :], torch.stack(logits)
