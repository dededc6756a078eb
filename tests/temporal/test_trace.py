"""Costs add, and a trace says what it means."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from temporal.trace import Cost, Trace


def test_costs_add_field_by_field() -> None:
    total = Cost(frames_decoded=3, macs=10, decode_seconds=0.5) + Cost(
        frames_decoded=1, bytes_read=7, layers=2, decode_seconds=0.25, model_seconds=1.0
    )
    assert total == Cost(
        frames_decoded=4, bytes_read=7, layers=2, macs=10, decode_seconds=0.75, model_seconds=1.0
    )
    assert Cost() + total == total


def test_shares_are_of_units_read_in_full() -> None:
    trace = Trace(unit="token", units_total=8, read=(0, 5), skimmed=(1, 2, 3, 4))
    assert (trace.units_read, trace.share_read) == (2, 0.25)
    assert Trace(unit="token", units_total=0).share_read == 0.0


@pytest.mark.parametrize(
    ("facts", "halted"),
    [
        ({}, False),
        ({"halted_at": 0}, True),  # over time, at the first unit
        ({"exit": 1, "num_exits": 3}, True),  # over depth
        ({"exit": 2, "num_exits": 3}, False),
        ({"exit": 0}, False),  # of how many is not known
    ],
)
def test_halted_is_over_time_or_over_depth(facts: dict[str, int], halted: bool) -> None:
    assert Trace(unit="frame", units_total=9, **facts).halted is halted  # type: ignore[arg-type]  # ints


def test_a_trace_is_a_record_and_does_not_change() -> None:
    trace = Trace(unit="frame", units_total=9)
    with pytest.raises(FrozenInstanceError):
        trace.units_total = 3  # type: ignore[misc]  # that is the point
