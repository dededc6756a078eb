"""The part of the command line that finds videos by words: `temporal index` and `search`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .faults import BAD_INPUTS, STOPPED, UsageFault, faults, plugins
from .shared_options import BatchSize, Column, Debug, Device, Limit

Index = Annotated[Path, typer.Option("--index", "-i", help="Directory of the index.")]


def index(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files, directories, globs, tables.")
    ],
    index: Index,
    model: Annotated[
        str | None,
        typer.Option(help="Path or hub id of an image-text model; an index keeps its own."),
    ] = None,
    num_frames: Annotated[
        int | None, typer.Option("--num-frames", min=1, help="Frames of each video; 32.")
    ] = None,
    num_embeddings: Annotated[
        int | None,
        typer.Option("--num-embeddings", min=1, help="Of these, so many are kept; 8."),
    ] = None,
    every_seconds: Annotated[
        float | None,
        typer.Option("--every-seconds", help="A long video has a frame for each so many; 8."),
    ] = None,
    column: Column = None,
    limit: Limit = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Read again what could not be read before.")
    ] = False,
    batch_size: BatchSize = None,
    device: Device = None,
    deadline_seconds: Annotated[
        float, typer.Option("--deadline-seconds", min=0, help="Of one read; 0: no killable worker.")
    ] = 60.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No bar and no report.")] = False,
    debug: Debug = False,
) -> None:
    """Read videos into an index that `temporal search` finds them in; new and changed ones alone.

    Exit code 3: some cannot be read (their rows say why); 75: stopped, the same command goes on.
    """
    with faults(debug):
        plugins()
        from ..search.search import VideoSearch

        isolation = {"isolate": True, "deadline_seconds": deadline_seconds}
        try:
            search = VideoSearch(
                index,
                model=model,
                device=device,
                batch_size=batch_size,
                num_frames=num_frames,
                num_embeddings=num_embeddings,
                every_seconds=every_seconds,
                **(isolation if deadline_seconds else {}),
            )
            given = inputs[0] if len(inputs) == 1 else inputs
            summary = search.add(given, retry=retry, progress=not quiet, column=column, limit=limit)
        except (ValueError, OSError) as error:
            raise UsageFault(str(error)) from error
        for name, why in summary.errors.items():
            typer.echo(f"{name}: {why}", err=True)
        bad = summary.failed_before
        if not quiet:
            known = f" ({bad} with an error, which --retry reads again)" if bad else ""
            typer.echo(
                f"{summary.videos} videos read ({summary.embeddings} vectors, "
                f"{summary.frames_read} frames, {summary.frames_decoded} decoded), "
                f"{summary.known} known{known}, {len(summary.errors)} with errors; the index has "
                f"{len(search.places.videos)} vectors of {len(search.places.names)} videos"
            )
        if summary.stopped:
            raise typer.Exit(STOPPED)
        raise typer.Exit(BAD_INPUTS if summary.errors or bad else 0)


def search(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be seen.")],
    index: Index,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Videos that are told.")] = 10,
    refine: Annotated[
        int, typer.Option(min=0, help="Best places that are looked at more closely.")
    ] = 10,
    frames_per_place: Annotated[
        int, typer.Option("--frames-per-place", min=1, help="Frames that are read of each.")
    ] = 4,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    debug: Debug = False,
) -> None:
    """Find the videos of an index that fit a text, and where in them."""
    with faults(debug):
        plugins()
        from ..search.search import VideoSearch

        try:
            if not (index / ".index.json").exists():
                raise UsageFault(f"index ({index}) is not there: make it by temporal index")
            opened = VideoSearch(index, device=device)
            found = opened.read(
                query, top_k=top_k, refine=refine, frames_per_place=frames_per_place
            )
        except (ValueError, OSError) as error:
            raise UsageFault(str(error)) from error
        for row in found.rows:
            line = f"{row['score']:.3f}  {row['seconds']:8.1f} s  {row['video']}"
            typer.echo(json.dumps(row) if as_json else line)
        typer.echo(
            f"{found.frames_read} more frames of {found.videos_read} videos were read "
            f"({found.frames_decoded} decoded)",
            err=True,
        )
