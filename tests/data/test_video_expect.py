"""Expected frames that a decode passes are kept: any order costs about what one pass costs."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import numpy as np
import pytest

from temporal.data import Video, VideoError

REAL = Path(__file__).parents[3] / "shared" / "data" / "videos"


def spent_on(video: Video, frames: list[int], **options) -> int:
    """Read frames and return how many that decoded."""
    before = video.spent.frames_decoded
    video.read(frames, **options)
    return video.spent.frames_decoded - before


def test_any_order_is_exact_on_every_container(clips, clip_name):
    images, _ = clips.truth(clip_name)
    for seed in range(4):
        order = random.Random(seed).sample(range(len(images)), 20)
        with Video(clips.path(clip_name)) as video, Video(clips.path(clip_name)) as plain:
            video.expect(order)
            for frame in order:
                assert np.array_equal(video.read([frame])[0].numpy(), images[frame]), frame
                plain.read([frame])
            assert video.spent.frames_decoded <= plain.spent.frames_decoded


@pytest.mark.parametrize("name", ["h264_one_key.mp4", "vp9.webm"])
def test_any_order_decodes_a_single_gop_once(clips, name, read_number):
    for order in itertools.permutations([3, 17, 30, 44, 59]):
        with Video(clips.path(name)) as video:
            video.expect(order)
            assert [read_number(video.read([frame])[0].numpy()) for frame in order] == list(order)
            assert video.spent.frames_decoded <= len(video)
            assert video.spent.bytes_read <= video.index.packets.size_bytes.sum()


def test_the_order_expected_is_only_a_hint(clips):
    for order in itertools.permutations([3, 17, 30, 44, 59]):
        with Video(clips.path("h264_one_key.mp4")) as video:
            video.expect([3, 17, 30, 44, 59])
            assert sum(spent_on(video, [frame]) for frame in order) <= len(video)


def test_costs_by_hand(clips, read_number):
    # No B-frames, a keyframe each 12: frame 5 costs frames 0..5, and 2 lies on the way.
    with Video(clips.path("h264_no_b.mp4")) as video:
        video.expect([5, 2, 11, 40])
        assert video.spent.frames_decoded == 0
        assert spent_on(video, [5]) == 6
        assert spent_on(video, [2]) == 0
        assert spent_on(video, [11]) == 6  # goes on from 5
        assert spent_on(video, [40]) == 5  # 36..40, in another GOP
        assert spent_on(video, [2]) == 3  # it left the shelf with its read
        assert video.cost([5, 2, 11]).frames_decoded == 12  # a fresh reader's, as ever


def test_nothing_is_decoded_for_expected_frames(clips):
    with Video(clips.path("h264_no_b.mp4")) as video:
        video.expect(range(60))
        assert spent_on(video, [24]) == 1
        assert spent_on(video, [0]) == 1


def test_a_read_of_several_takes_what_is_kept_and_decodes_the_rest(clips, read_number):
    with Video(clips.path("h264_no_b.mp4")) as video:
        video.expect([11, 3, 7, 14])
        video.read([11])
        before = video.spent.frames_decoded
        images = video.read([14, 7, 3, 7])
        assert [read_number(image.numpy()) for image in images] == [14, 7, 3, 7]
        assert video.spent.frames_decoded - before == 3  # 12..14


def test_kept_frames_have_the_size_expected_and_no_other(clips):
    with Video(clips.path("h264_no_b.mp4")) as video, Video(clips.path("h264_no_b.mp4")) as plain:
        video.expect([9, 4], size=(24, 32))
        video.read([9], size=(24, 32))
        assert spent_on(video, [4]) == 5  # the video's own size was not expected
        before = video.spent.frames_decoded
        assert np.array_equal(video.read([4], size=(24, 32)), plain.read([4], size=(24, 32)))
        assert video.spent.frames_decoded == before


def test_a_later_wish_replaces_the_earlier_and_takes_over_what_both_hold(clips):
    with Video(clips.path("h264_no_b.mp4")) as video:
        video.expect([11, 3, 7])
        video.read([11])
        video.expect([7, 30])
        assert spent_on(video, [3]) == 4
        assert spent_on(video, [7]) == 0
        video.expect([11, 3])
        video.read([11])
        video.expect([])
        assert spent_on(video, [3]) == 4


def test_memory_is_bounded_by_what_is_expected(clips):
    with Video(clips.path("h264_one_key.mp4")) as video:
        video.expect([10, 20, 59])
        video.read([59])
        shelf = video._expectation.get_shelf((48, 64))
        assert sorted(shelf.images) == [10, 20]
        assert all(image.base is None for image in shelf.images.values())
        video.read([20, 10])
        assert not shelf.images and not shelf.missing


def test_expecting_opens_nothing_and_waits_for_nobody(clips):
    Video("no/such.mp4").expect([1, 2], size=(8, 8))
    video = Video(clips.path("h264.mp4"))
    with video._opening.lock:  # as during a read
        thread = threading.Thread(target=video.expect, args=([1],), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


def test_wishes_are_checked_and_those_that_cannot_come_true_do_no_harm(clips):
    with Video(clips.path("h264.mp4")) as video:
        with pytest.raises(ValueError, match="size"):
            video.expect([1], size=(0, 4))
        video.expect([-1, 60, 9])
        assert video.read([30]).shape[0] == 1
        with pytest.raises(IndexError, match="0..59"):
            video.read([60])


def test_a_closed_video_expects_nothing(clips):
    video = Video(clips.path("h264_no_b.mp4"))
    video.expect([9, 4])
    video.read([9])
    video.close()
    assert spent_on(video, [4]) == 5


def test_threads_share_the_shelf(clips):
    images, _ = clips.truth("h264_one_key.mp4")
    video, wrong = Video(clips.path("h264_one_key.mp4")), []

    def read(seed: int) -> None:
        order = random.Random(seed).sample(range(60), 20)
        video.expect(order)
        if not all(np.array_equal(video.read([f])[0].numpy(), images[f]) for f in order):
            wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_decord_keeps_nothing_and_is_right(clips, read_number):
    with Video(clips.path("h264.mp4"), backend="decord") as video:
        assert video.backend == "decord"
        video.expect([30, 4])
        assert [read_number(video.read([f])[0].numpy()) for f in (30, 4)] == [30, 4]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not here")
def test_kept_frames_count_as_read_when_another_fails():
    with Video(REAL / "decord_corrupted.mp4") as video:
        video.expect(range(29))
        video.read([28])
        with pytest.raises(VideoError) as caught:
            video.read([3, 49])
        assert (caught.value.reason, caught.value.frames_read) == ("corrupt", 1)
