"""Unusual, broken and hostile files: the frame asked for or an error, quickly, and nothing else.

Every file is read in a worker first, under a deadline: one that hangs or kills its process is
found there. Then it is read in this process.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from temporal.data import DecodePool, Video, VideoError

from .zoo import barcode
from .zoo.broken import BROKEN
from .zoo.kind import Kind
from .zoo.laws import Had, number_is, read_each, strangers
from .zoo.making import RATE
from .zoo.oracle import decode_forward
from .zoo.pointing import (
    ADDRESSES,
    NOT_FILES,
    POINTING,
    PORT_VARIABLE,
    SECRET,
    write_secret,
)
from .zoo.unusual import UNUSUAL
from .zoo.watch import Listener, OpenWatch

DEADLINE_SECONDS = 20.0
MEMORY_BYTES = 3 << 30  # address space, most of it libraries
SAMPLE = 24  # frames that are read one by one

# The oracle drops the last frame before a change of size, and so has one frame less.
ORACLE_LOSES = {"size_changes.mpg"}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(1, DEADLINE_SECONDS, max_memory_bytes=MEMORY_BYTES) as pool:
        yield pool


def _named(kinds: tuple[Kind, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds, ids=[kind.name for kind in kinds])


def _sample(count: int) -> list[int]:
    order = random.Random(0).sample(range(count), min(SAMPLE, count))
    return list(dict.fromkeys([*order, count - 1, 0]))


def _open_error(video: object) -> VideoError:
    start = time.monotonic()
    with pytest.raises(VideoError) as caught:
        len(video)  # type: ignore[arg-type]
    assert time.monotonic() - start < DEADLINE_SECONDS
    return caught.value


def test_the_zoo_is_large_and_every_file_is_another():
    names = [kind.name for kind in (*UNUSUAL, *BROKEN, *POINTING, *NOT_FILES)]
    assert len(set(names)) == len(names) >= 60


@_named(UNUSUAL)
def test_unusual_files_are_read_exactly(tmp_path, pool, kind):
    path = tmp_path / kind.name
    kind.make(path)
    oracle = decode_forward(path.read_bytes())
    with Video(path) as video:
        count = len(video)
        assert count == (len(oracle) if kind.frames is None else kind.frames)
        had, errors = read_each(video, _sample(count))
        assert not errors
        _check_numbers(kind, had, [barcode.read(one.image) for one in oracle])
        if kind.name not in ORACLE_LOSES:
            assert strangers(video.index, had, oracle) == []
        whole = video.read(range(count)).numpy() if count < 100 else None
    if whole is not None:
        assert all(np.array_equal(image, whole[frame]) for frame, image in had.items())
    isolated = pool.open(path)
    assert len(isolated) == count
    again, _ = read_each(isolated, list(had)[:5])
    assert all(np.array_equal(image, had[frame]) for frame, image in again.items())


@_named(UNUSUAL)
def test_cost_named_before_is_spent_on_unusual_files(tmp_path, kind):
    path = tmp_path / kind.name
    kind.make(path)
    count = len(Video(path))
    for frames in ([count - 1], sorted({count // 2, count // 3})):
        with Video(path) as video:
            named = video.cost(frames)
            video.read(frames)
            assert video.spent.frames_decoded == named.frames_decoded
            assert video.spent.bytes_read == named.bytes_read


def _check_numbers(kind: Kind, had: Had, oracle: list[int | None]) -> None:
    for frame, image in had.items():
        if kind.first >= 0:
            assert number_is(image, kind.first + frame), frame
        else:
            assert barcode.read(image) == oracle[frame] is not None, frame


@_named(tuple(kind for kind in BROKEN if kind.opens))
def test_broken_files_give_their_frames_or_errors(tmp_path, pool, kind):
    path = tmp_path / kind.name
    kind.make(path)
    isolated = pool.open(path)
    order = _shuffled(len(isolated))
    first_had, _ = read_each(isolated, order)  # no hang, no crash: reasons are checked below
    with Video(path) as video:
        had, errors = read_each(video, order)
        index = video.index
    assert had.keys() == first_had.keys()
    assert {error.reason for error in errors} <= ({kind.reason, "corrupt"} if kind.reason else {""})
    assert len(had) >= (kind.frames or kind.at_least)
    assert strangers(index, had, decode_forward(path.read_bytes())) == []
    if kind.first < 0:
        return  # its times lie: the oracle alone knows
    if 0 in had:
        assert barcode.read(had[0]) in (kind.first, None)
    start = float(index.timestamps_seconds[0])
    for frame, image in had.items():
        # Where frames are lost, those after them keep their time, not their place.
        number = kind.first + round((float(index.timestamps_seconds[frame]) - start) * RATE)
        assert barcode.read(image) in (number, None), frame


def _shuffled(count: int) -> list[int]:
    return random.Random(0).sample(range(count), count)


@_named(tuple(kind for kind in BROKEN if not kind.opens))
def test_broken_files_are_refused_with_their_reason(tmp_path, pool, kind):
    path = tmp_path / kind.name
    kind.make(path)
    assert _open_error(pool.open(path)).reason == kind.reason
    assert _open_error(Video(path)).reason == kind.reason
    assert _open_error(Video(path.read_bytes())).reason == kind.reason


# Pointing elsewhere


class Trap:
    """A folder with a file that nobody may open, and a port that nobody may call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = write_secret(folder)
        self.listener = Listener()
        self.watch = OpenWatch(self.secret)

    def assert_untouched(self) -> None:
        assert self.watch.count() == 0
        assert self.listener.calls == 0


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    if not OpenWatch.is_possible:
        pytest.skip("only Linux tells who opens a file")
    trap = Trap(tmp_path_factory.mktemp("trap"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PORT_VARIABLE, str(trap.listener.port))
        yield trap
    trap.watch.close()
    trap.listener.close()


def test_the_trap_works(trap):
    # A plain decoder follows such a list: if this stops failing, the tests below show nothing.
    path = trap.folder / "control.mp4"
    path.write_text(f"ffconcat version 1.0\nfile {SECRET}\n")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24").transpose(2, 0, 1)
    assert barcode.read(frame) == 200
    assert trap.watch.count() > 0


@_named(POINTING)
def test_nothing_that_a_file_points_to_is_opened(trap, pool, kind):
    path = trap.folder / kind.name
    kind.make(path)
    trap.watch.count()
    content = path.read_bytes()
    for source in (path, content):
        for video in (pool.open(source), Video(source)):
            if kind.opens:  # reads its own data, and not what it points to
                had, _ = read_each(video, range(len(video)))
                assert all(number_is(image, frame) for frame, image in had.items())
            else:
                assert _open_error(video).reason == kind.reason
    trap.assert_untouched()


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_is_followed(trap, address):
    trap.watch.count()
    source = address.format(port=trap.listener.port, here=trap.secret)
    error = _open_error(Video(source))
    assert error.reason == "path_not_allowed"
    trap.assert_untouched()


@_named(NOT_FILES)
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    if kind.name == "to_fifo.mp4":
        NOT_FILES[2].make(tmp_path / "fifo.mp4")
    path = tmp_path / kind.name
    kind.make(path)
    start = time.monotonic()
    assert _open_error(Video(path)).reason == kind.reason
    assert time.monotonic() - start < 1.0
