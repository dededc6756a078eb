"""The part of the command line that is about events, and rows as files: `export` and `watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .faults import faults, plugins
from .shared_options import BatchSize, Debug, Device, Result


def export(
    result: Result,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Rows: a .csv, .tsv, .jsonl or .parquet. Events: a .json, .csv, .vtt, .edl, "
            ".ffmeta or .xml (Matroska); or a directory.",
        ),
    ],
    format: Annotated[
        str | None, typer.Option(help="Of a directory: webvtt, edl, ffmetadata, matroska.")
    ] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Write this input; may be repeated.")
    ] = None,
    frame_rate: Annotated[
        str | None,
        typer.Option(
            "--frame-rate", help="Of timecodes (25, 29.97, 30000/1001); default: the video's."
        ),
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0, max=1, help="Leave out events below this.")
    ] = 0.0,
    rows: Annotated[
        bool, typer.Option("--rows", help="A row for each input, also where the run found events.")
    ] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", help="Of rows: write this column; may be repeated. Default: all."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a run as one table; its events as captions, a cut list, chapters, a table or JSON."""
    with faults(debug):
        from .export import export_command, export_rows, holds_rows
        from .outputs.results import placed, run_at

        plugins()
        run = run_at(result)
        with placed(output) as path:
            if holds_rows(run, path, rows=rows or bool(columns), format_name=format):
                count = export_rows(run, output=path, ids=ids or [], columns=columns or [])
                typer.echo(f"{count} rows: {output}")
                return
            files, unread = export_command(
                run,
                output=path,
                format_name=format,
                ids=ids or [],
                frame_rate=frame_rate,
                least_score=min_score,
            )
        for file in files:
            typer.echo(f"events: {file}")
        for video in unread:
            typer.echo(f"{video.id}: {video.status}: {video.error}", err=True)


def watch(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="- (standard input), a FIFO, a file or a URL.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="A saved reader of events.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .jsonl, written as events are told; or, at the end, a .json, .csv, .vtt, .edl, "
            ".ffmeta or .xml (Matroska).",
        ),
    ] = None,
    certain: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Tell an event of this score while it goes on, and again when over."
        ),
    ] = None,
    window_seconds: Annotated[
        float | None,
        typer.Option("--window-seconds", help="Read so much at a time; default: a place's length."),
    ] = None,
    stall_seconds: Annotated[
        float, typer.Option("--stall-seconds", help="Nothing came for so long: tell what is known.")
    ] = 5.0,
    give_up_seconds: Annotated[
        float | None,
        typer.Option("--give-up-seconds", help="Nothing came for so long: end. Default: never."),
    ] = None,
    skip_when_behind: Annotated[
        bool,
        typer.Option(
            "--skip-when-behind", help="Let go of what cannot be read in time, and count it."
        ),
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            help="Read URLs of this origin (rtsp://camera:554); may be repeated.",
        ),
    ] = None,
    frame_rate: Annotated[
        str | None, typer.Option("--frame-rate", help="Of timecodes; default: the stream's.")
    ] = None,
    batch_size: BatchSize = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Tell the events of a stream as JSON lines until it ends or is stopped (Ctrl-C).

    An event's line says how long after its start it was told: `delay_seconds` on the stream's
    clock, `wall_delay_seconds` since its first frame came. What is open at the end is told.
    """
    with faults(debug):
        from .watch import WatchRequest, watch_command

        plugins()
        request = WatchRequest(
            source=source,
            model=model,
            output=output,
            certain=certain,
            window_seconds=window_seconds,
            stall_seconds=stall_seconds,
            give_up_seconds=give_up_seconds,
            skip_when_behind=skip_when_behind,
            allow_origin=tuple(allow_origin or ()),
            frame_rate=frame_rate,
            device=device,
            batch_size=batch_size,
        )
        raise typer.Exit(watch_command(request))
