"""The sound of a video's container: one channel, at one rate, decoded beside its frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler
from av.stream import Discard
from numpy.typing import NDArray

from temporal.trace import Cost

from .errors import VideoError
from .files.container import Opened

RATE = 16_000
"""Samples of a second that sound is resampled to."""
MOST_SECONDS = 3600.0
"""Sound after this is not decoded: 230 MB."""

Span = tuple[float, float]
"""From when until when, on the clock of `index.timestamps_seconds`."""

_LEAD_SECONDS = 0.5
"""Decoders and resamplers that begin in the middle are right after less than this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """The first audio stream of a container, its channels mixed into one."""

    samples: NDArray[np.float32]
    """[T] in [-1, 1]."""

    rate: int
    """Samples of a second."""

    start_seconds: float
    """When the first one is heard, on the clock of `index.timestamps_seconds`."""


@dataclass(slots=True)
class _Counts:
    audio_seconds: float = 0.0
    bytes_read: int = 0


class _Opens(Protocol):
    def open_apart(self, decoder_options: dict[str, str]) -> Opened: ...


def read_sound(
    opening: _Opens,
    name: str,
    spend: Callable[[Cost], None],
    *,
    rate: int = RATE,
    between: Span | None = None,
) -> Sound | None:
    """Decode the sound of a source, in a container of its own.

    Args:
        opening: opens the source.
        name: of the video, for messages.
        spend: is told what was spent, also where the sound cannot be had.
        rate: samples of a second.
        between: decode what is heard then, and no more than that takes; None: all.

    Returns:
        None: it has no sound, or none then.

    Raises:
        VideoError: `corrupt` or `unsupported_codec`: it has sound, which cannot be had; or the
            source cannot be opened.
    """
    start, counts = time.perf_counter(), _Counts()
    try:
        for seeks in (between is not None and between[0] > _LEAD_SECONDS, False):
            try:
                opened = opening.open_apart({})
            except VideoError as error:
                if error.reason == "unsupported_codec":  # of a moving picture without streams
                    return None
                raise
            try:
                return _sound(opened, name, rate, counts, between, seeks=seeks)
            except _TooFar:  # from the start, then
                continue
            finally:
                opened.close()
        raise AssertionError("who does not seek, cannot come too far")
    finally:
        cost = Cost(audio_seconds=counts.audio_seconds, bytes_read=counts.bytes_read)
        spend(replace(cost, decode_seconds=time.perf_counter() - start))


class _TooFar(Exception):
    """A seek went past what was sought, or could not be done."""


def _sound(
    opened: Opened, name: str, rate: int, counts: _Counts, between: Span | None, *, seeks: bool
) -> Sound | None:
    stream: Any = opened.container.streams.best("audio")
    if stream is None:
        return None
    if getattr(stream, "codec_context", None) is None:
        raise VideoError("unsupported_codec", f"{name}: no decoder for its audio stream")
    opened.stream.discard = Discard.all  # the demuxer then skips the bytes of its frames
    stream.discard = Discard.default
    if between is None:
        return _decoded(opened, stream, name, rate, counts)
    start, end = between
    if seeks:
        try:
            ticks = round((start - _LEAD_SECONDS) / float(stream.time_base))
            opened.container.seek(ticks, stream=stream)
        except (av.error.FFmpegError, OverflowError, ValueError) as error:
            raise _TooFar from error
    sound = _decoded(opened, stream, name, rate, counts, until=end)
    if sound is None or (seeks and sound.start_seconds > start - _LEAD_SECONDS / 2):
        if seeks:  # perhaps it begins late; perhaps this container seeks badly
            raise _TooFar
        return None
    first, most = sound.start_seconds, len(sound.samples)
    low, high = (round(min(max((edge - first) * rate, 0), most)) for edge in between)
    if low >= high:
        return None
    samples = sound.samples[low:high].copy()
    return replace(sound, samples=samples, start_seconds=first + low / rate)


def _decoded(
    opened: Opened,
    stream: Any,
    name: str,
    rate: int,
    counts: _Counts,
    until: float = math.inf,
) -> Sound | None:
    resampler = AudioResampler(format="fltp", rate=rate)  # mixed below: FFmpeg would make it louder
    parts: list[NDArray[np.float32]] = []
    first, left = None, round(MOST_SECONDS * rate)
    try:
        for frame in _frames(opened, stream, counts):
            if first is None:
                first = float(frame.time or 0.0)
                left = min(left, round((until - first) * rate)) if until < math.inf else left
            for made in resampler.resample(frame):
                parts.append(made.to_ndarray().mean(0))
                left -= len(parts[-1])
            if left <= 0:
                break
        else:
            parts += [made.to_ndarray().mean(0) for made in resampler.resample(None)]
    except (av.error.FFmpegError, ValueError) as error:  # ValueError: it changes on the way
        raise VideoError("corrupt", f"{name}: its sound cannot be decoded: {error}") from error
    if first is None:
        return None
    samples = np.concatenate([*parts, np.empty(0, dtype=np.float32)])[: round(MOST_SECONDS * rate)]
    # Float formats can hold what is no sound.
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1)
    return Sound(samples=samples, rate=rate, start_seconds=first)


def _frames(opened: Opened, stream: Any, counts: _Counts) -> Iterator[Any]:
    for packet in opened.container.demux(stream):
        counts.bytes_read += packet.size
        for frame in packet.decode():
            counts.audio_seconds += frame.samples / frame.sample_rate
            yield frame


class Sounding:
    """Mixed into `Video`: its sound."""

    id: str
    _opening: Any
    _spend: Callable[[Cost], None]
    _own_process: Callable[[], None]

    def audio(self, *, between: Span | None = None) -> Sound | None:
        """Decode the sound of the container, if there is any; no frame is decoded.

        One channel of 16,000 samples a second, the first hour. Counted in `Cost.audio_seconds`.

        Args:
            between: Decode what is heard from then until then, in seconds on the clock of
                `index.timestamps_seconds`; None: all.

        Raises:
            VideoError: There is sound, and it cannot be had.
        """
        self._own_process()
        return read_sound(self._opening, self.id, self._spend, between=between)
