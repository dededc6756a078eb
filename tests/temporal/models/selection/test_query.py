"""Frames for a question: what is scored, what is chosen, what it costs, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import temporal
from temporal.data import DecodePool, Video, VideoError
from temporal.data.frames import Frames
from temporal.models.selection.image_text import ImageText
from temporal.models.selection.looking import beside, num_looks
from temporal.policies.select import top_k

from .small_image_text import QUERY, SIDE, brightness, film, make, save

LIT = range(1200, 1400)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 seconds at 20 a second, a keyframe a second; bright from 60 to 70."""
    return film(tmp_path_factory.mktemp("night") / "night.avi", 2000, LIT, gop=20, rate=20)


@pytest.fixture(scope="module")
def scorer() -> ImageText:
    model, processor = make()
    return ImageText(model, processor.tokenizer, processor.image_processor)


def in_light(frames: list[int]) -> int:
    return sum(frame in LIT for frame in frames)


class Counted:
    """A question that needs no model, and notes what it was asked."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        assert frames.dtype == torch.uint8
        self.shapes.append(tuple(frames.shape))
        return brightness(frames)


@pytest.mark.parametrize("pick", ["quantiles", "top", "adaptive"])
def test_few_scores_find_what_fits(night: Path, pick: Any) -> None:
    bright = Counted()
    chosen = temporal.select(Video(night), 8, model=bright, pick=pick, size=(24, 32))
    assert in_light(chosen.frames) >= {"quantiles": 6, "top": 8, "adaptive": 4}[pick]
    assert chosen.frames_scored == sum(shape[0] for shape in bright.shapes) <= 5  # of 100 seconds
    assert all(shape[1:] == (3, 24, 32) for shape in bright.shapes)
    assert chosen.scores is not None
    known = np.flatnonzero(np.isfinite(chosen.scores))
    assert len(known) == chosen.frames_scored and known[0] % 20 == known[-1] % 20 == 0  # keyframes
    assert in_light(known.tolist()) >= 1
    # Of a hundred keyframes 16 all over it and those in the light were decoded, once each.
    assert 16 < chosen.cost.frames_glanced == chosen.cost.frames_decoded <= 32
    assert chosen.cost.model_seconds > 0 and chosen.seconds > chosen.cost.model_seconds
    assert chosen.pixels is not None
    assert torch.equal(chosen.pixels, Video(night).read(chosen.frames, size=(24, 32)))


def test_scores_end_when_the_best_are_known(night: Path) -> None:
    chosen = temporal.select(
        Video(night), 4, model=brightness, max_scored=40, pick="top", read=False
    )
    assert in_light(chosen.frames) == 4 and chosen.frames_scored <= 40
    assert chosen.scores is not None and in_light(np.flatnonzero(chosen.scores > 0.5).tolist()) >= 4


def test_all_scores_are_those_of_the_model(night: Path, scorer: ImageText) -> None:
    """With as many scores as candidates nothing is guessed: the best are the best."""
    video = Video(night)
    chosen = temporal.select(video, 8, query=QUERY, model=scorer, pick="top", max_scored=10**6)
    keyframes = [int(frame) for frame in video.index.keyframes]
    assert chosen.frames_scored == 100
    text = scorer.text_vector(QUERY)
    frames = video.read(keyframes, size=scorer.look_size(48, 64))
    fits = scorer.frame_vectors(frames) @ text
    assert chosen.frames == [keyframes[at] for at in top_k(fits, 8)]
    assert chosen.scores is not None and np.allclose(chosen.scores[keyframes], fits)


@pytest.mark.parametrize("family", ["CLIP", "SigLIP"])
def test_scores_are_the_cosines_of_transformers(night: Path, tmp_path: Path, family: str) -> None:
    folder = save(tmp_path, family)
    model, processor = make(family)
    video = Video(night)
    chosen = temporal.select(video, 3, query=QUERY, model=folder, max_scored=6, read=False)
    assert chosen.scores is not None
    known = np.flatnonzero(np.isfinite(chosen.scores)).tolist()
    size = {"CLIP": (32, 43), "SigLIP": (32, 32)}[family]  # its short edge, or both
    frames = video.read(known, size=size).permute(0, 2, 3, 1).numpy()
    images = processor.image_processor([Image.fromarray(one) for one in frames])
    padding: Any = "max_length" if family == "SigLIP" else True
    texts = processor.tokenizer(
        [QUERY], padding=padding, max_length=64, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        out = model(
            input_ids=texts["input_ids"],
            pixel_values=torch.tensor(np.stack(images["pixel_values"])),
            attention_mask=texts["attention_mask"],
        )
    want = torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds)
    assert np.allclose(chosen.scores[known], want, atol=1e-5)
    # A loaded model and its processor say the same.
    again = temporal.select(
        Video(night), 3, query=QUERY, model=model, processor=processor, max_scored=6, read=False
    )
    assert again.frames == chosen.frames
    assert np.allclose(again.scores[known], want, atol=1e-5)  # type: ignore[index]


def test_fit_and_differ(night: Path, scorer: ImageText) -> None:
    chosen = temporal.select(
        Video(night), 6, query=QUERY, model=scorer, pick="log_det", max_scored=20
    )
    assert len(chosen.frames) == 6 and chosen.scores is not None
    assert np.isfinite(chosen.scores[chosen.frames]).all()  # only those that were scored
    assert 0 < in_light(chosen.frames) < 6


def test_flat_scores_are_uniform(night: Path) -> None:
    def nothing(frames: torch.Tensor) -> list[float]:
        return [0.3] * len(frames)

    for pick in ("quantiles", "adaptive", "routed"):
        chosen = temporal.select(Video(night), 10, model=nothing, pick=pick)  # type: ignore[arg-type]
        assert np.ptp(np.diff(chosen.frames)) <= 20 and 0 < chosen.frames[0] < 200


def test_frames_that_differ_need_no_question(night: Path, scorer: ImageText) -> None:
    for model in (None, scorer):
        chosen = temporal.select(Video(night), 4, by="diverse", model=model)
        assert 1 <= in_light(chosen.frames) <= 3 and len(chosen.frames) == 4
        assert chosen.frames_scored == (0 if model is None else 8)
        assert chosen.scores is None
    less = temporal.select(Video(night), 4, by="diverse", model=scorer, max_scored=4)
    assert less.frames_scored == 4


def test_every_source_of_frames(night: Path) -> None:
    from_file = temporal.select(Video(night), 5, model=brightness, pick="top", size=(48, 64))
    keyframes = [int(frame) for frame in Video(night).index.keyframes]
    with DecodePool(1, 60.0) as pool:
        worker = temporal.select(pool.open(night), 5, model=brightness, pick="top", size=(48, 64))
    assert worker.frames == from_file.frames and worker.frames_scored == from_file.frames_scored
    memory = Frames(Video(night).read(keyframes), frames_per_second=1.0)
    held = temporal.select(memory, 5, model=brightness, pick="top", size=(48, 64))
    assert in_light([keyframes[at] for at in held.frames]) == 5 == in_light(from_file.frames)


@pytest.mark.parametrize("count", [1, 3])
def test_short_films_give_all_they_have(tmp_path: Path, count: int, scorer: ImageText) -> None:
    path = film(tmp_path / "short.avi", count, range(1))
    for options in (
        {"model": brightness},
        {"query": QUERY, "model": scorer, "pick": "log_det"},
        {"query": QUERY, "model": scorer, "max_scored": 1},
        {"by": "diverse"},
        {"by": "diverse", "model": scorer},
    ):
        chosen = temporal.select(Video(path), 16, **options)  # type: ignore[arg-type]
        assert chosen.frames == list(range(count))


class Scratched(Video):
    """A film of which some frames cannot be had."""

    broken: set[int] = set()

    def glance(self, units: Any, **options: Any) -> Any:
        self._check_scratches(units)
        return super().glance(units, **options)

    def read(self, units: Any, **options: Any) -> Any:
        self._check_scratches(units)
        return super().read(units, **options)

    def _check_scratches(self, units: Any) -> None:
        if self.broken.intersection(units):
            raise VideoError("corrupt", "it is scratched")


def test_what_cannot_be_seen_is_left_out_and_told(night: Path) -> None:
    video = Scratched(night)
    video.broken = {60, 180}  # two of the sixteen that are looked at first
    chosen = temporal.select(video, 8, model=brightness, pick="top")
    assert len(chosen.frames) == 8 == in_light(chosen.frames) and len(chosen.faults) == 2
    video.broken = set(range(2000))
    with pytest.raises(VideoError, match="scratched"):
        temporal.select(video, 8, model=brightness)


def test_errors_name_what_to_do(night: Path, tmp_path: Path, scorer: ImageText) -> None:
    model, processor = make()
    for options, says in (
        ({"query": QUERY}, "model="),
        ({"by": "query"}, "query="),
        ({"by": "query", "model": scorer}, "query="),
        ({"query": "  ", "model": scorer}, "query"),
        ({"query": QUERY, "model": scorer, "by": "motion"}, "by='query'"),
        ({"model": scorer}, "by='query'"),
        ({"query": QUERY, "model": model}, "processor="),
        ({"query": QUERY, "model": brightness}, "function"),
        ({"query": QUERY, "model": torch.nn.Linear(2, 2), "processor": processor}, "vector"),
        ({"by": "diverse", "model": brightness}, "vectors"),
        ({"by": "diverse", "query": QUERY, "model": scorer}, "by='query'"),
        ({"model": brightness, "pick": "log_det"}, "vectors"),
        ({"query": QUERY, "model": scorer, "pick": "log_det", "max_scored": 3}, "max_scored"),
        ({"query": QUERY, "model": scorer, "max_scored": 0}, "max_scored"),
        ({"by": "motion", "pick": "adaptive"}, "pick"),
        ({"model": lambda frames: [1.0]}, "one finite number"),
        ({"model": lambda frames: [float("nan")] * len(frames)}, "finite"),
        ({"pairs": True, "num_frames": 7}, "multiple of 2"),
        ({"pairs": -1}, "pairs"),
    ):
        with pytest.raises(ValueError, match=says):
            temporal.select(Video(night), **{"num_frames": 4, **options})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model"):
        temporal.select(Video(night), query=QUERY, model=3)
    with pytest.raises(OSError):
        temporal.select(Video(night), query=QUERY, model=str(tmp_path / "none"))


def test_pairs_are_neighbours(night: Path) -> None:
    plain = temporal.select(Video(night), 4, read=False, tolerance_seconds=0)
    pairs = temporal.select(Video(night), 8, pairs=True, size=(SIDE, SIDE))
    assert pairs.frames == [frame + step for frame in plain.frames for step in (0, 1)]
    assert pairs.pixels is not None and len(pairs.pixels) == 8
    three = temporal.select(Video(night), 6, model=brightness, pairs=3, read=False)
    assert np.diff(three.frames).tolist()[:2] == [1, 1] and len(three.frames) == 6


def test_closer_looks_lie_beside_what_is_best() -> None:
    of = list(range(0, 90, 10))
    assert beside([40], [0, 40, 80], of) == [20, 60]
    assert beside([0], [0, 40, 80], of) == [20]
    assert beside([40, 80], [0, 40, 80], of) == [20, 60]
    assert beside([40], of, of) == []


def test_a_long_film_is_looked_at_in_part(tmp_path: Path) -> None:
    """Of ten minutes with a keyframe a second, one in ten is looked at, mostly where it is lit."""
    path = film(tmp_path / "long.avi", 1200, range(700, 760), gop=2, rate=2)
    chosen = temporal.select(Video(path), 8, model=brightness, size=(16, 16))
    assert chosen.frames_scored <= 30 and 30 <= chosen.cost.frames_glanced <= 60
    assert sum(700 <= frame < 760 for frame in chosen.frames) >= 6  # uniform: one, at most


def test_the_best_are_looked_beside_first() -> None:
    of = list(range(0, 90, 10))
    assert beside([80, 40], [0, 40, 80], of, 1) == [60]
    assert beside([40, 0], [0, 40, 80], of, 2) == [20, 60]
    assert beside([20, 70], [20, 70], of, 4) == [0, 40, 80]  # and before the first one, and after


@pytest.mark.parametrize(
    ("num_candidates", "num_scores", "num_wanted", "want"),
    [
        (600, 30, 16, (32, 64)),  # many: as many as are wanted say
        (600, 30, 4, (30, 60)),  # or as may be scored
        (60, 24, 16, (16, 24)),  # keyframes far apart
        (60, 40, 16, (16, 40)),
        (60, 12, 2, (12, 24)),
        (60, 24, 50, (50, 60)),
        (10, 4, 16, (10, 10)),
    ],
)
def test_few_candidates_are_looked_at_in_part(
    num_candidates: int, num_scores: int, num_wanted: int, want: tuple[int, int]
) -> None:
    assert num_looks(num_candidates, num_scores, num_wanted) == want


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes with a keyframe every ten seconds, the 30th to the 39th bright."""
    path = tmp_path_factory.mktemp("sparse") / "sparse.avi"
    return film(path, 2400, range(1200, 1600), gop=40, rate=4)


@pytest.mark.parametrize("pick", ["quantiles", "top"])
def test_keyframes_far_apart_are_decoded_once(sparse: Path, pick: Any) -> None:
    """Frames that are taken are there already, and are more than half of all that is decoded."""
    chosen = temporal.select(Video(sparse), 16, model=brightness, pick=pick, size=(24, 32))
    assert len(chosen.frames) == 16 and all(frame % 40 == 0 for frame in chosen.frames)
    assert chosen.frames_scored <= 24
    assert chosen.cost.frames_decoded == chosen.cost.frames_glanced <= 24
    assert sum(1200 <= frame < 1600 for frame in chosen.frames) >= 8  # uniform: two or three
    assert chosen.pixels is not None
    assert torch.equal(chosen.pixels, Video(sparse).read(chosen.frames, size=(24, 32)))


def test_no_gop_is_decoded_where_keyframes_are_enough(sparse: Path) -> None:
    """Of 60 keyframes 50 are taken, though there are not two for each."""
    chosen = temporal.select(Video(sparse), 50, model=brightness, size=(24, 32))
    assert len(chosen.frames) == 50 and chosen.cost.frames_decoded <= 60
