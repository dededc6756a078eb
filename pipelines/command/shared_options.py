"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ..tasks.registry import RECORDS
from .faults import plugins


def _task(name: str) -> str:
    """Refuse what is no task, here or in a plugin."""
    plugins()
    if name not in RECORDS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, RECORDS))}.")
    return name


Task = Annotated[
    str, typer.Argument(metavar="TASK", help=f"{' or '.join(RECORDS)}.", callback=_task)
]
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
Dtype = Annotated[
    str | None,
    typer.Option(
        help="What the model computes in, e.g. bfloat16; float32, or as it was calibrated."
    ),
]
Audit = Annotated[
    float | None,
    typer.Option(
        help="Share of the inputs, 0 to 1, that is read in full as well; how many answers differ "
        "is told with bounds that hold at any time."
    ),
]
MaxDisagreement = Annotated[
    float | None,
    typer.Option(
        help="With --audit: once more answers than this share differ for certain, all that comes "
        "is read in full."
    ),
]
AuditSeed = Annotated[int, typer.Option(help="With --audit: another one audits other inputs.")]
OnError = Annotated[
    Literal["record", "raise", "skip"],
    typer.Option(
        help="A bad input: give it a row, end the run, or leave it out. Exit code 3 in each."
    ),
]
MaxErrorRate = Annotated[
    float | None,
    typer.Option(
        help="Share of inputs, 0 to 1, above which errors stop the run, to go on with by --resume "
        "(exit code 4). Of those that this run has read, once they are 100; without it errors "
        "never do."
    ),
]
ResumeAnyway = Annotated[
    bool,
    typer.Option(
        "--resume-anyway", help="Go on although the inputs, the model or an option changed."
    ),
]
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
CandidateLabel = Annotated[
    list[str] | None,
    typer.Option(help="Of zero-shot tasks: a name to choose from; repeated for each."),
]
AskedQuestion = Annotated[
    str | None,
    typer.Option("--question", help="Asked about every video that has no question of its own."),
]
AnswerOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="An answer to choose from; may be repeated, two or more."),
]
NumFrames = Annotated[
    int | None,
    typer.Option(min=1, help="Frames of a full reading; default: the model's."),
]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="Tokens of a written answer.")]
HypothesisTemplate = Annotated[
    str | None,
    typer.Option(help="Of zero-shot tasks: what each name is put into: 'This is a photo of {}.'"),
]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="Largest frames that are decoded; 4096 x 2304 without it.")
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="Directory for the results; or the URL of one, of a store (s3://...).",
    ),
]
Result = Annotated[
    str, typer.Argument(metavar="RESULT", help="The output directory of a run, or its URL.")
]
OnlyComplete = Annotated[
    bool,
    typer.Option(
        "--only-complete",
        help="The output appears when the run is complete, as a URL's always does.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove the run in the output directory first.")
]
Format = Annotated[Literal["parquet", "jsonl"], typer.Option(help="Format of the results.")]
KeepText = Annotated[
    bool, typer.Option("--keep-text", help="Store the texts, so that `show` can draw them.")
]
DeadlineSeconds = Annotated[
    float, typer.Option(min=0, help="Longest decode of a video; 0: no limit, no own process.")
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Read https URLs of public addresses.")
]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(
        help="Read URLs of this origin (http://host:port) or bucket (s3://bucket); may be repeated."
    ),
]
NumProcesses = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that share the work, each with an accelerator of its own; as many as there "
        "are accelerators, or one on a CPU. The same command by `accelerate launch` or `torchrun` "
        "has as many as these start.",
    ),
]
