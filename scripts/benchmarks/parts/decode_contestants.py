"""The libraries that `benchmark_decode.py` compares, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import av
import numpy as np

import temporal
from temporal.data import Video

OURS, OURS_WITHIN_A_GOP, OPENING = "temporal", "temporal_within_a_gop", "open_and_index"
OTHERS = ("decord", "decord2", "pyav", "torchcodec")

Read = Callable[[str, Sequence[int], int], Any]
"""Opens a path, reads frames, scaled to a size, and returns them."""


def read_ours(path: str, frames: Sequence[int], size: int) -> Any:
    """`temporal.data.Video`."""
    with Video(path) as video:
        return video.read_array(frames, size=(size, size))


def read_ours_within_a_gop(path: str, frames: Sequence[int], size: int) -> Any:
    """The same, free to take the keyframe that is nearest in time."""
    with Video(path) as video:
        times = video.index.timestamps_seconds[list(frames)]
        gop_seconds = np.diff(video.index.timestamps_seconds[video.index.keyframes]).max(initial=0)
        return video.read_array(video.plan(times, tolerance_seconds=gop_seconds), size=(size, size))


def read_decord(path: str, frames: Sequence[int], size: int) -> Any:
    """`decord.VideoReader.get_batch`, scaled in its decoder."""
    import decord

    return decord.VideoReader(path, width=size, height=size).get_batch(list(frames)).asnumpy()


def read_pyav(path: str, frames: Sequence[int], size: int) -> Any:
    """PyAV as its documentation shows it: seek where it is far, decode on to the frame."""
    found: dict[int, Any] = {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        assert stream.average_rate and stream.time_base
        ticks = 1 / (stream.average_rate * stream.time_base)
        start = stream.start_time or 0
        decoder, at = None, -1
        for frame in sorted(frames):
            if decoder is None or frame - at > 250:
                container.seek(start + round(frame * ticks), stream=stream)
                decoder = container.decode(stream)
            for image in decoder:
                at = round((image.pts - start) / ticks)
                if at >= frame:
                    found[frame] = image.to_ndarray(format="rgb24", width=size, height=size)
                    break
    return [found[frame] for frame in frames]


def read_torchcodec(path: str, frames: Sequence[int], size: int) -> Any:
    """`torchcodec.decoders.VideoDecoder.get_frames_at`, scaled in its decoder, on all cores."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    decoder = VideoDecoder(path, transforms=[Resize((size, size))], num_ffmpeg_threads=0)
    return decoder.get_frames_at(list(frames)).data


def open_ours(path: str, frames: Sequence[int], size: int) -> Any:
    """Opening and the index alone."""
    with Video(path) as video:
        return len(video)


READS: dict[str, Read] = {
    OURS: read_ours,
    OURS_WITHIN_A_GOP: read_ours_within_a_gop,
    OPENING: open_ours,
    "decord": read_decord,
    "decord2": read_decord,
    "pyav": read_pyav,
    "torchcodec": read_torchcodec,
}


class Contestant:
    """A library in a process of its own, which times itself.

    Args:
        name: Key of `READS`.
        package_dir: Directory that comes first on its path; None: nothing does.
    """

    def __init__(self, name: str, package_dir: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(name, package_dir, theirs), daemon=True
        )
        self._process.start()
        self.version: str | None = self._pipe.recv()
        """Of the library; None where it does not work here."""

    def seconds(self, path: str, frames: Sequence[int], size: int) -> float | None:
        """Read once and return how long it took; None where the library fails."""
        self._pipe.send((path, list(frames), size))
        seconds: float | None = self._pipe.recv()
        return seconds

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def _serve(name: str, package_dir: str | None, pipe: Any) -> None:
    if package_dir is not None:
        sys.path.insert(0, os.path.abspath(package_dir))
    pipe.send(_version(name))
    while (task := pipe.recv()) is not None:
        start = time.perf_counter()
        try:
            READS[name](*task)
        except Exception as error:  # every library has its own kinds
            print(f"{name} cannot read {task[0]}: {str(error)[:200]}", file=sys.stderr)
            pipe.send(None)
        else:
            pipe.send(time.perf_counter() - start)


def _version(name: str) -> str | None:
    if name in ("decord", "decord2"):
        import decord

        return str(decord.__version__)
    if name == "torchcodec":
        try:
            import torchcodec.decoders
        except (ImportError, OSError, RuntimeError):  # not there, or FFmpeg is not
            return None
        return str(torchcodec.__version__)
    return av.__version__ if name == "pyav" else temporal.__version__
