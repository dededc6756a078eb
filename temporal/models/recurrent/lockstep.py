"""Readers that look at every token, in lock-step: one token of all documents at a time.

B documents, T tokens, H state size, n documents that still have a token, m of these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...handle import Handle
from .readers import RunningPool, first_state, read_cohort

Step = Callable[[Tensor, tuple[Tensor, ...], list[int]], Awaitable[Tensor]]
"""From the next token of n documents, int64 `[n]`, their states, each `[n, H]`, and whose they are
(`rows` of a stage) to where that token was read, bool `[n]`. It changes the states in place."""


async def read_by_steps(reader: Any, documents: Sequence[Handle], step: Step) -> list[Tensor]:
    """The `read` of a reader that looks at every token: by its kernel where that applies, or else.

    Args:
        reader: see the head of `readers`.
        documents: the cohort.
        step: what is done with one token of each document.

    Returns:
        Logits `[K]` of each.
    """
    return await read_cohort(reader, documents, partial(_in_lockstep, reader, step))


async def _in_lockstep(
    reader: Any, step: Step, ids_BT: Tensor, lengths_B: Tensor
) -> tuple[Tensor, Tensor]:
    """`elsewhere` of `read_cohort`."""
    # Longest first: the documents that still have a token are always the first rows.
    order_B = lengths_B.argsort(descending=True, stable=True)
    ids_BT = ids_BT[order_B].to(reader.device)
    owners = order_B.tolist()
    state = first_state(reader, len(owners))
    pool = RunningPool(reader.config.pooling, state[0])
    everyone_B = torch.arange(len(owners), device=reader.device)
    read_BT = torch.zeros(ids_BT.shape, dtype=torch.bool)
    for t in range(ids_BT.shape[1]):
        active = int((lengths_B > t).sum())
        their_state = tuple(part[:active] for part in state)  # views
        reads_n = await step(ids_BT[:active, t], their_state, owners[:active])
        read_BT[:active, t] = reads_n.cpu()
        pool.add(everyone_B[:active], their_state[0], torch.ones_like(everyone_B[:active]))
    pooled_BH = pool.result(lengths_B[order_B])
    back_B = order_B.argsort()
    return pooled_BH[back_B.to(reader.device)], read_BT[back_B]


async def update_chosen(
    cell: Callable[..., Awaitable[tuple[Tensor, ...]]],
    chosen_n: Tensor,
    ids_n: Tensor,
    state: tuple[Tensor, ...],
    owners: list[int],
) -> None:
    """Run a stage on some of the rows of a step, and put their new states in place.

    Args:
        cell: the stage; from ids `[m]` and states `[m, H]` to new states.
        chosen_n: bool `[n]`.
        ids_n, state, owners: as of a `Step`.
    """
    rows_m = chosen_n.nonzero().squeeze(1)
    if not len(rows_m):
        return
    whose = [owners[row] for row in rows_m.tolist()]
    new = await cell(ids_n[rows_m], *(part[rows_m] for part in state), rows=whose)
    for part_nH, new_mH in zip(state, new, strict=True):
        part_nH[rows_m] = new_mH
