"""Choose how much a reader reads from held-out data, say what is certain, and save both.

    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.3 --max_drop 0.01
    python scripts/calibrate.py --task text --model out/skim --data_file imdb.parquet --budget 0.3
    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.3 --cost_unit ms --budget_cost 1.5
    python scripts/calibrate.py --task video --model DIR --data_file CLIPS_DIR --budget 0.6

The chosen policy becomes the reader's own; operating points with bounds are stored beside it, so
that `budget=` and `max_drop=` can pick others at call time. `temporal.training.calibration` says
what the bounds promise. Prints one JSON line, with the promise in a sentence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from held_out import HeldOutArguments, read_held_out
from transformers import HfArgumentParser

from temporal.pipelines import pipeline
from temporal.pipelines.calibration.calibrate import CannotCalibrate, calibrate, save_calibration
from temporal.pipelines.calibration.options import CalibrationOptions


@dataclass
class CalibrationArguments(CalibrationOptions, HeldOutArguments):
    """A reader, held-out rows, and to what to calibrate."""

    def __post_init__(self) -> None:
        HeldOutArguments.__post_init__(self)
        CalibrationOptions.__post_init__(self)


def main() -> None:
    """Calibrate, save and print."""
    (args,) = HfArgumentParser(CalibrationArguments).parse_args_into_dataclasses()
    pipe = pipeline(f"{args.task}-classification", args.model, batch_size=args.batch_size)
    held_out = read_held_out(args, pipe)
    try:
        found = calibrate(pipe, held_out.inputs, held_out.labels, args, seed=args.split_seed())
    except CannotCalibrate as error:
        raise SystemExit(str(error)) from error
    save_calibration(args.model, found, held_out.shown)
    print(json.dumps(found.report(held_out.report)))


if __name__ == "__main__":
    main()
