"""`temporal run --num-processes`: the same command several times, by accelerate's launcher."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import typer

from ..jobs.ranks import Ranks
from .faults import STOPPED, UsageFault

_OPTION = "num_processes"


def processes_to_start(asked: int | None, device: str | None) -> int:
    """How many processes this one is to start; 1: none, it reads by itself.

    Args:
        asked: By the user; None: one for each accelerator, and one without any.
        device: That was asked for: one that is named is one.

    Raises:
        UsageFault: this process is one of several that a launcher has started.
    """
    try:
        is_rank = Ranks.from_environment().world_size > 1
    except ValueError:
        return 1  # the run says what is wrong
    if is_rank or os.environ.get("TORCHELASTIC_RUN_ID"):
        if asked is not None:
            raise UsageFault(
                f"--num-processes ({asked}) is for a process that starts the others, and this one "
                "was started by a launcher: leave it out, or start `temporal run` by itself"
            )
        return 1
    if asked is not None:
        return asked
    if device is not None and (device == "cpu" or ":" in device):
        return 1
    import torch

    return max(1, torch.accelerator.device_count()) if torch.accelerator.is_available() else 1


def launch(num_processes: int, context: typer.Context, *, is_program: bool) -> int:
    """Run the command of `context` in so many processes, and return the exit code of all.

    Args:
        num_processes: At least 2.
        context: Of a command with the option `--num-processes`, which the processes do not get.
        is_program: Whether this process is the command line, and not one that calls a command.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # of a store whose rank is gone
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    threads = max(1, (os.cpu_count() or 1) // num_processes)
    options: dict[str, Any] = {
        "num_processes": num_processes,
        "num_machines": 1,
        "num_cpu_threads_per_process": os.environ.get("OMP_NUM_THREADS") or threads,
        "main_process_port": 0,
        "mixed_precision": "no",
        "dynamo_backend": "no",
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    # Several processes on a CPU are started in this way as well: `--cpu` starts one.
    arguments = ["--multi_gpu", *words, *_program(is_program), *command_line(context)]
    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0 and code != STOPPED), STOPPED)
    return 0


def command_line(context: typer.Context) -> list[str]:
    """The words that a command was called with, but for `--num-processes`."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name == _OPTION or value is None or value is False:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            arguments += map(str, values)
        elif value is True:
            options.append(parameter.opts[0])
        else:
            options += [word for one in values for word in (parameter.opts[0], str(one))]
    end = ["--"] if any(argument.startswith("-") for argument in arguments) else []
    return [*_names(context), *options, *end, *arguments]


def _names(context: Any) -> list[str]:
    """`["run"]`: the command, without the program."""
    above = context.parent
    return [] if above is None else [*_names(above), str(context.info_name)]


def _program(is_program: bool) -> list[str]:
    """How this program was started: as a script, or as a module."""
    if is_program:
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            return ["--module", spec.name.removesuffix(".__main__")]
        return [str(main.__file__)]
    return ["--module", "temporal"]
