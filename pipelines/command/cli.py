"""The command line: `temporal run`, `select`, `show`, `index`, `search`, `calibrate` and others.

Exit codes:
  0   every input is ok
  1   a fault of this library, or of the machine
  2   what was asked for cannot be done: arguments, inputs none of which is there, an output that is
      not to be written to, a model that cannot be loaded
  3   some inputs are partial, bad or left out, or one ended the run (`--on-error raise`)
  4   resumable: stopped by itself, as more inputs have an error than `--max-error-rate` bears
  75  resumable: stopped by a signal or by a disk that refused, or inputs of another rank have no
      row and that rank is not at work
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import temporal

from ..jobs.stop import exit_on_signal
from ..jobs.streams import forgive_closed_streams
from . import shared_options as shared
from .event_commands import export, watch
from .faults import UsageFault, faults, plugins
from .model_commands import HELD_OUT, OF_A_DATACLASS, calibrate, card, check
from .search_commands import index, search
from .select import select
from .shared_options import (
    Audit,
    AuditSeed,
    BatchSize,
    Budget,
    CandidateLabel,
    Column,
    Debug,
    Device,
    Dtype,
    HypothesisTemplate,
    Limit,
    MaxDisagreement,
    MaxDrop,
    MaxErrorRate,
    MaxPixels,
    Model,
    OnError,
    Policy,
    ResumeAnyway,
    Sampling,
    Task,
    TokenReduction,
)

app = typer.Typer(
    name="temporal",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"temporal {temporal.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Read videos and texts in part: skip what does not matter, halt when certain."""


@app.command()
def run(
    context: typer.Context,
    task: Task,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Files, directories, globs, lists, tables, archives, or URLs of these.",
        ),
    ],
    output: shared.Output,
    model: Model = None,
    budget: Budget = None,
    max_drop: MaxDrop = None,
    policy: Policy = None,
    token_reduction: TokenReduction = None,
    sampling: Sampling = None,
    candidate_label: CandidateLabel = None,
    hypothesis_template: HypothesisTemplate = None,
    question: shared.AskedQuestion = None,
    answer_option: shared.AnswerOption = None,
    num_frames: shared.NumFrames = None,
    max_new_tokens: shared.MaxNewTokens = None,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Dtype = None,
    audit: Audit = None,
    max_disagreement: MaxDisagreement = None,
    audit_seed: AuditSeed = 0,
    on_error: OnError = "record",
    max_error_rate: MaxErrorRate = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Predictions kept per input.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run.")] = False,
    resume_anyway: ResumeAnyway = False,
    overwrite: shared.Overwrite = False,
    only_complete: shared.OnlyComplete = False,
    format: shared.Format = "parquet",
    column: Column = None,
    id_column: Annotated[str | None, typer.Option(help="Column that names the inputs.")] = None,
    limit: Limit = None,
    keep_text: shared.KeepText = False,
    deadline_seconds: shared.DeadlineSeconds = 60.0,
    max_pixels: MaxPixels = None,
    allow_remote: shared.AllowRemote = False,
    allow_origin: shared.AllowOrigin = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
    num_processes: shared.NumProcesses = None,
    debug: Debug = False,
) -> None:
    """Read every input and write one row for each; --resume finishes a stopped run."""
    with faults(debug):
        from ..jobs.guard import guard_rank
        from .launch import launch, processes_to_start

        guard_rank()
        if (count := processes_to_start(num_processes, device)) > 1:
            raise typer.Exit(launch(count, context, is_program=_is_program))
        from .run import RunRequest, run_command

        request = RunRequest(
            task=task,
            inputs=tuple(inputs),
            output=Path(output),
            place=output,
            only_complete=only_complete,
            model=model,
            budget=budget,
            max_drop=max_drop,
            policy=policy,
            token_reduction=token_reduction,
            sampling=sampling,
            candidate_labels=tuple(candidate_label or ()),
            hypothesis_template=hypothesis_template,
            question=question,
            answers=tuple(answer_option or ()),
            num_frames=num_frames,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            audit=audit,
            max_disagreement=max_disagreement,
            audit_seed=audit_seed,
            on_error=on_error,
            max_error_rate=max_error_rate,
            top_k=top_k,
            resume=resume,
            resume_anyway=resume_anyway,
            overwrite=overwrite,
            format=format,
            column=column,
            id_column=id_column,
            limit=limit,
            keep_text=keep_text,
            deadline_seconds=deadline_seconds,
            max_pixels=max_pixels,
            allow_remote=tuple(allow_origin) if allow_origin else allow_remote,
            quiet=quiet,
        )
        raise typer.Exit(run_command(request))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video file.")],
    max_pixels: MaxPixels = None,
    debug: Debug = False,
) -> None:
    """Show what a video is and what reading it would cost, without decoding it."""
    with faults(debug):
        from ...data import Video, VideoError
        from ...data.decode.files.container import MAX_PIXELS
        from ..display.report import print_all
        from .inspect import inspection

        try:
            with Video(file, max_pixels=max_pixels or MAX_PIXELS) as video:
                tables = inspection(video)
        except VideoError as error:
            raise UsageFault(
                f"file ({file}) cannot be read ({error.reason}): {error.args[0]}"
            ) from error
        print_all(tables)


@app.command()
def show(
    result: shared.Result,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Show this input; may be repeated.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a PNG.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Readings shown without --id.")] = 6,
    debug: Debug = False,
) -> None:
    """Show what was read, skimmed and skipped: in the terminal, and as a picture."""
    with faults(debug):
        from .outputs.results import run_at
        from .show import show_command

        plugins()
        show_command(run_at(result), ids=ids or [], output=output, limit=limit)


for command in (card, export, index, search, select, watch):
    app.command()(command)

for judged in (calibrate, check):
    app.command(context_settings=OF_A_DATACLASS, options_metavar=HELD_OUT)(judged)


@app.command()
def benchmark(
    task: Task,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A table with a column of labels, or a folder for each class."
        ),
    ],
    model: Model = None,
    static: Annotated[
        str | None,
        typer.Option(
            help="A smaller model to measure beside it, read in full: a reader, or any folder or "
            "hub id that pipeline() or an Auto class of transformers loads for this task; its "
            "classes are those of the model, in any order."
        ),
    ] = None,
    budget: Budget = None,
    max_drop: MaxDrop = None,
    policy: Policy = None,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Dtype = None,
    token_reduction: TokenReduction = None,
    sampling: Sampling = None,
    column: Column = None,
    label_column: Annotated[
        str,
        typer.Option("--label-column", "--label_column", help="Column of a table with the labels."),
    ] = "label",
    limit: Limit = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds; the median counts.")] = 3,
    curve: Annotated[
        bool,
        typer.Option(
            help="Videos: also uniform frames in several numbers, by our own reads and by decord, "
            "the reader's operating points, and transformers' pipeline where it can run."
        ),
    ] = True,
    leave_out_seen: Annotated[
        bool,
        typer.Option(
            "--leave-out-seen", help="Leave out inputs that the reader was trained on; else refuse."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw accuracy against time: a .png, .pdf or .svg.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure a reader against its baselines on labelled data: accuracy, time, share read.

    Beside it, in one run: the same weights that read everything, those on a part of each input
    that takes the reader's time (the first tokens, or some uniform frames), and --static.
    """
    with faults(debug):
        from .benchmark import BenchmarkRequest, benchmark_command

        request = BenchmarkRequest(
            task=task,
            data=data,
            model=model,
            static=static,
            budget=budget,
            max_drop=max_drop,
            policy=policy,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            token_reduction=token_reduction,
            sampling=sampling,
            column=column,
            label_column=label_column,
            limit=limit,
            rounds=rounds,
            curve=curve,
            leave_out_seen=leave_out_seen,
            json=as_json,
            plot=plot,
        )
        raise typer.Exit(benchmark_command(request))


_is_program = False
"""Whether this process is the command line itself, and not one that calls a command."""


def main() -> None:
    """Run the command line (the `temporal` script)."""
    global _is_program
    _is_program = True
    forgive_closed_streams()
    with exit_on_signal(debug="--debug" in sys.argv[1:]):
        app()


if __name__ == "__main__":
    main()
