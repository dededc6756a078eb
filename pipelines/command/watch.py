"""`temporal watch`: the events of a stream, told as they become certain."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import typer

from ...data.decode.errors import VideoError
from ...data.live import LiveVideo
from ..exports.formats import Format, format_of, written
from ..exports.span import VideoSpans, spans_of
from ..jobs.stop import stop_on_signal
from ..jobs.store.durable import write_durably
from .faults import BAD_INPUTS, UsageFault

_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class WatchRequest:
    """The arguments of `temporal watch`; see its help."""

    source: str
    model: str
    output: Path | None
    certain: float | None
    window_seconds: float | None
    stall_seconds: float
    give_up_seconds: float | None
    skip_when_behind: bool
    allow_origin: tuple[str, ...]
    frame_rate: str | None
    device: str | None
    batch_size: int | None


def watch_command(request: WatchRequest) -> int:
    """Tell events as JSON lines until the stream ends or a signal comes; return the exit code.

    Raises:
        UsageFault: the model, the source or the output cannot be used.
    """
    format = _format(request.output)
    with stop_on_signal() as stop:
        pipe = _pipeline(request)
        watch, live = _watch(request, pipe, stop)
        kept: list[dict[str, Any]] = []
        try:
            with _lines(request.output if format is None else None) as file:
                for told in watch:
                    line = json.dumps(told, ensure_ascii=False)
                    typer.echo(line)
                    if file is not None:
                        print(line, file=file, flush=True)
                    if format is not None and not told["is_open"]:
                        kept.append(told)
        except VideoError as error:
            allow = "; or --allow-origin" if error.reason == "path_not_allowed" else ""
            raise UsageFault(f"source ({request.source}) cannot be read: {error}{allow}") from error
    if format is not None and request.output is not None:
        _write(request, format, live, kept)
    fault = live.counts.fault
    stream = asdict(replace(live.counts, fault=None)) | {"fault": fault and str(fault)}
    report = {"state": live.state, "stream": stream, "watch": asdict(watch.counts)}
    typer.echo(json.dumps(report), err=True)
    return BAD_INPUTS if fault is not None or watch.counts.windows_failed else 0


def _format(output: Path | None) -> Format | None:
    """The format that is written at the end; None: lines, as they come, or nothing."""
    if output is None or output.suffix.lower() in _LINES:
        return None
    found = format_of(output.suffix)
    if found is None:
        raise UsageFault(
            f"output ({output}) must end in .jsonl (a line for each event as it is told), .json, "
            ".csv, .vtt, .edl, .ffmeta or .xml (all of them, at the end)"
        )
    return found


def _pipeline(request: WatchRequest) -> Any:
    from ..pipeline import pipeline

    options: dict[str, Any] = {"device": request.device, "batch_size": request.batch_size}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return pipeline("video-event-detection", model=request.model, halt="all", **given)
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UsageFault(str(error)) from error


def _watch(request: WatchRequest, pipe: Any, stop: Any) -> tuple[Any, LiveVideo]:
    from ..tasks.events.event_watching import EventWatch

    source: Any = sys.stdin.buffer if request.source == "-" else request.source
    try:
        live = LiveVideo(
            source,
            window_seconds=(
                pipe.model.config.place_seconds
                if request.window_seconds is None
                else request.window_seconds
            ),
            stall_seconds=request.stall_seconds,
            give_up_seconds=request.give_up_seconds,
            when_behind="skip" if request.skip_when_behind else "wait",
            overlap=True,
            id="<stdin>" if request.source == "-" else None,
            allow_remote=request.allow_origin,
            stop=stop,
        )
        return EventWatch(pipe, live, certain=request.certain), live
    except (ValueError, TypeError) as error:
        raise UsageFault(str(error)) from error


@contextmanager
def _lines(output: Path | None) -> Iterator[TextIO | None]:
    if output is None:
        yield None
        return
    try:
        file = output.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageFault(f"output ({output}): {error}") from error
    with file:
        yield file


def _write(
    request: WatchRequest, format: Format, live: LiveVideo, events: list[dict[str, Any]]
) -> None:
    assert request.output is not None
    fault = live.counts.fault
    video = VideoSpans(
        id=live.id,
        spans=spans_of(events),
        frames_per_second=live.frames_per_second,
        status="ok" if fault is None else "partial",
        error=None if fault is None else str(fault),
    )
    try:
        text = written(format, [video], frame_rate=request.frame_rate)
        write_durably(request.output, lambda file: file.write(text.encode("utf-8")))
    except (ValueError, OSError) as error:
        raise UsageFault(f"output ({request.output}): {error}") from error
