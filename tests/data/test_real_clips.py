"""Real clips, and copies of their packets in other containers: every frame is the oracle's.

The clips are no part of the project; without them these tests skip.
"""

from __future__ import annotations

import random
from pathlib import Path

import av
import numpy as np
import pytest

from temporal.data import Video, VideoError

from .zoo.oracle import decode_forward

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "videos"
NAMES = sorted(path.name for path in CLIPS.glob("*")) if CLIPS.is_dir() else []
FITS = {
    ".ts": {"h264", "hevc", "mpeg4"},
    ".avi": {"mpeg4"},
    ".mkv": {"h264", "hevc", "mpeg4", "vp9", "av1", "vp8"},
    ".mov": {"h264", "hevc", "mpeg4"},
    ".flv": {"h264"},
}
"""Container -> codecs that its writer takes as they are."""

FORWARD = 90  # frames that the oracle decodes
SAMPLE = 10

pytestmark = pytest.mark.skipif(not NAMES, reason="the real clips are not here")


def _copy(source: Path, target: Path, *, packets: int, start: int = 0) -> bool:
    """Copy packets `start` to `start + packets`; return whether the container takes them."""
    ending = target.suffix
    with av.open(str(source)) as reader:
        stream = reader.streams.best("video")
        if stream.codec_context.codec.canonical_name not in FITS[ending]:
            return False
        with av.open(str(target), "w") as writer:
            copy = writer.add_stream_from_template(stream)
            for number, packet in enumerate(p for p in reader.demux(stream) if p.size):
                if number >= start + packets:
                    break
                if number < start or packet.pts is None or packet.dts is None:
                    continue
                packet.stream = copy
                writer.mux(packet)
    return True


def _check(path: Path, *, seed: int = 0) -> None:
    oracle = decode_forward(path.read_bytes(), max_frames=FORWARD)
    with Video(path) as video:
        count = min(len(oracle), len(video))
        assert count > 0 and len(video) >= count
        known = count - 3 if len(oracle) >= FORWARD else count  # the last may still be reordered
        for frame in random.Random(seed).sample(range(known), min(SAMPLE, known)):
            if video.index.is_ordered:
                assert oracle[frame].seconds == pytest.approx(
                    video.index.timestamps_seconds[frame], abs=1e-6
                )
            try:
                image = video.read([frame])[0].numpy()
            except VideoError:
                assert video.index.fault or "corrupted" in path.name, frame
                continue
            assert np.array_equal(image, oracle[frame].image), frame


@pytest.mark.parametrize("name", NAMES)
def test_real_clips_are_the_oracles(name):
    _check(CLIPS / name)


@pytest.mark.parametrize("ending", FITS)
@pytest.mark.parametrize("name", [name for name in NAMES if "corrupted" not in name])
def test_copies_in_other_containers_are_the_oracles(tmp_path, name, ending):
    path = tmp_path / f"copy{ending}"
    if not _copy(CLIPS / name, path, packets=100):
        pytest.skip("the container does not take this codec")
    _check(path)


@pytest.mark.parametrize("ending", [".ts", ".mkv", ".mov"])
@pytest.mark.parametrize("name", [name for name in NAMES if "corrupted" not in name])
def test_cuts_are_the_oracles(tmp_path, name, ending):
    keys = Video(CLIPS / name).index.packets.is_key
    later = [int(packet) for packet in np.flatnonzero(keys) if packet > 0]
    path = tmp_path / f"cut{ending}"
    if not later or not _copy(CLIPS / name, path, packets=100, start=later[0]):
        pytest.skip("one keyframe only, or the container does not take this codec")
    _check(path)
