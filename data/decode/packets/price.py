"""What reading frames costs, known before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from temporal.trace import Cost

from .index import VideoIndex
from .runs import decoded_packets, plan_runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How long one core takes."""

    decode_seconds_per_pixel: float
    """For each pixel of each frame that is decoded."""

    decode_seconds_per_byte: float
    """For each byte of their packets."""


# Fitted to reads of 1 to 16 frames, 320x240 to 1920x1080, on a server's core of 2025
# (scripts/benchmarks/benchmark_decode.py makes the files): nine of ten reads took 0.9 to 1.15 times
# as long.
_RATES = {
    "h264": Rate(decode_seconds_per_pixel=0.87e-9, decode_seconds_per_byte=71e-9),
    "hevc": Rate(decode_seconds_per_pixel=1.09e-9, decode_seconds_per_byte=108e-9),
    "vp9": Rate(decode_seconds_per_pixel=1.64e-9, decode_seconds_per_byte=58e-9),
    "mpeg4": Rate(decode_seconds_per_pixel=0.18e-9, decode_seconds_per_byte=17e-9),
}
_CONVERT_SECONDS_PER_PIXEL = 0.49e-9  # of each frame that is made into an image


def read_cost(index: VideoIndex, frame_indices: Sequence[int], *, discards: bool = True) -> Cost:
    """What a fresh reader spends on these frames: frames decoded, packet bytes, and seconds.

    The counts are exact. The seconds are an estimate for one core, for weighing one set of frames
    or one video against another; codecs that were not measured count as H.264.

    Args:
        index: The video's index.
        frame_indices: The frames, in any order.
        discards: As `runs.decoded_packets` takes it.
    """
    frames = sorted(set(frame_indices))
    packets = [decoded_packets(index, run, discards=discards) for run in plan_runs(index, frames)]
    decoded = sum(len(numbers) for numbers in packets)
    size_bytes = int(sum(index.packets.size_bytes[numbers].sum() for numbers in packets))
    rate = _RATES.get(index.codec, _RATES["h264"])
    pixels = index.width * index.height
    return Cost(
        frames_decoded=decoded,
        bytes_read=size_bytes,
        decode_seconds=decoded * pixels * rate.decode_seconds_per_pixel
        + size_bytes * rate.decode_seconds_per_byte
        + len(frames) * pixels * _CONVERT_SECONDS_PER_PIXEL,
    )
