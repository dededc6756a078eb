"""Does a calibrated reader keep its promise on labelled data that calibration did not see?

    python scripts/check_certificate.py --task text --model out/sst2 --data_file dev.txt

Reads everything, then at the reader's own operating point (or that of --budget or --max_drop), both
through the pipeline, and compares answer by answer. Prints JSON: the bound that was certified, the
drop that was measured here with its exact 95 % interval, and whether the drop lies within the
bound. A drop within the noise of a small file may lie on either side; where even the interval does,
the promise is refuted for data like this. Rows that the reader was trained or calibrated on are
refused: its folder remembers them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from transformers import HfArgumentParser

from temporal.models.rows_seen import Use
from temporal.pipelines.calibration.options import CheckOptions
from temporal.pipelines.calibration.run import run_check
from temporal.pipelines.held_out.arguments import HeldOutArguments
from temporal.pipelines.held_out.rows import read_held_out


@dataclass
class CheckArguments(CheckOptions, HeldOutArguments):
    """A reader, new rows, and which operating point to check."""

    def __post_init__(self) -> None:
        HeldOutArguments.__post_init__(self)
        CheckOptions.__post_init__(self)


def main() -> None:
    """Check and print."""
    (args,) = HfArgumentParser(CheckArguments).parse_args_into_dataclasses()
    refuse: tuple[Use, ...] = ("training", "selection", "calibration")
    found = run_check(
        f"{args.task}-classification",
        args.model,
        args,
        lambda pipe: read_held_out(args, pipe, refuse),
        batch_size=args.batch_size,
    )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
