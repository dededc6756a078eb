"""Random damage: no wrong frame without an error, no hang, no crash."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from temporal.data import DecodePool, Video, VideoError

from ..zoo.corruption import GOOD, corrupt, make_good
from ..zoo.laws import read_each, read_what_can_be, strangers
from ..zoo.oracle import decode_forward

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


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("mpeg2.mpg", 148),  # a picture that lost its last rows, and no decoder minds
        ("mpeg4.avi", 476),  # a keyframe that says that it is not coded
    ],
)
def test_no_order_of_reading_gives_another_frame(tmp_path, name, seed):
    good = make_good(name, tmp_path)
    content = corrupt(good, seed)
    truth, oracle = decode_forward(good), decode_forward(content)
    count = len(Video(content))
    forward = list(range(count))
    orders = [forward, forward[::-1], random.Random(0).sample(forward, count)]
    for order in orders:
        with Video(content) as video:
            had, errors = read_each(video, order)
            assert {error.reason for error in errors} == {"corrupt"}
            assert len(had) >= 3
            assert strangers(video.index, had, oracle, truth) == []
    with Video(content) as video:
        had, _ = read_what_can_be(video)
        assert strangers(video.index, had, oracle, truth) == []


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
