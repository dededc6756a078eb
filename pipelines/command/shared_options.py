"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str | None, typer.Option(help="Name, path or hub id; the bundled model without it.")
]
Budget = Annotated[float | None, typer.Option(help="Share of the full cost to spend, 0 to 1.")]
MaxDrop = Annotated[
    float | None,
    typer.Option(help="Accuracy that may be lost, 0 to 1, as certified by the calibration."),
]
Policy = Annotated[str | None, typer.Option(help="Reading policy, instead of the model's.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Rows that the model computes at once.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...")]
Column = Annotated[str | None, typer.Option(help="Column of a table to read.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only the first inputs.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
TokenReduction = Annotated[
    str | None,
    typer.Option(
        help="Fewer tokens of each clip of a video transformer: merge or run_length, perhaps with "
        "how many: merge:0.7."
    ),
]
Sampling = Annotated[
    str | None,
    typer.Option(
        help="Which frames or clips of a video a classifier reads first: coarse_to_fine, "
        "end_first, uniform, sequential, or motion, told from packets."
    ),
]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="Largest frames that are decoded; 4096 x 2304 without it.")
]
