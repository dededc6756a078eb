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

from ..zoo.laws import read_each, strangers
from ..zoo.oracle import decode_forward

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "videos"
NAMES = sorted(path.name for path in CLIPS.glob("*")) if CLIPS.is_dir() else []
FITS = {
    ".ts": {"h264", "hevc", "mpeg4"},
    ".avi": {"mpeg4"},
    ".mkv": {"h264", "hevc", "mpeg4", "vp9", "vp8"},
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
            copied = 0
            for number, packet in enumerate(p for p in reader.demux(stream) if p.size):
                if number >= start + packets:
                    break
                if number < start:
                    continue
                if packet.pts is None or packet.dts is None:
                    if number == start:
                        return False  # the keyframe cannot be written, and all others need it
                    continue
                packet.stream = copy
                writer.mux(packet)
                copied += 1
    return copied > 9  # fewer, where packets have no decoding times


def _check(path: Path) -> None:
    oracle = decode_forward(path.read_bytes(), max_frames=FORWARD)
    with Video(path) as video:
        count = min(len(oracle), len(video))
        assert count > 0
        known = count - 3 if len(oracle) >= FORWARD else count  # the last may still be reordered
        picks = random.Random(0).sample(range(known), min(SAMPLE, known))
        had, errors = read_each(video, picks)
        assert not errors or video.index.fault or "corrupted" in path.name
        assert len(had) >= len(picks) // 2
        assert all(image.shape == oracle[0].image.shape for image in had.values())
        assert strangers(video.index, had, oracle) == []


@pytest.mark.parametrize("name", NAMES)
def test_real_clips_are_the_oracles(name):
    _check(CLIPS / name)


@pytest.mark.parametrize("name", NAMES)
def test_all_at_once_is_one_by_one(name):
    with Video(CLIPS / name, num_threads=1) as alone, Video(CLIPS / name, num_threads=2) as video:
        count = min(FORWARD, len(video))
        had, _ = read_each(alone, range(0, count, 3))
        images = video.read(list(had), size=None).numpy()
        assert all(np.array_equal(*pair) for pair in zip(images, had.values(), strict=True))


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
@pytest.mark.parametrize("name", NAMES)
def test_other_decoders_are_right_where_they_read(name, backend):
    pytest.importorskip(backend)
    with Video(CLIPS / name, backend=backend) as video, Video(CLIPS / name) as ours:
        if video.backend == "pyav":
            pytest.skip("only PyAV may read it")
        frames = random.Random(0).sample(range(len(video)), min(6, len(video)))
        try:
            images = video.read(frames).numpy().astype(int)
        except VideoError:
            assert "corrupted" in name
            return
        assert np.abs(images - ours.read(frames).numpy()).max() <= 2


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
