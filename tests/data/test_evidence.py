"""Evidence: right about what moves, decoding no more than it says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from temporal.data import DecodePool, Video, VideoError, evidence
from temporal.trace import Cost

PAN = 4  # pixels per frame


def moving(path: Path, *, codec: str = "libx264", b_frames: int = 0, gop: int = 20) -> Path:
    """60 frames of 96 x 96 texture: still, then panning by `PAN` pixels a frame, then still."""
    noise = np.random.default_rng(0).integers(0, 256, size=(12, 60)).astype(np.uint8)
    texture = np.kron(noise, np.ones((8, 8), np.uint8))  # 96 x 480
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.codec_context.max_b_frames = b_frames
        if "264" in codec:
            stream.options = {"sc_threshold": "0", "bf": str(b_frames), "x264-params": "ref=1"}
        for number in range(60):
            left = PAN * min(max(number - 20, 0), 20)
            gray = texture[:, left : left + 96]
            frame = av.VideoFrame.from_ndarray(np.stack([gray] * 3, axis=-1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {
        "p": moving(folder / "p.mp4"),
        "b": moving(folder / "b.mp4", b_frames=2),
        "mpeg4": moving(folder / "mpeg4.avi", codec="mpeg4"),
        "mpeg2": moving(folder / "mpeg2.mpg", codec="mpeg2video"),
        "mjpeg": moving(folder / "mjpeg.avi", codec="mjpeg"),
    }


# Packet sizes


# Between two frames of a pan, a B-frame is predicted well: it takes few bytes moving or not.
@pytest.mark.parametrize(("name", "times"), [("p", 3), ("b", 1.5), ("mpeg4", 3), ("mpeg2", 3)])
def test_packet_sizes_show_where_it_moves_and_decode_nothing(films, name, times):
    video = Video(films[name])
    found = evidence.packet_motion(video)
    assert found.values.shape == (60,) and found.values.dtype == np.float32
    still = np.r_[found.values[3:18], found.values[44:58]]
    assert found.values[23:38].mean() > times * still.mean()
    # Keyframes are large, and still do not pass for motion.
    assert found.values[video.index.keyframes[[0, -1]]].max() < found.values[23:38].mean()
    assert found.cost == video.spent == Cost()


def test_packet_sizes_are_compared_within_a_kind(films):
    video = Video(films["b"])
    values = evidence.packet_motion(video).values
    with av.open(str(films["b"])) as container:
        kinds = np.array([PictureType(frame.pict_type).name for frame in container.decode(video=0)])
    assert {"I", "P", "B"} == set(kinds)
    for kind in "PB":
        assert values[kinds == kind].mean() == pytest.approx(1.0, abs=1e-5)
        sizes = video.index.packet_bytes[kinds == kind]
        assert np.allclose(values[kinds == kind] / sizes, values[kinds == kind][0] / sizes[0])
    (keys,) = np.nonzero(kinds == "I")
    assert values[0] == values[1]
    assert values[keys[1]] == pytest.approx((values[keys[1] - 1] + values[keys[1] + 1]) / 2)


def test_keyframes_only_are_no_evidence_of_motion(films):
    assert (evidence.packet_motion(Video(films["mjpeg"])).values == 1).all()


def test_every_container_has_packet_motion(clips, clip_name):
    video = Video(clips.path(clip_name))
    values = evidence.packet_motion(video).values
    assert len(values) == len(video) and np.isfinite(values).all() and (values > 0).all()


def test_an_isolated_video_has_packet_motion(films):
    with DecodePool(1, 60.0) as pool:
        values = evidence.packet_motion(pool.open(films["p"])).values
    assert np.array_equal(values, evidence.packet_motion(Video(films["p"])).values)


# Small frames


def test_thumbnails_are_the_keyframes_each_decoded_alone(clips, clip_name, read_number):
    images, _ = clips.truth(clip_name)
    video = Video(clips.path(clip_name))
    keys = video.index.keyframes
    found = evidence.keyframe_thumbnails(video, size=(24, 32))
    assert found.frames.tolist() == keys.tolist()
    assert found.images.shape == (len(keys), 3, 24, 32)
    assert [read_number(i.numpy()) for i in found.images] == [read_number(images[k]) for k in keys]
    assert found.cost.frames_decoded == video.cost(keys).frames_decoded
    assert found.cost.bytes_read == video.cost(keys).bytes_read
    assert found.cost.decode_seconds > 0
    assert video.spent == found.cost


def test_a_few_thumbnails_are_spread_evenly(clips):
    video = Video(clips.path("h264_intra.mp4"))
    found = evidence.keyframe_thumbnails(video, max_frames=4)
    assert found.frames.tolist() == [7, 22, 37, 52]
    assert found.images.shape == (4, 3, 64, 64)
    assert found.cost.frames_decoded == 4
    with pytest.raises(ValueError, match="max_frames"):
        evidence.keyframe_thumbnails(video, max_frames=0)
    with pytest.raises(ValueError, match="size"):
        evidence.keyframe_thumbnails(video, size=(0, 64))


def test_a_scan_sees_all_frames_or_some(clips, clip_name, read_number):
    images, _ = clips.truth(clip_name)
    video = Video(clips.path(clip_name))
    found = evidence.low_resolution_scan(video, size=(12, 16))
    numbers = [read_number(image) for image in images]
    assert [read_number(i.numpy()) for i in found.images] == numbers
    assert found.cost.frames_decoded == video.cost(range(len(video))).frames_decoded
    few = evidence.low_resolution_scan(video, 5, size=(12, 16))
    assert [read_number(i.numpy()) for i in few.images] == [numbers[f] for f in few.frames]
    assert few.cost.frames_decoded == video.cost(few.frames).frames_decoded
    assert video.spent == found.cost + few.cost
    with pytest.raises(ValueError, match="num_frames"):
        evidence.low_resolution_scan(video, 0)


@pytest.mark.parametrize("name", ["p", "mpeg4", "mpeg2", "mjpeg"])
def test_small_frames_look_like_the_large_ones(films, name):
    video = Video(films[name])
    scan = evidence.low_resolution_scan(video, size=(24, 24)).images.numpy().astype(int)
    whole = video.read_array(range(60), size=(24, 24)).astype(int)
    assert np.abs(scan - whole).mean() < 6


def test_old_codecs_are_decoded_at_a_low_resolution(films, monkeypatch):
    from temporal.data.decode.pictures import sink

    sizes: set[tuple[int, int]] = set()
    whole = sink.to_image

    def note(frame, *args):
        sizes.add((frame.height, frame.width))
        return whole(frame, *args)

    monkeypatch.setattr(sink, "to_image", note)
    evidence.low_resolution_scan(Video(films["mpeg2"]), 3, size=(20, 24))
    assert sizes == {(24, 24)}  # a quarter, which is not below what was asked for
    sizes.clear()
    evidence.low_resolution_scan(Video(films["p"]), 3, size=(20, 24))
    assert sizes == {(96, 96)}  # H.264 has no low resolution to decode at


def test_evidence_does_not_move_a_reading_that_goes_on(clips):
    path = clips.path("h264_one_key.mp4")
    with open(path, "rb") as file:
        for source in (path, path.read_bytes(), file):
            video, decoded = Video(source), 0
            for frame in range(0, 60, 6):
                decoded += evidence.keyframe_thumbnails(video).cost.frames_decoded
                decoded += evidence.motion_vectors(video, [frame]).cost.frames_decoded
                video.read([frame])
            # All frames up to the last once, and at most the beginning of the GOP again.
            assert video.spent.frames_decoded - decoded <= 60


# Motion vectors


@pytest.mark.parametrize("name", ["p", "mpeg4", "mpeg2"])
def test_vectors_measure_the_motion_in_pixels(films, name):
    found = evidence.motion_vectors(Video(films[name]), range(60))
    assert found.magnitudes.dtype == np.float32
    moving_frames = [f for f in range(23, 38) if not np.isnan(found.magnitudes[f])]
    assert np.median(found.magnitudes[moving_frames]) == pytest.approx(PAN, abs=1.0)
    still = found.magnitudes[[3, 5, 8, 45, 50, 55]]
    assert np.nanmax(still) < 0.3
    pan = found.vectors[30]
    # The picture moves left: what is at x now was at x + PAN.
    assert np.median(pan["src_x"].astype(int) - pan["dst_x"]) == pytest.approx(PAN, abs=1)
    assert np.median(pan["src_y"].astype(int) - pan["dst_y"]) == 0
    assert set(pan["source"]) == {-1}


def test_vectors_of_the_frames_asked_for_in_their_order_at_their_price(films):
    video = Video(films["b"])
    found = evidence.motion_vectors(video, [30, 3, 30])
    assert found.frames.tolist() == [30, 3, 30] and len(found.vectors) == 3
    assert np.array_equal(found.vectors[0], found.vectors[2])
    assert found.cost.frames_decoded == video.cost([30, 3]).frames_decoded
    assert video.spent == found.cost
    assert evidence.motion_vectors(video, []).vectors == ()
    with pytest.raises(IndexError, match="0..59"):
        evidence.motion_vectors(video, [60])


def test_keyframes_have_no_vectors(films):
    video = Video(films["p"])
    found = evidence.motion_vectors(video, [0, 1])
    assert np.isnan(found.magnitudes[0]) and not np.isnan(found.magnitudes[1])
    assert len(found.vectors[0]) == 0 and found.vectors[0].dtype == found.vectors[1].dtype


@pytest.mark.parametrize("name", ["vp9.webm", "vp8.webm", "hevc.mp4"])
def test_codecs_without_vectors_are_named(clips, name):
    video = Video(clips.path(name))
    with pytest.raises(VideoError, match="unsupported_codec.*packet_motion"):
        evidence.motion_vectors(video, [5])
    assert video.spent == Cost()


def test_a_damaged_frame_is_an_error_whose_cost_is_counted(clips, tmp_path):
    content = bytearray(clips.path("h264_no_b.mp4").read_bytes())
    with av.open(str(clips.path("h264_no_b.mp4"))) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = places[15]
    content[start : start + size] = bytes(size)
    video = Video(bytes(content))
    with pytest.raises(VideoError) as caught:
        evidence.low_resolution_scan(video)
    assert (caught.value.reason, caught.value.frames_read) == ("corrupt", 15)
    assert video.spent.frames_decoded >= 15
    assert len(evidence.keyframe_thumbnails(video).frames) == 5
