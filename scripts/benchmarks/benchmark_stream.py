"""Watch a stream in real time: is memory flat, how late are events told, is anything lost?

    python scripts/benchmarks/benchmark_stream.py --video long.mp4 --model out/trains --seconds 600

A process sends the video again and again through a pipe, as a camera would: `ffmpeg -re` where it
is installed, else this script by PyAV (`--sender pyav`); `--speed 10` sends ten times as fast. The
stream is stopped in the middle of everything, by a signal or by the sender's end (`--end sender`).
Prints JSON:

- `memory_mb`: resident memory every `--every_seconds`; `growth_mb` is from a fifth of the way on.
- `frames_sent`, `frames_came`, `frames_given`, and whatever the stream counts as left out:
  `lost_frames` are those that came and are in no window and in no count.
- `events`: all that were told, with their delay on the stream's clock and on the wall's.
- `frames_decoded`, and the share of frames that came.

Without `--model` keyframes are looked at, small, and no events are told.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import av

from temporal.data import LiveVideo
from temporal.pipelines.benchmark.process_memory import memory_mb


def main() -> None:
    """Send, watch, and print what was seen."""
    args = parse()
    if args.feed:
        send(args.video, args.speed, args.seconds)
        return
    log = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill
    sender = start_sender(args, log)
    assert sender.stdout is not None
    live = LiveVideo(
        sender.stdout,
        window_seconds=args.window_seconds,
        when_behind=args.when_behind,
        overlap=True,
        id=args.video.name,
    )
    if args.end == "signal":
        signal.signal(signal.SIGALRM, lambda *_: live.stop())
        signal.setitimer(signal.ITIMER_REAL, args.seconds / args.speed)
    memory: list[tuple[float, float]] = []
    is_over = threading.Event()
    clock = threading.Thread(target=note_memory, args=(memory, is_over, args.every_seconds))
    clock.start()
    begun = time.monotonic()
    events: list[dict[str, Any]] = []
    watched: dict[str, Any] = {}
    try:
        if args.model is None:
            watched = {"thumbnails": look_at_keyframes(live)}
        else:
            events, watched = watch(live, args)
    finally:
        is_over.set()
        clock.join()
        sender.terminate()
        sent = frames_sent(sender, log)
        log.close()
    print(json.dumps(report(live, memory, events, watched, sent, time.monotonic() - begun, args)))


def watch(live: LiveVideo, args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Tell the events of the stream."""
    from temporal.pipelines import pipeline
    from temporal.pipelines.tasks.events.event_watching import EventWatch

    pipe: Any = pipeline("video-event-detection", args.model, halt="all")
    told = EventWatch(pipe, live, certain=args.certain)
    events = list(told)
    return events, {**asdict(told.counts), "model": str(args.model)}


def look_at_keyframes(live: LiveVideo) -> int:
    """Look at the keyframes of each window, small; return how many there were."""
    count = 0
    for window in live:
        keyframes = window.index.keyframes
        if len(keyframes):
            window.glance(keyframes, size=(64, 64))
        count += len(keyframes)
        window.close()
    return count


def report(
    live: LiveVideo,
    memory: list[tuple[float, float]],
    events: list[dict[str, Any]],
    watched: dict[str, Any],
    sent: int | None,
    seconds: float,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """What was seen, in plain values."""
    counts = live.counts
    settled = [held for at, held in memory if at >= seconds / 5] or [held for _, held in memory]
    first_told: dict[tuple[str, float], dict[str, Any]] = {}
    for event in events:
        first_told.setdefault((event["label"], event["start_seconds"]), event)
    delays = {
        name: spread([event[name] for event in first_told.values() if event[name] is not None])
        for name in ("delay_seconds", "wall_delay_seconds")
    }
    accounted = counts.frames_given + counts.frames_undecodable + counts.frames_skipped
    return {
        "video": args.video.name,
        "sender": args.sender,
        "speed": args.speed,
        "wall_seconds": round(seconds, 1),
        "window_seconds": args.window_seconds,
        "state": live.state,
        "frames_sent": sent,
        "frames_came": counts.frames,
        "lost_frames": counts.frames - accounted - counts.frames_late,
        "frames_decoded": live.spent.frames_decoded,
        "share_decoded": round(live.spent.frames_decoded / max(counts.frames, 1), 4),
        "decode_seconds": round(live.spent.decode_seconds, 2),
        "growth_mb": round(max(settled) - settled[0], 1),
        "peak_mb": memory_mb("VmHWM"),
        "memory_mb": [[round(at, 1), held] for at, held in memory],
        "stream": {**asdict(replace(counts, fault=None)), "fault": str(counts.fault)},
        "watch": watched,
        "num_events": sum(not event["is_open"] for event in events),
        **delays,
        "events": events,
    }


def spread(values: list[float]) -> dict[str, float] | None:
    """Median, nine tenths and most of some numbers."""
    if not values:
        return None
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "p90": round(ordered[int(0.9 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
    }


def note_memory(
    memory: list[tuple[float, float]], is_over: threading.Event, every_seconds: float
) -> None:
    """Write down what the process holds, until it is over."""
    begun = time.monotonic()
    while not is_over.wait(every_seconds):
        memory.append((time.monotonic() - begun, memory_mb("VmRSS")))
    memory.append((time.monotonic() - begun, memory_mb("VmRSS")))


# Sending -----------------------------------------------------------------------------------------


def start_sender(args: argparse.Namespace, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process that sends; it writes to its standard output, and what it says to a log."""
    # Longer than it is watched, where the watching is what ends.
    seconds = args.seconds if args.end == "sender" else 2 * args.seconds + 60
    if args.sender == "ffmpeg":
        pace = ["-readrate", str(args.speed), "-stream_loop", "-1", "-i", str(args.video)]
        form = ["-t", str(seconds), "-map", "0:v:0", "-c", "copy", "-f", "mpegts", "-"]
        quiet = ["-nostdin", "-loglevel", "error", "-progress", "pipe:2"]
        command = ["ffmpeg", *quiet, *pace, *form]
    else:
        command = [sys.executable, __file__, "--feed", "--video", str(args.video)]
        command += ["--speed", str(args.speed), "--seconds", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)


def frames_sent(sender: subprocess.Popen[bytes], log: IO[bytes]) -> int | None:
    """How many frames the sender says that it has sent; None: it does not."""
    assert sender.stdout is not None
    sender.stdout.close()
    sender.wait()
    log.seek(0)
    said = [line for line in log.read().split() if line.startswith(b"frame=")]
    return int(said[-1].removeprefix(b"frame=")) if said and len(said[-1]) > 6 else None


def send(video: Path, speed: float, seconds: float) -> None:
    """Send a video's packets over and over, each when it is time, as MPEG-TS to standard output."""
    begun, sent = time.monotonic(), 0
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(1, "wb", buffering=0) as pipe,
        av.open(pipe, "w", format="mpegts", options={"flush_packets": "1"}) as writer,
    ):
        for packet, stream, at in packets_of(video, seconds):
            time.sleep(max(0.0, begun + at / speed - time.monotonic()))
            packet.stream = (
                writer.streams.video[0]
                if writer.streams.video
                else (writer.add_stream_from_template(stream))
            )
            writer.mux(packet)
            sent += 1
    print(f"frame={sent}", file=sys.stderr)


def packets_of(video: Path, seconds: float) -> Iterator[tuple[Any, Any, float]]:
    """Packets of a video in a loop, and when each is sent, until so many seconds have passed."""
    passed = 0.0
    while True:
        with av.open(str(video)) as reader:
            stream = reader.streams.video[0]
            assert stream.time_base is not None
            step, first = float(stream.time_base), None
            shift, latest = round(passed / step), 0
            for packet in reader.demux(stream):
                if not packet.size or packet.dts is None or packet.pts is None:
                    continue
                first = packet.dts if first is None else first
                at = passed + (packet.dts - first) * step
                if at > seconds:
                    return
                latest = max(latest, packet.dts - first + max(packet.duration or 0, 1))
                packet.dts += shift - first
                packet.pts += shift - first
                yield packet, stream, at
            passed += latest * step


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--video", type=Path, required=True, help="Sent again and again.")
    parser.add_argument("--model", help="A saved reader of events.")
    parser.add_argument("--seconds", type=float, default=600.0, help="Of the stream.")
    parser.add_argument("--speed", type=float, default=1.0, help="Times real time.")
    parser.add_argument("--window_seconds", type=float, default=4.0)
    parser.add_argument("--certain", type=float, default=None, help="Tell events while they go on.")
    parser.add_argument("--when_behind", choices=["wait", "skip"], default="wait")
    parser.add_argument("--end", choices=["signal", "sender"], default="signal")
    parser.add_argument("--every_seconds", type=float, default=10.0, help="Between memory notes.")
    parser.add_argument(
        "--sender",
        choices=["ffmpeg", "pyav"],
        default="ffmpeg" if shutil.which("ffmpeg") else "pyav",
    )
    parser.add_argument("--feed", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
