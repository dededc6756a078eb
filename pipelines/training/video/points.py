"""Operating points of a trained reader of frames, by clips that it did not learn from.

N clips, E exits, P policies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....data.labelled.groups import grouped_folds
from ....models.every_exit import EveryExit
from ....models.operating_points import set_to
from ....models.policy_space import Policy
from ....policies.halt import CRITERIA
from ....training.calibration import PolicyGrid, frontier, measure
from ....training.policy_grids import replayed_grid
from .fit import Asked
from .frames import Protocol

_LEVELS, _KEPT = 21, 12


def store_points(reader: Any, ask: Callable[[Policy], Asked], labels: Tensor) -> None:
    """Store operating points for `budget=`: balanced accuracy and frames read, without bounds.

    The clips were answered by other readers than this one, or have no copy of each other, or chose
    its checkpoint: they certify nothing, which `temporal calibrate` does.

    Args:
        reader: whose configuration gets them.
        ask: what is said of the clips under a policy.
        labels: of the clips, int64 `[N]`; of several labels nothing is stored.
    """
    if labels.ndim > 1:
        return
    grid = _grid(reader, ask, labels)
    if grid is None:
        return
    counts = torch.bincount(labels).double()
    shares = 1 / (counts[labels] * (counts > 0).sum())
    points = measure(grid.take(frontier(grid, _KEPT)), shares)
    reader.config.operating_points = [point.to_dict() for point in points]


def store_inner_points(
    protocol: Protocol, reader: Any, rows: Sequence[int], groups: Sequence[str], folder: Path
) -> None:
    """Store operating points of the reader of a fold by clips of its training part alone.

    Those that were held out to select its checkpoint; or else, with `inner_folds`, all of them, by
    readers that are trained for it and that have not seen them.

    Args:
        protocol: of the training.
        reader: that learned from these rows.
        rows: of the training part.
        groups: of all clips.
        folder: of the reader, where it is saved again.
    """
    rows, number = sorted(rows), protocol.args.inner_folds
    selected = [] if protocol.convex else protocol.without_selection(rows)[1]
    if selected:
        store_points(
            reader,
            lambda policy: protocol.ask(reader, selected, policy),
            protocol.labels[torch.tensor(selected)],
        )
    elif number:
        of_rows = [protocol.clips[row].label for row in rows], [groups[row] for row in rows]
        parts = grouped_folds(*of_rows, number, protocol.training.seed)
        folds = [[rows[k] for k in part] for part in parts]
        place = None if protocol.convex else folder / "inner"
        readers, _ = protocol.cross_validate(folds, place)
        store_points(
            reader,
            lambda policy: protocol.ask_each(readers, folds, policy),
            protocol.labels[torch.tensor(rows)],
        )
    else:
        return
    protocol.save(reader, folder)


def _grid(reader: Any, ask: Callable[[Policy], Asked], labels: Tensor) -> PolicyGrid | None:
    """What policies did: from one answer of all exits, or from asking under each; None: neither."""
    config = reader.config
    # A criterion of the reader's own is not told by what its exits say: those of all readers are.
    known = {} if getattr(config, "criterion", None) in (None, *CRITERIA) else _by_confidence()
    with set_to(config, **known):
        space = reader.policy_space()
        if space.closed_because is not None:
            return None
        policies = space.policies(num_points=_LEVELS)
        if "thresholds" not in space.full:
            runs = [ask(policy) for policy in policies]
            return PolicyGrid(
                policies=policies,
                losses_PN=torch.stack([run.logits_NK.argmax(-1) != labels for run in runs]),
                costs_PN=torch.stack([run.frames_N for run in runs]).double(),
                cost_unit="frames",
            )
        exits = ask(space.full).exits_NEK
        if exits.shape[1] != config.num_exits or exits.shape[1] < 2:
            return None
        answers = EveryExit(
            config=config,
            logits_NEK=exits,
            sizes_N=torch.ones(len(labels)),
            rows=range(len(labels)),
            min_exit=getattr(config, "min_frames", 1) - 1,
        )
        return replayed_grid(answers, policies, labels, "frames")


def _by_confidence() -> dict[str, Any]:
    return {"criterion": "confidence", "thresholds": None}
