"""Readers reach evidence through the handle: awaited, off the engine's thread, and counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.data import DecodePool, Video, VideoError
from temporal.data.frames import Frames
from temporal.engine import Engine, Outcome, run_alone
from temporal.handle import Handle
from temporal.trace import Cost, View

from .number_source import Numbers


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames of 32 x 48, each of another grey; a keyframe every 10 frames."""
    path = tmp_path_factory.mktemp("films") / "grey.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.gop_size = 10
        stream.options = {"bf": "0", "sc_threshold": "1000000000"}
        for number in range(30):
            image = np.full((32, 48, 3), 8 * number, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(params=["file", "worker"])
def video(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    if request.param == "file":
        yield Video(path)
        return
    with DecodePool(1, 60.0) as pool:
        yield pool.open(path)


def read_with(read: Any, source: Any) -> Outcome:
    outcome = run_alone(read, source)
    assert isinstance(outcome, Outcome)
    if outcome.error is not None:
        raise outcome.error
    return outcome


def test_glance_choose_read(video: Any) -> None:
    async def read(video: Handle) -> list[Any]:
        await video.open()
        motion = await video.motion()
        keys = video.index.keyframes.tolist()
        small = await video.glance(keys, size=(4, 6))
        brightest = keys[int(small.float().mean((1, 2, 3)).argmax())]
        part = await video.read([brightest], size=(8, 8), region=(16, 24, 16, 16))
        return [motion.shape, small.shape, brightest, part.shape, round(part.float().mean().item())]

    outcome = read_with(read, video)
    assert outcome.value[:4] == [(30,), (3, 3, 4, 6), 20, (1, 3, 8, 8)]
    assert abs(outcome.value[4] - 160) < 8
    trace = outcome.trace
    assert trace is not None
    assert (trace.read, trace.skimmed) == ((20,), (0, 10))
    # Three keyframes, decoded for the glance; the read of one of them decodes nothing.
    assert (trace.cost.frames_decoded, trace.cost.frames_glanced) == (3, 3)
    assert trace.cost.bytes_read > 0


def test_what_is_decoded_for_glances_is_told_from_what_is_for_reads(video: Any) -> None:
    async def read(video: Handle) -> None:
        await video.glance([2])  # 0, 1, 2
        await video.read([12])  # 10, 11, 12
        await video.vectors([21])  # 20, 21

    trace = read_with(read, video).trace
    assert trace is not None and (trace.read, trace.skimmed) == ((12,), (2, 21))
    assert (trace.cost.frames_decoded, trace.cost.frames_glanced) == (8, 5)


def test_a_unit_is_in_one_state(path: Path) -> None:
    async def read(video: Handle) -> None:
        await video.glance([3, 1, 2, 1])
        video.note(skimmed=[2])
        await video.read([1])

    trace = read_with(read, Video(path)).trace
    assert trace is not None and (trace.read, trace.skimmed) == ((1,), (2, 3))


def test_motion_alone_decodes_nothing(video: Any) -> None:
    async def read(video: Handle) -> Any:
        return await video.motion()

    outcome = read_with(read, video)
    assert outcome.value.shape == (30,)
    assert outcome.trace is not None and outcome.trace.cost == Cost()


def test_frames_in_memory_answer_the_same_questions() -> None:
    async def read(video: Handle) -> Any:
        video.expect([1, 2])
        small = await video.glance([0, 3], size=(2, 2))
        with pytest.raises(VideoError, match="unsupported_codec"):
            await video.vectors([0])
        return small, await video.motion(), await video.read([3], region=(0, 0, 2, 3))

    frames = np.arange(4 * 6 * 8 * 3, dtype=np.uint8).reshape(4, 6, 8, 3)
    outcome = read_with(read, Frames(frames))
    small, motion, part = outcome.value
    assert small.shape == (2, 3, 2, 2) and motion.tolist() == [1.0] * 4
    assert np.array_equal(part[0].permute(1, 2, 0).numpy(), frames[3, :2, :3])
    assert outcome.trace is not None and outcome.trace.skimmed == (0,)


class Gallery(Numbers):
    """Its glances wait for another's, and say in which thread they were."""

    meeting = threading.Barrier(2, timeout=60)

    def glance(self, units: Sequence[int], *, size: tuple[int, int] = (64, 64)) -> Any:
        self.meeting.wait()
        return threading.current_thread()


def test_a_glance_keeps_no_other_reader_waiting() -> None:
    """In the engine's own thread, the first glance would wait for ever."""

    async def read(source: Handle) -> Any:
        return await source.glance([0])

    sources = [Gallery(k, in_memory=False) for k in range(2)]
    threads = {outcome.value for outcome in Engine(2, num_threads=2).run(read, sources)}
    assert len(threads) == 2 and threading.current_thread() not in threads


def test_what_is_no_source_of_frames_says_so_and_fails_alone() -> None:
    async def read(source: Handle) -> Any:
        source.expect([0])  # nothing keeps it
        return await source.glance([0]) if source.number else 5

    good, bad = Engine(2).run(read, [Numbers(0), Numbers(1)])
    assert good.value == 5
    assert isinstance(bad.error, TypeError)
    assert "glance() needs a source of frames" in str(bad.error)
    assert "source-1" in str(bad.error)


def test_a_failed_glance_is_not_noted(video: Any) -> None:
    async def read(video: Handle) -> str:
        try:
            await video.glance([30])
        except IndexError as error:
            return str(error)
        return "none"

    outcome = read_with(read, video)
    assert "0..29" in outcome.value
    assert outcome.trace is not None and outcome.trace.skimmed == ()


def test_the_trace_tells_at_which_size_and_where_frames_were_seen(video: Any) -> None:
    async def read(video: Handle) -> None:
        await video.glance([0, 10])
        await video.read([10], size=[8, 8], region=(16, 24, 16, 16))
        await video.read([20, 3], size=(8, 12))
        await video.read([4], size=(8, 12))
        await video.peek([5], size=None)
        await video.read([6])  # says nothing of it
        with pytest.raises(IndexError):
            await video.read([30], size=(8, 8))

    trace = read_with(read, video).trace
    assert trace is not None and trace.views == (
        View(units=(0, 10), is_glance=True, size=(64, 64)),
        View(units=(10,), size=(8, 8), region=(16, 24, 16, 16)),
        View(units=(20, 3, 4), size=(8, 12)),
        View(units=(5,)),
    )
