"""A decoder that remembers: equal to reading everything again, at what the new words cost."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.engine import Engine, Outcome, run_alone
from temporal.memory import Memory
from temporal.packed import Packed

from .toy_decoder import LAYERS, WIDTH, WORDS, Decoder, Prompt, generate_densely

# By hand: a word's products in all layers, those with all words, and those with one cached word.
WORD_MACS = LAYERS * (WIDTH * 3 * WIDTH + WIDTH * WIDTH)
ANSWER_MACS = WIDTH * WORDS
CACHED_MACS = LAYERS * 2 * WIDTH
WRITTEN = LAYERS * 2 * WIDTH  # numbers that are stored for a word


def prompts(count: int = 17) -> list[Prompt]:
    """Prompts of 1 to 11 words that are followed by 3 to 11."""
    chance = torch.Generator().manual_seed(5)
    return [
        Prompt(torch.randint(WORDS, (1 + 3 * k % 11,), generator=chance).tolist(), 3 + k % 9)
        for k in range(count)
    ]


def decoder(**options: Any) -> Decoder:
    torch.manual_seed(3)
    return Decoder(**options).eval()


def assert_same(outcomes: list[Outcome], wanted: list[tuple[list[int], Tensor]]) -> None:
    for outcome, (words, logits) in zip(outcomes, wanted, strict=True):
        assert outcome.error is None, outcome.error
        assert outcome.value[0] == words
        torch.testing.assert_close(outcome.value[1], logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gathers", [False, True])
@pytest.mark.parametrize("sizes", [{}, {"page_size": 1, "num_first": 1}, {"page_size": 3}])
def test_generation_equals_reading_everything_again(gathers: bool, sizes: dict[str, int]) -> None:
    reader = decoder(gathers=gathers, **sizes)
    wanted = [generate_densely(reader, prompt) for prompt in prompts()]
    outcomes = list(Engine(6, deterministic=True).run(reader.read, prompts()))
    assert_same(outcomes, wanted)
    assert reader.step.rows == sum(prompt.num_words for prompt in prompts())
    assert reader.step.calls < reader.step.rows / 4  # rows of different lengths did join
    assert (reader.slots.in_use, reader.slots.peak, reader.slots.pages_in_use) == (0, 6, 0)


@pytest.mark.parametrize("max_in_flight", [1, 4, 17])
def test_joined_rows_of_different_lengths_equal_one_by_one(max_in_flight: int) -> None:
    reader = decoder(page_size=4)
    alone = [run_alone(reader.read, prompt) for prompt in prompts()]
    order = torch.randperm(17, generator=torch.Generator().manual_seed(1)).tolist()
    items = prompts()
    outcomes = list(Engine(max_in_flight).run(reader.read, [items[k] for k in order]))
    for k, outcome in zip(order, outcomes, strict=True):
        one = alone[k]
        assert isinstance(one, Outcome) and outcome.value[0] == one.value[0]
        torch.testing.assert_close(outcome.value[1], one.value[1], rtol=1e-5, atol=1e-5)


def test_the_same_inputs_give_the_same_bits_whichever_slots_they_get() -> None:
    reader = decoder(page_size=2)
    first, second = (
        list(Engine(6, deterministic=True).run(reader.read, prompts())) for _ in range(2)
    )
    assert all(torch.equal(a.value[1], b.value[1]) for a, b in zip(first, second, strict=True))


def test_macs_are_those_of_the_new_words_and_of_attention() -> None:
    reader = decoder()
    for outcome, prompt in zip(Engine(6).run(reader.read, prompts()), prompts(), strict=True):
        length = len(prompt)
        pairs = length * length + sum(length + k for k in range(1, prompt.num_words))
        words = length + prompt.num_words - 1
        assert outcome.trace is not None
        assert outcome.trace.cost.macs == (
            words * WORD_MACS + prompt.num_words * ANSWER_MACS + pairs * CACHED_MACS
        )


def test_a_step_costs_the_same_after_ten_words_and_after_two_hundred_but_for_attention() -> None:
    reader = decoder(page_size=16, num_first=2)
    pool, step = reader.slots, reader.step
    costs = {}
    slots = {length: step.slot() for length in (10, 200)}
    for length, slot in slots.items():
        step.run([step(Packed.of([torch.ones(length, dtype=torch.long)]), slots=slot)],
                 count_macs=True)  # fmt: skip
        before = (pool.elements_read, pool.elements_written)
        _, _, (macs,) = step.run([step(Packed.of([torch.ones(1).long()]), slots=[slot])],
                                 count_macs=True)  # fmt: skip
        read, written = pool.elements_read - before[0], pool.elements_written - before[1]
        costs[length] = (macs, read, written)
    assert [slot.length for slot in slots.values()] == [11, 201]
    # Nothing that is cached is copied, alone or joined, however much that is.
    assert costs[10][1:] == costs[200][1:] == (0, WRITTEN)
    assert costs[200][0] - costs[10][0] == 190 * CACHED_MACS
    before = (pool.elements_read, pool.elements_written)
    calls = [step(Packed.of([torch.ones(1).long()]), slots=slot) for slot in slots.values()]
    step.run(calls, count_macs=True)
    assert (pool.elements_read, pool.elements_written) == (before[0], before[1] + 2 * WRITTEN)


def test_a_function_that_gathers_copies_what_it_attends_to_and_no_padding() -> None:
    reader = decoder(gathers=True, page_size=16)
    pool, step = reader.slots, reader.step
    slots = [step.slot(), step.slot()]
    for slot, length in zip(slots, (3, 40), strict=True):
        call = step(Packed.of([torch.ones(length, dtype=torch.long)]), slots=slot)
        step.run([call], count_macs=False)
    before = pool.elements_read
    calls = [step(Packed.of([torch.ones(1).long()]), slots=slot) for slot in slots]
    step.run(calls, count_macs=False)
    each = (4 + 41) * LAYERS * 2 * WIDTH
    assert pool.elements_read - before == 2 * each  # the toy gathers all rows for each of two


def test_what_is_cached_never_moves_while_rows_and_the_pool_grow() -> None:
    reader = decoder(page_size=2, num_first=1)
    first = reader.step.slot()
    reader.step.run([reader.step(Packed.of([torch.ones(2).long()]), slots=first)], count_macs=False)
    addresses = [t.data_ptr() for t in reader.slots.pages.tensors[0].values()]
    kept = [t[0].clone() for t in reader.slots.pages.tensors[0].values()]
    others = [reader.step.slot() for _ in range(9)]
    for _ in range(5):
        calls = [reader.step(Packed.of([torch.ones(3).long()]), slots=slot) for slot in others]
        reader.step.run(calls, count_macs=False)
    tensors = list(reader.slots.pages.tensors[0].values())
    assert [t.data_ptr() for t in tensors] == addresses
    assert all(torch.equal(t[0], was) for t, was in zip(tensors, kept, strict=True))
    # 1, 1, 2, 4 ... pages: few slabs, each as large as all before it.
    assert reader.slots.pages.starts == [0, 1, 2, 4, 8, 16, 32, 64]
    assert reader.slots.pages_in_use == 1 + 9 * 8


class Bad(Prompt):
    """A prompt whose words are not all words."""


def with_bad_words(reader: Decoder) -> list[int]:
    """Make the stage fail on the word -1, after it has stored the keys of its batch."""
    sizes: list[int] = []
    step = reader.step.fn

    def failing(ids: Packed, *, memory: Memory) -> Tensor:
        sizes.append(len(ids))
        logits = step(Packed(ids.values.clamp(min=0), ids.lengths), memory=memory)
        if (ids.values < 0).any():
            raise FloatingPointError("no such word")
        return logits

    reader.step.fn = failing
    return sizes


def test_a_batch_that_fails_leaves_everybodys_memory_as_it_was() -> None:
    reader = decoder(page_size=2, num_first=1)
    wanted = [generate_densely(reader, prompt) for prompt in prompts(8)]
    sizes = with_bad_words(reader)
    items = prompts(8)
    items[3:3] = [Bad([4, -1], 3)]
    items.append(Bad([-1], 2))

    async def read(prompt: Any) -> Any:
        """Reads its prompt word by word, so that the bad word comes to a batch of old readers."""
        slot = reader.step.slot()
        for unit in range(len(prompt) - 1):
            await reader.step(Packed.of([await prompt.read([unit])]), slots=slot)
        new, words, logits = await prompt.read([len(prompt) - 1]), [], []
        for _ in range(prompt.num_words):
            logits.append((await reader.step(Packed.of([new]), slots=slot))[0])
            new = logits[-1].argmax()[None]
            words.append(int(new))
        return words, torch.stack(logits)

    outcomes = list(Engine(10).run(read, items))
    bad = [outcome for outcome in outcomes if outcome.error is not None]
    assert [outcome.index for outcome in bad] == [3, 9]
    assert_same([outcome for outcome in outcomes if outcome.error is None], wanted)
    assert max(sizes) == 10 and 1 in sizes
    # The errors' tracebacks hold the readers' frames, and these their slots.
    assert (reader.slots.in_use, reader.slots.pages_in_use) == (0, 0)


def test_a_reader_may_go_on_after_a_call_that_failed() -> None:
    reader = decoder(page_size=2)
    good = prompts(3)[2]
    wanted = generate_densely(reader, good)
    with_bad_words(reader)

    async def read(prompt: Any) -> Any:
        slot = reader.step.slot()
        new, words, logits = await prompt.read(range(len(prompt))), [], []
        for _ in range(prompt.num_words):
            with pytest.raises(FloatingPointError):
                await reader.step(Packed.of([torch.tensor([1, -1, 5])]), slots=slot)
            logits.append((await reader.step(Packed.of([new]), slots=slot))[0])
            new = logits[-1].argmax()[None]
            words.append(int(new))
        assert slot.length == len(prompt) + prompt.num_words - 1
        return words, torch.stack(logits)

    assert_same([run_alone(read, good)], [wanted])  # type: ignore[list-item]  # one source, one outcome


def test_two_runs_at_one_time_share_the_pool_and_nothing_else() -> None:
    reader = decoder(page_size=2, num_first=1)
    wanted = [generate_densely(reader, prompt) for prompt in prompts()]
    runs = [Engine(5).run(reader.read, prompts()) for _ in range(2)]
    both = list(zip(*runs, strict=True))
    for run in zip(*both, strict=True):
        assert_same(list(run), wanted)
    assert reader.slots.in_use == 0 and 6 <= reader.slots.peak <= 10


def test_values_of_not_a_number_stay_with_their_reader() -> None:
    reader = decoder(page_size=8)
    wanted = [generate_densely(reader, prompt) for prompt in prompts()]
    nan = torch.nan
    with torch.no_grad():
        reader.places.weight[30:] = nan
    long = [Prompt([1] * 29, 4)]  # its words from the 31st on are none
    outcomes = list(Engine(2).run(reader.read, [*long, *prompts(), *long]))
    assert outcomes[0].value[1][-1].isnan().all()
    assert_same(outcomes[1:-1], wanted)


def test_a_consumer_that_leaves_frees_the_slots() -> None:
    reader = decoder()
    run = Engine(6).run(reader.read, prompts(), order="completed")
    next(run)
    assert reader.slots.in_use >= 5
    run.close()  # type: ignore[attr-defined]  # run() is a generator
    assert (reader.slots.in_use, reader.slots.pages_in_use) == (0, 0)
    run = Engine(6).run(reader.read, prompts(), order="completed")
    next(run)
    del run  # nobody closes it
    gc.collect()
    assert reader.slots.in_use == 0
