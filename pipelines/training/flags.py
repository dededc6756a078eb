"""Options of a training that cannot do what they say are refused before any work is done.

For the fine-tuning scripts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks

_WORLD_SIZES = (
    "WORLD_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "SLURM_STEP_NUM_TASKS",
)
"""Where torchrun, Open MPI, Intel MPI, MVAPICH and srun say how many processes they started."""


_OWN_LOSSES = "the reader's own losses are what it learns by; leave it out"
IGNORED_FOR_TEXTS = {
    "do_predict": "answer texts with `temporal run text-classification FILE --model DIR "
    "--column text --output OUT`",
    "label_smoothing_factor": _OWN_LOSSES,
    "batch_eval_metrics": "scores are of all rows at once; leave it out",
    "include_for_metrics": "scores need answers and labels alone; leave it out",
}
"""Options of `TrainingArguments` that finetune_text.py has no use for, and what to do instead."""
_ONE_BATCH = "all clips are one batch; leave it out"
_NO_EVALUATION = "clips are judged by folds, after training; leave it out"
_NO_CHECKPOINTS = "each fold is trained in seconds and saved at its end; leave it out"
_OWN_OPTIMIZER = "exits are fitted by L-BFGS; --exit_decay is its weight decay"
IGNORED_FOR_CLIPS = {
    "do_predict": "answer clips with `temporal run video-classification CLIPS --model DIR "
    "--output OUT`",
    "label_smoothing_factor": _OWN_LOSSES,
    "num_train_epochs": "say by --max_steps how long to fit",
    **dict.fromkeys(
        (
            *("per_device_train_batch_size", "gradient_accumulation_steps", "dataloader_drop_last"),
            *("train_sampling_strategy", "auto_find_batch_size"),
        ),
        _ONE_BATCH,
    ),
    **dict.fromkeys(
        (
            *("eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "batch_eval_metrics"),
            *("per_device_eval_batch_size", "include_for_metrics", "load_best_model_at_end"),
            *("metric_for_best_model",),
        ),
        _NO_EVALUATION,
    ),
    **dict.fromkeys(
        ("save_strategy", "save_steps", "save_total_limit", "resume_from_checkpoint"),
        _NO_CHECKPOINTS,
    ),
    **dict.fromkeys(
        ("optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay"),
        _OWN_OPTIMIZER,
    ),
    "push_to_hub": "upload the folder of the reader that is wanted",
}
"""The same of finetune_video.py, where exits are fitted convexly."""
IGNORED_FOR_FRAMES = {
    **{name: IGNORED_FOR_CLIPS[name] for name in ("do_predict", "push_to_hub")},
    **{name: IGNORED_FOR_TEXTS[name] for name in ("batch_eval_metrics", "include_for_metrics")},
    "label_smoothing_factor": _OWN_LOSSES,
    "load_best_model_at_end": "the best is kept where clips are held out to pick it by: give "
    "--selection_share, or data with a split validation",
}
"""The same, where readers of frames learn by gradients."""


def given_options(dataclasses: Sequence[Any], argv: Sequence[str]) -> set[str]:
    """Names of the options that a command line gives, whatever their values and abbreviations."""
    parser = HfArgumentParser(list(dataclasses))
    for action in parser._actions:
        action.default = argparse.SUPPRESS
        action.required = False
    return set(vars(parser.parse_known_args(list(argv))[0]))


def check_flags(args: TrainingArguments, given: set[str], ignored: Mapping[str, str]) -> None:
    """Refuse options that a script takes and would not act on.

    Args:
        args: as parsed.
        given: names of the options that were given.
        ignored: options that do nothing in this script, each with what to do instead. One that is
            switched off, or has the value that the script uses, is no lie.

    Raises:
        SystemExit: an option says something that would not happen.
    """
    for name in sorted(given & ignored.keys()):
        value = getattr(args, name)
        value = getattr(value, "value", value)
        if value and value != "no":
            raise SystemExit(f"--{name} ({value}) does nothing here: {ignored[name]}")
    if "do_eval" in given and args.do_eval and not args.do_train:
        raise SystemExit(
            "--do_eval (True) without --do_train asks for no training, and this script trains: "
            "give --do_train, too, or neither; `temporal benchmark` judges a saved reader"
        )
    if "do_train" in given and not args.do_train:
        raise SystemExit("--do_train (False) does nothing here: this script trains")
    check_reporters(args)


def check_reporters(args: TrainingArguments) -> None:
    """Refuse to report to what is not installed, before hours of work and not after.

    Raises:
        SystemExit: the package is not there.
    """
    reports = args.report_to or []
    names = [reports] if isinstance(reports, str) else reports
    for callback in get_reporting_integration_callbacks(args.report_to):
        try:
            callback()
        except (ImportError, RuntimeError) as error:
            raise SystemExit(
                f"--report_to ({' '.join(names)}) cannot be had: {error} Install it, or "
                "give --report_to none"
            ) from error


def check_processes(args: TrainingArguments, *, alone: bool = False) -> None:
    """Refuse processes that know nothing of each other: each would train on everything.

    Args:
        args: as parsed; its `world_size` is of the trainer.
        alone: the script runs in one process only.

    Raises:
        SystemExit: more, or fewer, were started than the trainer has.
    """
    started = processes_started()
    if started is None:
        return
    count, how = started
    if alone and count > 1:
        raise SystemExit(
            f"{how} asks for {count} processes, and this script runs in one: start it by python"
        )
    if count != args.world_size:
        raise SystemExit(
            f"{how} asks for {count} processes, and the trainer has {args.world_size}: it would "
            "train everything in each alone. Without a GPU: torchrun --nproc_per_node "
            f"{max(count, 2)} scripts/finetune_text.py --use_cpu true ... (accelerate launch --cpu "
            "starts one process whatever --num_processes says)"
        )


def processes_started() -> tuple[int, str] | None:
    """How many processes were asked for, and where that was said; None: nowhere."""
    for name in _WORLD_SIZES:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value), f"{name} ({value})"
    if "ACCELERATE_MIXED_PRECISION" in os.environ:  # set by accelerate launch, which says no more
        try:
            words = psutil.Process().parent().cmdline()
        except (psutil.Error, AttributeError):
            return None
        count = accelerate_processes(words)
        if count is not None:
            return count, f"accelerate launch --num_processes {count}"
    return None


def accelerate_processes(words: Sequence[str]) -> int | None:
    """What the command line of `accelerate launch` asks for; None: it leaves that open."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--num_processes", "--num-processes", type=int)
    try:
        found: Any = parser.parse_known_args(list(words))[0].num_processes
    except SystemExit:
        return None
    return found
