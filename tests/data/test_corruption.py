"""Random damage: no wrong frame without an error, no hang, no crash."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from temporal.data import DecodePool, VideoError

from .zoo.corruption import GOOD, corrupt, make_good
from .zoo.laws import read_what_can_be, strangers
from .zoo.oracle import decode_forward

DEADLINE_SECONDS = 20.0
SEEDS = 300 // len(GOOD)
MANY_SEEDS = 1000 // len(GOOD)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(1, DEADLINE_SECONDS, max_memory_bytes=3 << 30) as pool:
        yield pool


@pytest.mark.parametrize("name", GOOD)
def test_damage_never_gives_another_frame(tmp_path, pool, name):
    _check(make_good(name, tmp_path), pool, range(SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_much_damage_never_gives_another_frame(tmp_path, pool, name):
    _check(make_good(name, tmp_path), pool, range(SEEDS, SEEDS + MANY_SEEDS))


def _check(good: bytes, pool: DecodePool, seeds: range) -> None:
    truth = decode_forward(good)
    read = 0
    for seed in seeds:
        content = corrupt(good, seed)
        video = pool.open(content)
        try:
            len(video)
        except VideoError as error:
            assert error.reason not in ("timeout", "worker_crashed", "oom"), seed
            continue
        had, errors = read_what_can_be(video)
        reasons = {error.reason for error in errors}
        assert not reasons & {"timeout", "worker_crashed", "oom"}, seed
        assert strangers(video.index, had, decode_forward(content), truth) == [], seed
        read += len(had)
    assert read > len(truth) * len(seeds) // 10  # most of what is not damaged is had
