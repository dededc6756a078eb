"""The part of the command line that is about events: `temporal export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .faults import faults, plugins
from .shared_options import Debug


def export(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The output directory of a run.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="A .json, .csv, .vtt, .edl, .ffmeta or .xml (Matroska); or a directory.",
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
    debug: Debug = False,
) -> None:
    """Write the events that a run found as captions, a cut list, chapters, a table or JSON."""
    with faults(debug):
        from .export import export_command

        plugins()
        files, unread = export_command(
            result,
            output=output,
            format_name=format,
            ids=ids or [],
            frame_rate=frame_rate,
            least_score=min_score,
        )
        for file in files:
            typer.echo(f"events: {file}")
        for video in unread:
            typer.echo(f"{video.id}: {video.status}: {video.error}", err=True)
