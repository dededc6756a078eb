"""decord reads only the files it is right for, and then the same frames."""

from __future__ import annotations

import numpy as np
import pytest

from temporal.data import Video

pytest.importorskip("decord")

FIT = {"h264.mp4", "h264_no_b.mp4", "h264_one_key.mp4", "h264_intra.mp4", "h264.mkv"} | {
    "vp9.webm",
    "vp8.webm",
}


def test_decord_is_used_where_it_is_right_and_replaced_elsewhere(clips, clip_name):
    with Video(clips.path(clip_name), backend="decord") as video:
        assert video.backend == ("decord" if clip_name in FIT else "pyav")


def test_frames_equal_the_oracles_whichever_reads(clips, clip_name, read_number):
    images, _ = clips.truth(clip_name)
    with Video(clips.path(clip_name), backend="decord") as video:
        order = np.random.default_rng(0).permutation(len(images)).tolist()
        for frames in ([order[0]], order[:7], sorted(order)):
            for frame, image in zip(frames, video.read(frames).numpy(), strict=True):
                away = np.abs(image.astype(int) - images[frame].astype(int))
                assert away.mean() <= 2, (frame, away.mean())


def test_decord_scales_and_keeps_the_order(clips, read_number):
    with Video(clips.path("h264.mp4"), backend="decord") as video:
        images = video.read([40, 3, 40], size=(24, 32))
        assert images.shape == (3, 3, 24, 32)
        assert [read_number(image.numpy()) for image in images] == [40, 3, 40]
        assert video.spent.frames_decoded == video.cost([40, 3]).frames_decoded


def test_unknown_and_missing_backends_name_the_choices(clips):
    with pytest.raises(ValueError, match="'auto', 'pyav', 'decord'"):
        Video(clips.path("h264.mp4"), backend="opencv")  # type: ignore[arg-type]
    with pytest.raises(ImportError, match="'auto', 'pyav' or 'decord'"):
        Video(clips.path("h264.mp4"), backend="torchcodec")
    with Video(clips.path("h264.mp4")) as video:
        assert video.backend == "pyav"
