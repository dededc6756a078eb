"""Every frame of every container is the frame asked for, at the price that was named."""

from __future__ import annotations

import io
import os
import pickle
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from temporal.data import Video, VideoError
from temporal.source import Source

REAL = Path(__file__).parents[3] / "shared" / "data" / "videos"


def test_every_frame_alone_is_the_oracles(clips, clip_name):
    images, _ = clips.truth(clip_name)
    order = list(range(len(images)))
    random.Random(0).shuffle(order)
    with Video(clips.path(clip_name)) as video:
        assert len(video) == len(images)
        for frame in order:
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame]), frame


def test_all_frames_at_once_are_the_oracles_and_each_is_decoded_once(clips, clip_name):
    images, _ = clips.truth(clip_name)
    with Video(clips.path(clip_name)) as video:
        assert np.array_equal(video.read(range(len(video))).numpy(), images)
        needless = (
            video.index.packets.is_disposable.copy()
        )  # hidden by an edit list, and no other's
        needless[video.index.frame_packets] = False
        assert video.spent.frames_decoded == np.count_nonzero(~needless)


def test_cost_named_before_is_what_a_fresh_reader_spends(clips, clip_name):
    path = clips.path(clip_name)
    count = len(Video(path))
    for frames in ([0], [count - 1], [5], [13, 14], [0, 11, 12, 40], [3, 30, 29, 3], range(count)):
        with Video(path) as video:
            named = video.cost(frames)
            video.read(frames)
            assert video.spent.frames_decoded == named.frames_decoded
            assert video.spent.bytes_read == named.bytes_read


def test_times_are_the_oracles(clips, clip_name):
    _, times = clips.truth(clip_name)
    index = Video(clips.path(clip_name)).index
    if index.is_ordered:
        assert index.timestamps_seconds == pytest.approx(times, abs=1e-9)
    assert np.all(np.diff(index.timestamps_seconds) > 0)


def test_the_barcode_agrees_with_the_oracle(clips, read_number):
    images, _ = clips.truth("h264.mp4")
    assert [read_number(image) for image in images] == list(range(60))


def test_an_edit_list_hides_frames_from_the_index_and_from_reads(clips, read_number):
    with Video(clips.path("cut.mp4")) as video:
        assert len(video) < len(video.index.packets.pts)
        images, _ = clips.truth("cut.mp4")
        assert read_number(video.read([0])[0].numpy()) == read_number(images[0]) > 0


def test_opening_and_indexing_decode_nothing(clips):
    with Video(clips.path("h264.mp4")) as video:
        assert video.index.keyframes.tolist() == [0, 12, 24, 36, 48]
        assert video.cost(range(60)).frames_decoded == 60
        assert video.spent.frames_decoded == video.spent.bytes_read == 0


def test_keyframes_cost_one_frame_each(clips):
    with Video(clips.path("h264.mp4")) as video:
        keys = video.index.keyframes
        video.read(keys, size=(24, 32))
        assert video.spent.frames_decoded == len(keys) == 5
        assert video.spent.bytes_read == video.index.packet_bytes[keys].sum()


def test_frame_cost_by_hand(clips):
    # No B-frames: frame 12k + j depends on its GOP's frames before it, j + 1 decodes.
    index = Video(clips.path("h264_no_b.mp4")).index
    assert index.frame_costs.tolist() == [frame % 12 + 1 for frame in range(60)]
    video = Video(clips.path("h264_no_b.mp4"))
    assert video.cost([3, 5]).frames_decoded == 6  # frames 0..5, shared
    assert video.cost([3, 15]).frames_decoded == 4 + 4
    assert video.cost([11, 12]).frames_decoded == 13  # runs on into the next GOP
    assert video.cost([]).frames_decoded == 0


@pytest.mark.parametrize("name", ["h264.mp4", "h264_no_b.mp4", "h264_one_key.mp4", "vp9.webm"])
def test_reading_one_by_one_decodes_the_video_once(clips, name):
    images, _ = clips.truth(name)
    with Video(clips.path(name)) as video:
        for frame in range(len(video)):
            assert np.array_equal(video.read([frame])[0].numpy(), images[frame])
        # At most the beginning of one GOP again (see temporal/data/decode/pyav.py).
        assert video.spent.frames_decoded <= len(video) + 1


def test_asked_order_repeats_and_nothing(clips, read_number):
    with Video(clips.path("h264.mp4")) as video:
        images = video.read([40, 3, 40, 12])
        assert [read_number(image.numpy()) for image in images] == [40, 3, 40, 12]
        assert images.dtype == torch.uint8 and images.is_contiguous()
        assert video.read([]).shape == (0, 3, 48, 64)


def test_size_is_height_width_and_scaling_keeps_the_frame(clips, read_number):
    with Video(clips.path("h264.mp4")) as video:
        image = video.read([37], size=(24, 128))
        assert image.shape == (1, 3, 24, 128)
        assert read_number(image[0].numpy()) == 37
        for size in [(0, 4), 224, (24.5, 128), (24, 128, 3), "24"]:
            with pytest.raises(ValueError, match=r"size .* must be \(height, width\)"):
                video.read([0], size=size)


def test_rotated_frames_stand_upright(clips):
    with Video(clips.path("rotated.mp4")) as video:
        assert (video.index.height, video.index.width) == (64, 48)
        assert video.read([1]).shape == (1, 3, 64, 48)
        assert video.read([1], size=(32, 20)).shape == (1, 3, 32, 20)


@pytest.mark.parametrize("frames", [[60], [-1], [0, 1000]])
def test_index_out_of_range_names_the_rule(clips, frames):
    with Video(clips.path("h264.mp4")) as video, pytest.raises(IndexError, match="0..59"):
        video.read(frames)


def test_plan_takes_the_nearest_frame_or_the_cheapest_within_the_tolerance(clips):
    video = Video(clips.path("h264_no_b.mp4"))  # a frame each 0.04 s, keyframes each 12 frames
    assert video.plan([0.0, 0.4, 1.01]) == [0, 10, 25]
    assert video.plan([0.4], tolerance_seconds=0.1) == [12]
    assert video.plan([0.26], tolerance_seconds=0.09) == [5]  # no keyframe near: earliest in GOP
    assert video.plan([99.0], tolerance_seconds=0.1) == [59]
    assert video.snap([10, 13, 30], tolerance_frames=2) == [12, 12, 28]
    with pytest.raises(ValueError, match="tolerance_seconds"):
        video.plan([0.0], tolerance_seconds=-1.0)


def test_bytes_and_files_read_as_paths_do(clips):
    path = clips.path("h264.mp4")
    images, _ = clips.truth("h264.mp4")
    with open(path, "rb") as file:
        for source in (path.read_bytes(), file, io.BytesIO(path.read_bytes())):
            with Video(source) as video:
                assert np.array_equal(video.read([50, 7]).numpy(), images[[50, 7]])
        assert not file.closed


def test_pickles_as_its_source_without_its_decoder(clips):
    path = clips.path("h264.mp4")
    for source in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        video = Video(source, id="name")
        before = video.read([9])
        copy = pickle.loads(pickle.dumps(video))
        assert copy.id == "name" and copy.spent.frames_decoded == 0
        assert torch.equal(copy.read([9]), before)


def test_threads_take_turns(clips):
    images, _ = clips.truth("h264.mp4")
    video, wrong = Video(clips.path("h264.mp4")), []

    def read(seed: int) -> None:
        order = random.Random(seed).sample(range(60), 20)
        if not all(np.array_equal(video.read([f])[0].numpy(), images[f]) for f in order):
            wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_its_own(clips):
    images, _ = clips.truth("h264.mp4")
    video = Video(clips.path("h264.mp4"))
    video.read([0, 20])
    child = os.fork()
    if child == 0:
        same = np.array_equal(video.read([33])[0].numpy(), images[33])
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(video.read([21])[0].numpy(), images[21])


def test_is_a_source(clips):
    video = Video(clips.path("h264.mp4"), id="x")
    assert isinstance(video, Source)
    assert (video.unit, video.in_memory, video.id) == ("frame", False, "x")


def test_closed_videos_open_again(clips):
    with Video(clips.path("h264.mp4")) as video:
        first = video.read([30])
    assert torch.equal(video.read([30]), first)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not here")
@pytest.mark.parametrize("name", sorted(p.name for p in REAL.glob("*")) if REAL.is_dir() else [])
def test_real_clips_equal_the_oracle(name):
    from fractions import Fraction

    import av

    wanted: dict[int, np.ndarray] = {}
    with Video(REAL / name) as video:
        count = len(video)
        picks = sorted({0, 1, min(25, count - 1), min(60, count - 1)})
        with av.open(str(REAL / name)) as container:
            for number, frame in enumerate(container.decode(container.streams.best("video"))):
                if number in picks:
                    image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                    wanted[number] = image.transpose(2, 0, 1)
                    assert float(frame.pts * Fraction(frame.time_base)) == pytest.approx(
                        video.index.timestamps_seconds[number]
                    )
                if len(wanted) == len(picks) or number > 60:
                    break
                if name == "decord_corrupted.mp4" and number == 25:
                    break  # the packet of frame 30 is broken
        for frame_index, image in reversed(wanted.items()):
            assert np.array_equal(video.read([frame_index])[0].numpy(), image)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not here")
def test_frames_before_a_fault_are_had_and_those_after_are_refused():
    with Video(REAL / "decord_corrupted.mp4") as video:
        with pytest.raises(VideoError) as caught:
            video.read(range(len(video)))
        assert (caught.value.reason, caught.value.frames_read) == ("corrupt", 29)
        assert video.read(range(29)).shape[0] == 29
        with pytest.raises(VideoError):
            video.read([49])
