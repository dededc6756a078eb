"""Choose how much a reader reads from held-out data, say what is certain, and save both.

    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.3 --max_drop 0.01
    python scripts/calibrate.py --task text --model out/skim --data_file imdb.parquet --budget 0.3
    python scripts/calibrate.py --task text --model out/sst2 --data_file train.txt \
        --calibration_share 0.3 --cost_unit ms --budget_cost 1.5
    python scripts/calibrate.py --task video --model DIR --data_file CLIPS_DIR --budget 0.6
    python scripts/calibrate.py --model BERT --data_file dev.txt --budget 0.5 --output_dir out/bert

The chosen policy becomes the reader's own; operating points with bounds are stored beside it, so
that `budget=` and `max_drop=` can pick others at call time. A classifier of transformers is read in
chunks, clips or frames, and saved as a reader of its own. `temporal.training.calibration` says
what the bounds promise. Prints one JSON line, with the promise in a sentence. `temporal calibrate`
does the same.
"""

from __future__ import annotations

import json

from temporal.pipelines.calibration.arguments import CalibrationArguments as CalibrationArguments
from temporal.pipelines.calibration.calibrate import CannotCalibrate
from temporal.pipelines.command.calibrate import calibrate_command
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.faulty import TooManyFaulty
from temporal.pipelines.held_out.unseen import NotNew


def main() -> None:
    """Calibrate, save and print."""
    with ended_by(CannotCalibrate, NotNew, TooManyFaulty):
        print(json.dumps(calibrate_command()))


if __name__ == "__main__":
    main()
