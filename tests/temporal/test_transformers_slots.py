"""A decoder of transformers, as it is, over slots: it generates what its own `generate` does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache, GPT2Config, GPT2LMHeadModel
from transformers.cache_utils import CacheLayerMixin

from temporal.engine import Engine, Slots, Stage
from temporal.memory import Memory

from .toy_decoder import WORDS, Prompt


class Layer(CacheLayerMixin):
    """A layer's keys and values, in the memory of a batch's rows rather than in tensors of its own.

    Shapes are transformers': `[B, heads, T, d]`.
    """

    is_sliding = False

    def __init__(self, memory: Memory, number: int) -> None:
        super().__init__()
        self.memory, self.number = memory, number

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self._store("keys", key_states), self._store("values", value_states)

    def _store(self, kind: str, new: Tensor) -> Tensor:
        name = f"{kind}_{self.number}"
        self.memory.write(name, new.transpose(1, 2).flatten(0, 1))
        return self.memory.read(name).padded().transpose(1, 2)

    def lazy_initialization(self, *args: Any) -> None: ...

    def get_mask_sizes(self, *args: Any) -> tuple[int, int]:
        return max(self.memory.positions) + self.memory.counts[0], 0

    def get_seq_length(self) -> int:
        return max(self.memory.positions)

    def get_max_length(self) -> int:
        return -1


class Generator:
    """Reads on greedily with a GPT-2; prompts of one length join, and so do all later steps."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self.model, config = model, model.config
        self.num_layers = config.n_layer
        entry = (config.n_head, config.n_embd // config.n_head)
        names = [f"{kind}_{k}" for kind in ("keys", "values") for k in range(config.n_layer)]
        self.slots = Slots(growing=dict.fromkeys(names, entry), page_size=4, like=model)
        self.step = Stage(self._step, slots=self.slots)

    def _step(self, ids_BT: Tensor, *, memory: Memory) -> Tensor:
        memory.extend(ids_BT.shape[1])
        places_BT = torch.tensor(memory.positions)[:, None] + torch.arange(ids_BT.shape[1])
        seen = torch.arange(max(memory.positions) + ids_BT.shape[1])
        return self.model(
            input_ids=ids_BT,
            position_ids=places_BT,
            past_key_values=Cache(layers=[Layer(memory, k) for k in range(self.num_layers)]),
            attention_mask=(seen <= places_BT[..., None])[:, None],
        ).logits[:, -1]

    async def read(self, prompt: Any) -> list[int]:
        slot = self.step.slot()
        new = (await prompt.read(range(len(prompt))))[None]
        words = []
        for _ in range(prompt.num_words):
            new = (await self.step(new, slots=slot)).argmax(-1)[:, None]
            words.append(int(new))
        return words


def test_a_decoder_of_transformers_generates_what_it_generates_by_itself() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_embd=16, n_head=2, n_positions=64, vocab_size=WORDS,
        bos_token_id=0, eos_token_id=None, pad_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    reader = Generator(model)
    prompts = [Prompt(torch.randint(WORDS, (1 + k % 5,)).tolist(), 3 + k % 6) for k in range(9)]
    answers = set()
    for prompt, outcome in zip(prompts, Engine(4).run(reader.read, prompts), strict=True):
        ids = torch.tensor([prompt.ids])
        whole = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=prompt.num_words,
            do_sample=False,
        )
        assert outcome.error is None, outcome.error
        assert outcome.value == whole[0, len(prompt) :].tolist()
        answers.update(outcome.value)
    assert len(answers) > 5  # it does not say one word alone
    assert reader.step.calls < reader.step.rows / 2 and reader.slots.in_use == 0
