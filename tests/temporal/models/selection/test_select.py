"""`temporal.select`: which frames it takes, what they cost, and what becomes of odd videos."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

import temporal
from temporal.data import DecodePool, Video, VideoError, evidence
from temporal.data.frames import Frames
from temporal.models.video.motion import _blocks
from temporal.policies.read import uniform
from temporal.policies.select import quantile_frames
from temporal.source import FrameSource

ALL_EVIDENCE = ("packets", "thumbnails", "vectors", "pixels")


def write(
    path: Path, images: Sequence[Any], *, gop: int = 10, times: Sequence[int] | None = None
) -> Path:
    """An MPEG-4 file without frames that look ahead; `times` in 1/25 seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, _ = images[0].shape
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", gop
        stream.bit_rate = 4_000_000
        stream.options = {"bf": "0", "sc_threshold": "1000000000"}
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moving(moves: Sequence[bool]) -> list[Any]:
    """A texture that moves three pixels, and glitters, in the frames that say so."""
    random = np.random.default_rng(0)
    texture = random.integers(60, 190, (16, 24, 3)).repeat(4, 0).repeat(4, 1)
    images, image = [], texture
    for number, moves_now in enumerate(moves):
        if moves_now:
            image = np.roll(texture, 3 * number, 1) + random.integers(0, 120, texture.shape) - 60
        images.append(image)
    return images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def burst(folder: Path) -> Path:
    """100 frames, a keyframe every ten; frames 60 to 79 move, the others stand still."""
    return write(folder / "burst.avi", moving([60 <= k < 80 for k in range(100)]))


@pytest.fixture(scope="module")
def single_gop(folder: Path) -> Path:
    """40 frames after one keyframe, all of which move."""
    return write(folder / "single.avi", moving([True] * 40), gop=600)


@pytest.fixture(params=["file", "worker", "memory"])
def source(request: pytest.FixtureRequest, burst: Path) -> Iterator[FrameSource]:
    if request.param == "memory":
        yield Frames(Video(burst).read(range(100)))
    elif request.param == "file":
        yield Video(burst)
    else:
        with DecodePool(1, 60.0) as pool:
            yield pool.open(burst)


def test_uniform_frames_are_those_that_reading_them_gives(burst: Path) -> None:
    chosen = temporal.select(Video(burst), 8, size=(16, 24))
    video = Video(burst)
    assert chosen.frames == uniform(100, 8) == [6, 18, 31, 43, 56, 68, 81, 93]
    assert chosen.pixels is not None and chosen.pixels.dtype == torch.uint8
    assert torch.equal(chosen.pixels, video.read(chosen.frames, size=(16, 24)))
    assert np.array_equal(chosen.timestamps_seconds, np.array(chosen.frames) / 25)
    assert chosen.scores is None and chosen.faults == ()
    assert chosen.plan == video.cost(chosen.frames)
    assert chosen.cost.frames_decoded == chosen.plan.frames_decoded == 7 + 9 + 2 + 4 + 7 + 9 + 2 + 4
    assert chosen.cost.bytes_read == chosen.plan.bytes_read


def test_nothing_is_decoded_to_choose_by_packets(burst: Path) -> None:
    video = Video(burst)
    for by in ("uniform", "segments", "keyframes", "motion"):
        chosen = temporal.select(video, 8, by=by, read=False)  # type: ignore[arg-type]
        assert chosen.pixels is None and len(chosen.frames) == 8
        assert chosen.cost.frames_decoded == video.spent.frames_decoded == 0
        assert chosen.plan.frames_decoded > 0


def test_packet_motion_is_mgsampler_on_packet_sizes(burst: Path) -> None:
    chosen = temporal.select(Video(burst), 8, by="motion", power=1.0, read=False)
    motion = evidence.packet_motion(Video(burst)).values
    assert chosen.scores is not None and np.allclose(chosen.scores, motion)
    assert chosen.frames == quantile_frames(motion, 8, power=1.0)


@pytest.mark.parametrize("of", ALL_EVIDENCE)
def test_motion_is_where_something_moves(source: FrameSource, of: Any) -> None:
    in_memory = isinstance(source, Frames)
    if in_memory and of in ("packets", "vectors"):
        pytest.skip("frames in memory have no packets")
    chosen = temporal.select(source, 8, by="motion", evidence=of, power=1.0, size=(32, 32))
    in_burst = sum(60 <= frame < 80 for frame in chosen.frames)
    assert in_burst >= 5 > sum(60 <= frame < 80 for frame in uniform(100, 8))
    assert chosen.scores is not None and chosen.scores.shape == (100,)
    glanced = {"packets": 0, "thumbnails": 10, "vectors": 100, "pixels": 100}[of]
    assert chosen.cost.frames_glanced == (0 if in_memory else glanced)
    assert chosen.pixels is not None
    assert torch.equal(chosen.pixels, source.read(chosen.frames, size=(32, 32)))


@pytest.mark.parametrize("of", ALL_EVIDENCE)
def test_a_still_video_is_taken_uniformly(folder: Path, of: Any) -> None:
    still = write(folder / f"still_{of}.avi", [np.full((32, 48, 3), 120)] * 30)
    assert temporal.select(Video(still), 5, by="motion", evidence=of).frames == uniform(30, 5)


def test_thumbnails_of_one_keyframe_tell_nothing_and_cost_nothing(single_gop: Path) -> None:
    chosen = temporal.select(Video(single_gop), 4, by="motion", evidence="thumbnails", read=False)
    assert chosen.frames == uniform(40, 4) and chosen.cost.frames_decoded == 0


def test_keyframes_where_there_are_enough(burst: Path, single_gop: Path) -> None:
    chosen = temporal.select(Video(burst), 5, by="keyframes")
    assert chosen.frames == [10, 30, 50, 70, 90]
    assert chosen.cost.frames_decoded == 5
    # Fewer than are asked for: the cheapest of each segment, all of one decode.
    chosen = temporal.select(Video(single_gop), 4, by="keyframes")
    assert chosen.frames == [0, 10, 20, 30] and chosen.cost.frames_decoded == 31


def test_a_tolerance_takes_what_is_cheaper_and_loses_no_frame(burst: Path) -> None:
    exact = temporal.select(Video(burst), 8)
    near = temporal.select(Video(burst), 8, tolerance_seconds=0.16)  # four frames
    assert near.frames == [10, 20, 30, 40, 60, 70, 80, 90]
    assert len(near.frames) == len(exact.frames)
    assert near.cost.frames_decoded == 8 < exact.cost.frames_decoded
    all_of_it = temporal.select(Video(burst), 60, tolerance_seconds=4.0)
    assert len(set(all_of_it.frames)) == 60


def test_a_seed_draws_and_draws_the_same_again(burst: Path) -> None:
    for by in ("segments", "motion"):
        drawn = [
            temporal.select(Video(burst), 8, by=by, seed=seed, read=False).frames  # type: ignore[arg-type]
            for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
    middles = temporal.select(Video(burst), 8, by="segments", read=False).frames
    assert middles == uniform(100, 8)


def test_scores_of_ones_own(burst: Path) -> None:
    def late(video: FrameSource) -> Any:
        return torch.arange(len(video))

    assert temporal.select(Video(burst), 3, by=late).frames == [97, 98, 99]
    spread = temporal.select(Video(burst), 2, by=late, pick="quantiles", power=1.0)
    assert spread.frames == [50, 86]  # a quarter and three quarters of 4950 lie there

    def bright_keyframes(video: FrameSource) -> Any:
        frames = video.index.keyframes
        return torch.tensor(frames).float(), video.glance(frames, size=(8, 8)).float().mean(
            (1, 2, 3)
        )

    chosen = temporal.select(Video(burst), 3, by=bright_keyframes)
    assert set(chosen.frames) <= set(range(0, 100, 10)) and len(chosen.frames) == 3
    assert chosen.cost.frames_decoded == chosen.cost.frames_glanced == 10  # reads took the shelf
    assert chosen.scores is not None and np.isfinite(chosen.scores).sum() == 10


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ([1.0, 2.0], "100 frames"),
        ([float("nan")] * 100, "finite"),
        (([3, 100], [1.0, 2.0]), r"0\.\.99"),
        (([3], [1.0, 2.0]), "for 1 frames"),
        (([], []), "shape"),
    ],
)
def test_scores_that_are_none_are_refused(burst: Path, said: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        temporal.select(Video(burst), 3, by=lambda video: said)


@pytest.mark.parametrize("by", ["uniform", "segments", "keyframes", "motion"])
@pytest.mark.parametrize("count", [1, 3])
def test_short_videos_give_all_they_have(folder: Path, by: Any, count: int) -> None:
    path = write(folder / f"short_{by}_{count}.avi", moving([True] * count))
    for of in ALL_EVIDENCE if by == "motion" else ("packets",):
        for seed in (None, 3):
            chosen = temporal.select(Video(path), 16, by=by, evidence=of, seed=seed)  # type: ignore[arg-type]
            assert chosen.frames == list(range(count))
            assert chosen.pixels is not None and len(chosen.pixels) == count


def test_times_of_a_variable_rate_are_its_own(folder: Path) -> None:
    times = [0, 1, 2, 3, 50, 51, 52, 100, 150, 200]
    path = write(folder / "variable.avi", moving([True] * 10), times=times)
    with av.open(str(path)) as container:
        truth = [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
    chosen = temporal.select(Video(path), 4, by="motion")
    assert chosen.timestamps_seconds.tolist() == [truth[frame] for frame in chosen.frames]


def test_a_moving_picture(tmp_path: Path) -> None:
    images = [Image.fromarray(image.astype(np.uint8)) for image in moving([True] * 12)]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=40)
    for by in ("uniform", "keyframes", "motion"):
        chosen = temporal.select(Video(file.getvalue()), 4, by=by)  # type: ignore[arg-type]
        assert len(chosen.frames) == 4 and chosen.pixels is not None


def test_blocks_begin_at_keyframes_that_are_near() -> None:
    assert list(_blocks(300, [0, 100, 200])) == [range(300)]
    assert list(_blocks(700, range(0, 700, 100))) == [range(300), range(300, 600), range(600, 700)]
    assert list(_blocks(2500, [0])) == [range(1024), range(1024, 2048), range(2048, 2500)]
    assert list(_blocks(300, range(300))) == [range(256), range(256, 300)]


class Scratched:
    """A video of which some frames cannot be had."""

    def __init__(self, path: Path, broken: Sequence[int]) -> None:
        self._video, self._broken = Video(path), set(broken)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._video, name)

    def __len__(self) -> int:
        return len(self._video)

    def read(self, units: Sequence[int], **options: Any) -> Any:
        self._check(units)
        return self._video.read(units, **options)

    def glance(self, units: Sequence[int], **options: Any) -> Any:
        self._check(units)
        return self._video.glance(units, **options)

    def _check(self, units: Sequence[int]) -> None:
        for unit in units:
            if unit in self._broken:
                raise VideoError("corrupt", f"frame {unit} is scratched")


def test_broken_frames_are_told_and_the_others_read(burst: Path) -> None:
    wanted = uniform(100, 8)
    video: Any = Scratched(burst, [*wanted[:4], wanted[5]])
    chosen = temporal.select(video, 8, size=(16, 16))
    assert chosen.frames == [wanted[4], *wanted[6:]]
    assert len(chosen.timestamps_seconds) == 3 and len(chosen.faults) == 5
    assert chosen.pixels is not None
    assert torch.equal(chosen.pixels, Video(burst).read(chosen.frames, size=(16, 16)))
    with pytest.raises(VideoError, match="scratched"):
        temporal.select(Scratched(burst, range(100)), 8)  # type: ignore[arg-type]


def test_what_cannot_be_seen_moves_as_what_is_around_it(burst: Path) -> None:
    video: Any = Scratched(burst, [70])
    chosen = temporal.select(video, 8, by="motion", evidence="pixels", power=1.0, read=False)
    assert chosen.scores is not None and np.isfinite(chosen.scores).all()
    assert chosen.scores[70] > 10 * chosen.scores[20] and len(chosen.faults) == 1
    # Faults of glances do not use up the patience with reads.
    video = Scratched(burst, [3, 4, 5])
    chosen = temporal.select(video, 8, by="motion", evidence="pixels")
    assert len(chosen.frames) == 8 and len(chosen.faults) == 3


def test_errors_name_what_to_do(burst: Path, tmp_path: Path) -> None:
    for nothing in (str(burst), burst, burst.read_bytes(), io.BytesIO(), [1, 2]):
        with pytest.raises(TypeError, match=r"temporal\.data\.Video\(path\)"):
            temporal.select(nothing)  # type: ignore[arg-type]
    with pytest.raises(VideoError):
        temporal.select(Video(tmp_path / "missing.mp4"))
    video = Video(burst)
    for options, says in (
        ({"num_frames": 0}, "num_frames"),
        ({"num_frames": 2.5}, "num_frames"),
        ({"by": "best"}, "by"),
        ({"by": "motion", "evidence": "sound"}, "evidence"),
        ({"pick": "first"}, "pick"),
        ({"by": "motion", "power": -1.0}, "power"),
        ({"tolerance_seconds": -1.0}, "tolerance_seconds"),
        ({"size": (0, 5)}, "size"),
    ):
        with pytest.raises(ValueError, match=says):
            temporal.select(video, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def long_gops(folder: Path) -> Path:
    """800 frames, a keyframe every hundred: sixteen are far from keyframes, five are few."""
    return write(folder / "long_gops.avi", moving([True] * 800), gop=100)


def test_of_long_gops_keyframes_are_taken(long_gops: Path) -> None:
    for by in ("uniform", "motion"):
        chosen = temporal.select(Video(long_gops), 5, by=by)  # type: ignore[arg-type]
        assert all(frame % 100 == 0 for frame in chosen.frames) and len(set(chosen.frames)) == 5
        assert chosen.cost.frames_decoded == 5
    assert temporal.select(Video(long_gops), 5).frames == [100, 200, 400, 600, 700]  # 80 240 ...
    exact = temporal.select(Video(long_gops), 5, tolerance_seconds=0)
    assert exact.frames == uniform(800, 5) and exact.cost.frames_decoded > 100


def test_no_frame_leaves_its_place_for_a_keyframe(long_gops: Path) -> None:
    chosen = temporal.select(Video(long_gops), 16)  # half of 50 frames is as far as one may go
    want = uniform(800, 16)
    moved = [frame for frame in chosen.frames if frame % 100 == 0]
    assert len(set(chosen.frames)) == 16 and 4 <= len(moved) <= 8
    assert max(abs(a - b) for a, b in zip(chosen.frames, want, strict=True)) <= 25
    drawn = temporal.select(Video(long_gops), 5, by="segments", seed=1)
    assert any(frame % 100 for frame in drawn.frames)  # what is drawn stays as it is
