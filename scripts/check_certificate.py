"""Does a calibrated reader keep its promise on labelled data that calibration did not see?

    python scripts/check_certificate.py --task text --model out/sst2 --data_file dev.txt

Reads everything, then at the reader's own operating point (or that of --budget or --max_drop), both
through the pipeline, and compares answer by answer. Prints JSON: the bound that was certified, the
drop that was measured here with its exact 95 % interval, and whether the drop lies within the
bound. A drop within the noise of a small file may lie on either side; where even the interval does,
the promise is refuted for data like this. Rows that the reader was trained or calibrated on are
refused: its folder remembers them. `temporal check` does the same.
"""

from __future__ import annotations

import json

from temporal.pipelines.calibration.arguments import CheckArguments as CheckArguments
from temporal.pipelines.command.calibrate import check_command
from temporal.pipelines.command.faults import ended_by
from temporal.pipelines.held_out.faulty import TooManyFaulty
from temporal.pipelines.held_out.unseen import NotNew


def main() -> None:
    """Check and print."""
    with ended_by(NotNew, TooManyFaulty):
        print(json.dumps(check_command(), indent=2))


if __name__ == "__main__":
    main()
