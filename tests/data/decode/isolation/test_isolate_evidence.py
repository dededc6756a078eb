"""Evidence of an isolated video: what the video in this process gives, for the same cost."""

from __future__ import annotations

import av
import numpy as np
import pytest

from temporal.data import DecodePool, Video, VideoError, evidence
from temporal.trace import Cost


def counts(cost: Cost) -> tuple[int, int]:
    return cost.frames_decoded, cost.bytes_read


def test_evidence_and_its_cost_are_the_same(clips):
    with DecodePool(1, 60.0) as pool:
        for name in ("h264.mp4", "h264_open_gop.ts", "mpeg4_b.avi", "vp9.webm", "rotated.mp4"):
            plain, isolated = Video(clips.path(name)), pool.open(clips.path(name))
            ours, theirs = evidence.packet_motion(isolated), evidence.packet_motion(plain)
            assert np.array_equal(ours.values, theirs.values) and isolated.spent == Cost()
            for look in (
                lambda video: evidence.keyframe_thumbnails(video, size=(24, 32)),
                lambda video: evidence.keyframe_thumbnails(video, max_frames=2),
                lambda video: evidence.low_resolution_scan(video, size=(16, 16)),
                lambda video: evidence.low_resolution_scan(video, 7),
            ):
                ours, theirs = look(isolated), look(plain)
                assert np.array_equal(ours.frames, theirs.frames)
                assert np.array_equal(ours.images.numpy(), theirs.images.numpy())
                assert counts(ours.cost) == counts(theirs.cost) != (0, 0)
                assert counts(isolated.spent) == counts(plain.spent)


def test_motion_vectors_are_the_same(clips):
    with DecodePool(1, 60.0) as pool:
        for name in ("h264.mp4", "mpeg2.mpg"):
            plain, isolated = Video(clips.path(name)), pool.open(clips.path(name))
            frames = [30, 7, 30, 0]
            ours = evidence.motion_vectors(isolated, frames)
            theirs = evidence.motion_vectors(plain, frames)
            assert ours.frames.tolist() == frames
            assert np.array_equal(ours.magnitudes, theirs.magnitudes, equal_nan=True)
            for mine, other in zip(ours.vectors, theirs.vectors, strict=True):
                assert mine.dtype == other.dtype and np.array_equal(mine, other)
            assert counts(ours.cost) == counts(theirs.cost) == counts(isolated.spent)
        with pytest.raises(IndexError, match=r"0\.\.59"):
            evidence.motion_vectors(isolated, [60])
        with pytest.raises(VideoError, match="unsupported_codec"):
            evidence.motion_vectors(pool.open(clips.path("vp9.webm")), [0])


def test_a_reading_that_goes_on_is_not_disturbed(clips):
    with DecodePool(1, 60.0) as pool:
        path = clips.path("h264_one_key.mp4")
        spent = []
        for video in (Video(path), pool.open(path)):
            for frame in range(30):
                video.read([frame])
            cost = evidence.low_resolution_scan(video, 3).cost
            assert cost.frames_decoded > 30
            for frame in range(30, 40):
                video.read([frame])
            spent.append(video.spent.frames_decoded)
            assert spent[-1] - cost.frames_decoded < 50  # the scan did not cost it its place
        assert spent[0] == spent[1]


def test_damage_comes_through_with_what_was_spent(clips):
    content = bytearray(clips.path("h264_no_b.mp4").read_bytes())
    with av.open(str(clips.path("h264_no_b.mp4"))) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = packets[15]
    content[start : start + size] = bytes(size)
    plain = Video(bytes(content))
    with pytest.raises(VideoError) as expected:
        evidence.low_resolution_scan(plain)
    with DecodePool(1, 60.0) as pool:
        video = pool.open(bytes(content))
        with pytest.raises(VideoError) as caught:
            evidence.low_resolution_scan(video)
        assert caught.value.reason == expected.value.reason
        assert caught.value.frames_read == expected.value.frames_read
        assert counts(video.spent) == counts(plain.spent) != (0, 0)
