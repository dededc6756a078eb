"""In a forked child a pool says that it cannot be used; the child can make one of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from temporal.data import DecodePool

from .isolation import ended, workers

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
]


def in_fork(function: Callable[[], bool]) -> int:
    """Run a function in a forked child; return its exit code: 0 if it returned True."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if function() else 1)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(2)
    try:
        return psutil.Process(child).wait(timeout=30) or 0
    except psutil.TimeoutExpired:  # dead-locked
        os.kill(child, 9)
        os.waitpid(child, 0)
        return 3


def refuses(function: Callable[[], object]) -> bool:
    try:
        function()
    except RuntimeError as error:
        return "after the fork" in str(error)
    return False


def test_a_forked_child_gets_an_error_and_the_parent_goes_on(clips):
    images, _ = clips.truth("h264.mp4")
    with DecodePool(1, 60.0) as pool:
        video, unread = pool.open(clips.path("h264.mp4")), pool.open(clips.path("h264.mkv"))
        had = video.read([4])
        stream = video.stream(0.0)
        next(stream)

        def child() -> bool:
            assert refuses(lambda: video.read([0]))
            assert refuses(lambda: unread.index)
            assert refuses(lambda: pool.open(clips.path("h264.mp4")))
            assert refuses(lambda: next(stream))
            assert refuses(lambda: next(video.stream(0.0)))
            # What needs no worker is there, and nothing that is tidied up here ends the parent's.
            assert video.cost([30]).frames_decoded > 0 and len(video) == 60
            assert np.array_equal(had[0].numpy(), images[4])
            stream.close()
            video.close()
            pool.close()
            return True

        before = workers()
        assert in_fork(child) == 0
        assert workers() == before
        assert np.array_equal(next(stream).image.numpy(), images[1])
        assert np.array_equal(video.read([9])[0].numpy(), images[9])


def test_a_fork_in_the_middle_of_reads_of_other_threads_is_no_dead_lock(clips):
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        len(video)
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                video.read([5, 50])

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            codes = [in_fork(lambda: refuses(lambda: video.read([1]))) for _ in range(20)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert codes == [0] * 20
        assert video.read([1]).shape == (1, 3, 48, 64)


def test_a_forked_child_makes_a_pool_of_its_own(clips):
    images, _ = clips.truth("h264.mp4")

    def child() -> bool:
        with DecodePool(1, 60.0) as pool:
            frames = pool.open(clips.path("h264.mp4")).read([7, 3]).numpy()
            started = psutil.Process().children(recursive=True)
            own = [process for process in started if "spawn_main" in " ".join(process.cmdline())]
        assert own and ended(own)
        return np.array_equal(frames, images[[7, 3]])

    with DecodePool(1, 60.0) as pool:
        pool.open(clips.path("h264.mp4")).read([0])
        assert in_fork(child) == 0
        assert pool.open(clips.path("h264.mp4")).read([1]).shape == (1, 3, 48, 64)


def _use(video):
    sys.exit(0 if refuses(lambda: video.read([0])) else 1)


def _end():
    """As a child that ends by itself does: what multiprocessing does at exit is done, too."""


@pytest.mark.parametrize("has_video", [True, False])
def test_children_of_multiprocessing(clips, has_video):
    context = multiprocessing.get_context("fork")
    with DecodePool(1, 60.0) as pool:
        video = pool.open(clips.path("h264.mp4"))
        video.read([0])
        child = context.Process(target=_use if has_video else _end, args=(video,) * has_video)
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert video.read([1]).shape == (1, 3, 48, 64)


def test_a_child_that_ends_by_itself_leaves_the_workers_alone(clips):
    import subprocess

    script = """
import os, sys
from temporal.data import DecodePool
with DecodePool(1, 60.0) as pool:
    video = pool.open(sys.argv[1])
    video.read([0])
    child = os.fork()
    if child == 0:
        sys.exit(0)  # through the `with` and all that is done at exit
    assert os.waitpid(child, 0)[1] == 0
    video.read([1])
    print("done", flush=True)
"""
    command = [sys.executable, "-c", script, str(clips.path("h264.mp4"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_pools_and_videos_do_not_go_to_other_processes(clips):
    with DecodePool(1, 60.0) as pool:
        for thing in (pool, pool.open(clips.path("h264.mp4"))):
            with pytest.raises(TypeError, match="process"):
                pickle.dumps(thing)
