"""Ask all exits about videos, one after another: the dense reading that calibration replays."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import torch
from torch import Tensor

from ...engine import run_alone
from ...handle import Handle
from ...source import Source
from ..every_exit import EveryExit


def ask_videos(
    model: Any,
    sources: Iterable[Source],
    gather: Callable[[Handle], Coroutine[Any, Any, dict[str, Tensor]]],
    *,
    min_exit: int = 0,
) -> EveryExit:
    """What all exits say of videos, which all cost alike.

    Args:
        model: with an exit after each step.
        sources: videos; one that cannot be read for all exits, or has too few frames, is left out
            as a fault.
        gather: reads a video as the model's `read` does, by `Groups`, and gives the arguments of
            its `forward`, `pixel_values` `[1, steps, ...]` among them.
        min_exit: see `EveryExit`.

    Raises:
        ValueError: none is left.
    """
    logits: list[Tensor] = []
    rows: list[int] = []
    faults: dict[int, Exception] = {}
    for k, video in enumerate(sources):
        outcome: Any = run_alone(gather, video)
        if outcome.error is not None:  # whatever a source may raise; the others tell enough
            faults[k] = outcome.error
            continue
        arguments = outcome.value
        steps = arguments["pixel_values"].shape[1]
        if steps < model.config.num_exits:
            short = ValueError(f"too short for all {model.config.num_exits} exits: {steps}")
            faults[k] = outcome.fault or short
            continue
        there = {name: value.to(model.device) for name, value in arguments.items()}
        logits.append(model(**there).exit_logits.float().cpu())
        rows.append(k)
    if not logits:
        told = f": {next(iter(faults.values()))}" if faults else ""
        raise ValueError(f"sources must hold a video that can be read, and none can{told}")
    return EveryExit(
        config=model.config,
        logits_NEK=torch.cat(logits),
        sizes_N=torch.ones(len(rows)),
        rows=rows,
        faults=faults,
        min_exit=min_exit,
    )
