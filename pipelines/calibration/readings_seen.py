"""What calibration keeps of its readings, to compare runs with it: no input, only counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import torch

from temporal.auditing.signals import counted, stored
from temporal.models.policy_space import Policy
from temporal.training.calibration import OperatingPoint

from ..auditing.audit import cells_of
from ..reading import Reading


def spread_sample(rows: Sequence[int], most: int, seed: int) -> list[int]:
    """At most so many of the rows, in their order: all alike, wherever they lie in a file."""
    if len(rows) <= most:
        return list(rows)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [rows[k] for k in sorted(order[:most].tolist())]


class ReadingsSeen:
    """How the same inputs were read under some policies."""

    def __init__(self) -> None:
        self._cells: dict[str, list[dict[str, int]]] = {}
        self._answers: dict[str, dict[int, int]] = {}

    def note(self, policy: Policy, readings: Sequence[Reading]) -> None:
        """Take note of readings under a policy, in the order of the inputs."""
        answered = {k: reading for k, reading in enumerate(readings) if reading.classes}
        self._cells[_key(policy)] = [cells_of(reading) for reading in answered.values()]
        self._answers[_key(policy)] = {k: one.classes[0] for k, one in answered.items()}

    def added_to(self, points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
        """Points with what was noted under their policies; the first one reads everything."""
        full = self._answers.get(_key(points[0].policy), {})
        found = []
        for point in points:
            key = _key(point.policy)
            if key in self._cells:
                both = self._answers[key].keys() & full.keys()
                point = replace(
                    point,
                    read_like=stored(counted(self._cells[key])),
                    num_read=len(both),
                    num_differing=sum(self._answers[key][k] != full[k] for k in both),
                )
            found.append(point)
        return found


def _key(policy: Policy) -> str:
    return json.dumps(policy, sort_keys=True)
