"""Laws of `EventReader`: no more is read than needed, faults are told, batches change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import ResNetConfig, ResNetModel

from temporal.engine import Engine
from temporal.models import EventReader
from temporal.trace import Cost

SIDE, PLACES, GOP = 16, 12, 10


class Film:
    """Frames at one a second, a keyframe every ten: grey, and white while an event goes on."""

    unit = "frame"
    in_memory = False

    def __init__(
        self, id: str, events: Sequence[tuple[int, int]] = (), broken: Sequence[int] = ()
    ) -> None:
        count = PLACES * GOP + 1
        self.id, self.events, self.broken = id, events, set(broken)
        self.asked: list[tuple[str, int]] = []
        self.index = SimpleNamespace(
            keyframes=np.arange(0, count, GOP),
            timestamps_seconds=np.arange(count, dtype=np.float64),
            height=SIDE,
            width=SIDE,
        )

    def __len__(self) -> int:
        return len(self.index.timestamps_seconds)

    @property
    def spent(self) -> Cost:
        return Cost(frames_decoded=len(self.asked))

    def cost(self, units: Sequence[int]) -> Cost:
        return Cost(frames_decoded=len(units))

    def motion(self) -> Any:
        return np.ones(len(self), dtype=np.float32)

    def read(self, units: Sequence[int], *, size: tuple[int, int]) -> Tensor:
        return self._pixels("read", units, size)

    def glance(self, units: Sequence[int], *, size: tuple[int, int]) -> Tensor:
        return self._pixels("glance", units, size)

    def _pixels(self, how: str, units: Sequence[int], size: tuple[int, int]) -> Tensor:
        if bad := self.broken.intersection(units):
            raise OSError(f"frame {min(bad)} of {self.id} is broken")
        self.asked += [(how, unit) for unit in units]
        inside = [any(a <= unit < b for a, b in self.events) for unit in units]
        values = torch.tensor([220 if one else 60 for one in inside], dtype=torch.uint8)
        return values[:, None, None, None].expand(-1, 3, *size).contiguous()


@pytest.fixture(scope="module")
def reader() -> EventReader:
    return by_hand(profile_bins=0)


def by_hand(profile_bins: int) -> EventReader:
    """Heads that know white from grey; packets tell nothing."""
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    made: EventReader = EventReader.from_backbone(
        ResNetModel(config),
        id2label={0: "white"},
        label2id={"white": 0},
        image_size=SIDE,
        small_size=8,
        border_seconds=1.0,
        profile_bins=profile_bins,
        small_margin=1.0,
    ).eval()
    with torch.no_grad():
        for level, head in made.heads.items():
            if level == "packets":
                continue
            size = made.size_at("small" if level == "small" else "full")
            grey, white = (
                made._features(torch.full((1, 3, *size), value, dtype=torch.uint8))[0]
                for value in (60, 220)
            )
            apart = white - grey
            width = len(grey)
            any_head: Any = head
            # The mean of two frames: 0 for grey, 1 for white; in between for one of each.
            any_head.linear.weight[0, :width] = 20 * apart / apart.square().sum()
            any_head.linear.bias[0] = -10 - float(any_head.linear.weight[0, :width] @ grey)
    return made


def read(reader: EventReader, *films: Film, batch: int = 1) -> list[Any]:
    with torch.inference_mode():
        return list(Engine(batch, num_threads=1, deterministic=True).run(reader.read, films))


def test_events_are_found_to_the_tolerance(reader: EventReader) -> None:
    film = Film("film", [(23, 58), (84, 97)])
    (outcome,) = read(reader, film)
    assert outcome.error is None and outcome.fault is None
    found = outcome.value
    assert [event.label for event in found.events] == ["white", "white"]
    for event, (start, end) in zip(found.events, film.events, strict=True):
        # Frames are a second apart: the border lies between two of them.
        assert abs(event.start_seconds - start) <= 1 and abs(event.end_seconds - end) <= 1
    assert found.is_complete and found.score > 0.99
    assert found.counts["places"] == found.counts["small"] == PLACES
    assert found.counts["full"] < PLACES


def test_borders_ask_for_no_frame_twice(reader: EventReader) -> None:
    film = Film("film", [(23, 58), (84, 97)])
    (outcome,) = read(reader, film)
    full = [unit for how, unit in film.asked if how == "read"]
    assert len(full) == len(set(full)) == len(outcome.trace.read)


def test_where_a_glance_decides_nothing_none_is_taken(reader: EventReader) -> None:
    film = Film("film", [(23, 58)])
    reader.config.small_margin = None
    try:
        (outcome,) = read(reader, film)
    finally:
        reader.config.small_margin = 1.0
    assert {how for how, _ in film.asked} == {"read"}
    assert outcome.value.counts == {"places": PLACES, "packets": PLACES, "small": 0, "full": PLACES}
    (event,) = outcome.value.events
    assert abs(event.start_seconds - 23) <= 1 and abs(event.end_seconds - 58) <= 1


def test_an_event_begins_where_it_does_though_its_beginning_was_passed_over(
    reader: EventReader,
) -> None:
    class Dim(Film):
        """Small, nothing is seen of the event before its second half."""

        def glance(self, units: Sequence[int], *, size: tuple[int, int]) -> Tensor:
            own, self.events = self.events, [(45, 58)]
            try:
                return super().glance(units, size=size)
            finally:
                self.events = own

    (outcome,) = read(reader, Dim("film", [(23, 58)]))
    (event,) = outcome.value.events
    assert abs(event.start_seconds - 23) <= 1 and abs(event.end_seconds - 58) <= 1
    assert outcome.value.counts["full"] < PLACES


def test_what_small_frames_decide_is_not_read(reader: EventReader) -> None:
    film = Film("quiet")
    (outcome,) = read(reader, film)
    assert outcome.value.events == () and outcome.value.scores["white"] < 0.01
    assert {how for how, _ in film.asked} == {"glance"}
    assert outcome.trace.read == () and len(outcome.trace.skimmed) == PLACES + 1
    assert reader.features.macs_per_row is None or outcome.trace.cost.macs > 0


def test_the_first_certain_event_ends_the_reading(reader: EventReader) -> None:
    film = Film("film", [(0, 121)])
    reader.config.halt = "first"
    try:
        (outcome,) = read(reader, film)
    finally:
        reader.config.halt = "all"
    (event,) = outcome.value.events
    assert not outcome.value.is_complete and event.score > 0.99
    assert outcome.value.counts["full"] == 4 < PLACES  # those that are read together
    assert outcome.trace.halted and outcome.trace.halted_at is not None


def test_a_batch_says_what_each_says_alone(reader: EventReader) -> None:
    events = [[(10, 31)], [], [(55, 90)], [(0, 15), (60, 80)]]
    alone = [read(reader, Film(str(k), own))[0].value for k, own in enumerate(events)]
    together = read(reader, *(Film(str(k), own) for k, own in enumerate(events)), batch=4)
    for one, outcome in zip(alone, together, strict=True):
        assert [(e.start_seconds, e.end_seconds) for e in outcome.value.events] == [
            (e.start_seconds, e.end_seconds) for e in one.events
        ]
        assert outcome.value.score == pytest.approx(one.score, abs=1e-5)


def test_broken_frames_are_told_and_the_rest_is_read(reader: EventReader) -> None:
    (outcome,) = read(reader, Film("film", [(40, 71)], broken=[100]))
    assert outcome.error is None and "frame 100" in str(outcome.fault)
    (event,) = outcome.value.events
    assert event.start_seconds == pytest.approx(40, abs=1)
    (nothing,) = read(reader, Film("gone", broken=range(PLACES * GOP + 1)))
    assert nothing.error is not None and nothing.value is None


def test_a_scan_scores_all_and_tells_what_a_reading_finds(reader: EventReader) -> None:
    film = Film("film", [(20, 51)])
    scored = reader.scored([film, Film("gone", broken=range(PLACES * GOP + 1))])
    assert list(scored.rows) == [0] and list(scored.faults) == [1]
    assert np.isfinite(scored.scores[0].levels).all()
    (told,) = scored.events({"event_threshold": 0.5})
    (outcome,) = read(reader, Film("film", [(20, 51)]))
    assert len(told) == len(outcome.value.events) == 1
    (everything,) = scored.events({"event_threshold": 0.0})
    assert (everything[0].start_seconds, everything[0].end_seconds) == (0, PLACES * GOP)


def test_saving_keeps_all(reader: EventReader, tmp_path: Path) -> None:
    reader.save_pretrained(tmp_path)
    loaded = EventReader.from_pretrained(tmp_path).eval()
    one, other = (read(each, Film("film", [(30, 61)]))[0].value for each in (reader, loaded))
    assert one == other


def test_an_untrained_reader_has_no_opinion(reader: EventReader) -> None:
    config = type(reader.config)(**{**reader.config.to_dict(), "profile_bins": 4})
    made = EventReader(config).eval()
    said = made(profiles=torch.randn(2, 10), features=torch.randn(2, 2, 8), seconds=torch.ones(2))
    assert said.level_logits is not None and set(said.level_logits) == {"packets", "border", "full"}
    assert all(bool((logits == 0).all()) for logits in said.level_logits.values())
    with pytest.raises(ValueError, match="profiles"):
        made(features=torch.randn(2, 2, 8))


def test_policies_are_thresholds_from_the_safest_on(reader: EventReader) -> None:
    policies = reader.policy_space().policies(num_points=5)
    levels = [policy["event_threshold"] for policy in policies]
    assert levels[0] == 0.0 and levels == sorted(levels) and len(levels) == 5
    with pytest.raises(ValueError, match="events:THRESHOLD"):
        reader.set_policy("confidence", 0.5)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.5])
def test_packets_of_another_kind_decide_nothing(shift: float) -> None:
    """In training levels were -2 and -1, give or take a tenth: four tenths off is another kind."""
    film = Film("quiet", [(30, 40)])
    sizes = np.full(len(film), 100 * np.exp(-2.0 + shift))
    sizes[film.index.keyframes] = 100.0
    film.index.packet_bytes = sizes
    made = by_hand(profile_bins=4)
    made.config.packets_margin = 0.1
    head: Any = made.heads["packets"]
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.fill_(-20.0)  # nothing ever happens, by packets
        head.mean[-2:] = torch.tensor([-2.0, np.log(8 * 100 * np.exp(-2.0) / SIDE**2)])
        head.scale[-2:] = 0.1
    (outcome,) = read(made, film)
    is_alike = abs(shift) < 0.4
    assert bool(outcome.value.events) == (not is_alike)
    assert bool(film.asked) == (not is_alike)
