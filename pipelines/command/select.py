"""`temporal select`: good frames of videos, their times and their cost, as lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .faults import UsageFault, faults
from .shared_options import Debug, MaxPixels

SOME_FAILED = 3


def select(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Video files.")],
    num_frames: Annotated[
        int, typer.Option("--num-frames", "-n", min=1, help="Frames of each video.")
    ] = 16,
    by: Annotated[
        str | None,
        typer.Option(
            help="uniform, segments, keyframes, motion, diverse, or query, which is the default "
            "with --query."
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="What to look for; frames are scored by --model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A CLIP or SigLIP model: a folder or hub id.")
    ] = None,
    pick: Annotated[
        str | None,
        typer.Option(help="How scores choose: quantiles, top, adaptive, routed or log_det."),
    ] = None,
    power: Annotated[
        float | None, typer.Option(help="0 spreads frames, larger gathers them where scores are.")
    ] = None,
    max_scored: Annotated[
        int | None, typer.Option(min=1, help="Frames of a video that are scored at most.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=1, help="Frames that a model merges, which stand together.")
    ] = 1,
    tolerance_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="How far a frame may move to be cheaper to read; 0: exact."),
    ] = None,
    max_pixels: MaxPixels = None,
    debug: Debug = False,
) -> None:
    """Choose frames of videos; print a line of JSON for each: frames, times, cost, metadata.

    Frames are chosen and not written. A video that cannot be read has an `error` in its line.
    """
    with faults(debug):
        from ...data import Video
        from ...data.decode.files.container import MAX_PIXELS
        from ...models.selection.image_text import ImageText
        from ...models.selection.select import select as choose

        options: dict[str, Any] = {
            **{"by": by, "query": query, "pick": pick, "power": power, "max_scored": max_scored},
            **{"pairs": pairs, "tolerance_seconds": tolerance_seconds},
        }
        failed = 0
        try:
            if model is not None:
                options["model"] = ImageText.from_pretrained(model)  # once for all files
        except (OSError, ValueError) as error:
            raise UsageFault(f"model ({model}) cannot be loaded: {error}") from error
        for file in files:
            line: dict[str, Any] = {"file": str(file)}
            try:
                with Video(file, max_pixels=max_pixels or MAX_PIXELS) as video:
                    line |= choose(video, num_frames, read=False, **options).to_dict()
            except ValueError as error:  # of options: no file will do
                raise UsageFault(str(error)) from error
            except Exception as error:
                failed += 1
                line["error"] = f"{type(error).__name__}: {error}"
            typer.echo(json.dumps(line))
        if failed:
            raise typer.Exit(SOME_FAILED)
