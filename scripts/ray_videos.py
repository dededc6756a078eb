"""Read videos with actors of Ray, on this machine or on a cluster, and commit their rows.

    python scripts/ray_videos.py data/examples/clips --output out/ray_videos --num-actors 2
    RAY_ADDRESS=auto python scripts/ray_videos.py /shared/clips --output /shared/rows \
        --num-actors 16 --num-gpus 0.5 --num-cpus 4 --resume

A run that was stopped, by a signal or by the loss of this process, goes on with --resume. Paths
must lead to the same files on all machines; the output is written by this process alone.
"""

from __future__ import annotations

import argparse
import sys

from temporal.data import collect
from temporal.pipelines import RunManifest, run
from temporal.pipelines.display.report import print_all, summary_table
from temporal.pipelines.ray import RayPipeline


def main() -> None:
    """Read, show the table, and leave with the exit code of `temporal run`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("inputs", help="directory, glob, list or table of videos")
    parser.add_argument("--output", required=True)
    parser.add_argument("--model", help="path or hub id; default: the bundled reader")
    parser.add_argument("--budget", type=float, help="share of the full cost")
    parser.add_argument("--num-actors", type=int, default=1)
    parser.add_argument("--num-cpus", type=float, default=1.0, help="of each actor")
    parser.add_argument("--num-gpus", type=float, default=0.0, help="of each actor")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    with RayPipeline(
        "video-classification",
        args.model,
        num_actors=args.num_actors,
        num_cpus=args.num_cpus,
        num_gpus=args.num_gpus,
        budget=args.budget,
    ) as pipe:
        manifest = RunManifest(
            task=pipe.task,
            model=pipe.model_name,
            budget=args.budget,
            options={"inputs": args.inputs},
        )
        summary = run(
            pipe,
            collect(args.inputs, kind="video", other_columns=None),
            args.output,
            manifest=manifest,
            resume=args.resume,
        )
    print_all(summary_table(summary))
    sys.exit(summary.exit_code)


if __name__ == "__main__":
    main()
