"""Fine-tune a reader of frames on clips: one process or torchrun.

    python scripts/finetune_video.py --data_dir CLIPS --output_dir out/tank

    python scripts/finetune_video.py --data_dir CLIPS --output_dir out/gate \
        --reader_options '{"gate": true}' --backbone google/vit-base-patch16-224
    torchrun --nproc_per_node 2 scripts/finetune_video.py ... --unfreeze last:2 [--use_cpu true]

The data is a folder with a folder for each class (perhaps below train, validation and test), or a
table of path, label and perhaps group, camera, split, start and end, or a folder with one
(`groups.csv`); or WebDataset archives (`--data_dir 'clips-{000..009}.tar'`), or a dataset of
`datasets` (`--dataset_name NAME --streaming`). Where it names splits, they are trained on, picked
and judged by; else every clip is answered by a reader that saw no clip of its group, and once more
with whole cameras held out. A table of video, start_seconds, end_seconds and label (or a folder
with `events.csv`) trains a reader of events, with options of its own (docs/events.md).

With a frozen backbone every frame is seen once, and what was seen is kept (`--cache_dir`): further
trainings decode nothing. FrameExit's exits are then fitted by L-BFGS; all else is learned by
gradients, and a policy that does no better than uniform frames at its cost is reported so, with its
learning curve. Prints one JSON line. Saves the reader of each fold (for
scripts/benchmarks/benchmark_video.py) and `final`. After a kill, `--resume_from_checkpoint true`
goes on. Rows and videos that cannot be used are left out, told and counted, and one process then
ends with exit code 3; with more than a quarter of such nothing is trained. Options of
transformers.TrainingArguments work, or are refused (temporal.pipelines.training.flags).
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path

from accelerate import Accelerator
from transformers import HfArgumentParser, TrainingArguments, set_seed
from transformers.utils import logging

from temporal.data.labelled.clips import hold_out_clips
from temporal.pipelines.command.faults import BAD_INPUTS, USAGE, Refused, ended_by, refusals
from temporal.pipelines.held_out.faulty import check_share, tell
from temporal.pipelines.training.events.run import run_on_events
from temporal.pipelines.training.flags import (
    IGNORED_FOR_CLIPS,
    IGNORED_FOR_FRAMES,
    check_flags,
    check_processes,
    given_options,
)
from temporal.pipelines.training.texts import leave_together
from temporal.pipelines.training.video.frames import Protocol, VideoArguments
from temporal.pipelines.training.video.judge import said_of
from temporal.pipelines.training.video.run import run_folds, run_splits, training_defaults


def main() -> int:
    """Train, judge, save and print.

    Returns:
        The exit code: 3 where rows or videos were left out for their faults, as of `temporal run`.

    Raises:
        Refused: options or data cannot be used.
    """
    with refusals():
        of_events = run_on_events(sys.argv[1:])
        protocol = None if of_events is not None else prepared()
    if protocol is None:
        print(json.dumps(of_events))
        return BAD_INPUTS if of_events and of_events["train"]["left_out"] else 0
    args, training = protocol.args, protocol.training
    output = Path(training.output_dir)
    in_splits = any(clip.split not in ("", "train") for clip in protocol.clips)
    result = (run_splits if in_splits or args.eval_split else run_folds)(protocol, output)
    if protocol.left_out:
        result["left_out"] = protocol.left_out
    if training.process_index == 0:
        (output / "all_results.json").write_text(json.dumps(result, indent=2))
        for part in result.values():
            if "policy" in part:
                print(said_of(part["policy"], args.model), file=sys.stderr)
        print(json.dumps({"output_dir": str(output), **result}))
    if training.world_size > 1:
        leave_together(Accelerator(cpu=training.use_cpu))
        return 0  # launchers take all else for a process that broke down
    return BAD_INPUTS if protocol.left_out else 0


def prepared() -> Protocol:
    """The clips and the reader that the options name; what is left out is told."""
    kinds = (VideoArguments, TrainingArguments)
    parser = HfArgumentParser(kinds)
    saved = None
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        saved = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    given = given_options(kinds, sys.argv[1:]) if saved is None else set(saved)
    asked = vars(parser.parse_known_args()[0]) if saved is None else saved
    own = {one.name for one in fields(VideoArguments)}
    args = VideoArguments(**{name: value for name, value in asked.items() if name in own})
    listed = args.listed()
    num_listed = len(listed.clips) + len(listed.left_out)
    check_share(list(listed.left_out.items()), num_listed, args.clip_source)
    convex = args.fits_convexly(several=listed.several)
    defaults = training_defaults(convex=convex, frozen=args.unfreeze == "none")
    if not convex:
        best = "mean_average_precision" if listed.several else "accuracy"
        defaults["metric_for_best_model"] = best
    parser.set_defaults(**defaults)
    if saved is None:
        args, training = parser.parse_args_into_dataclasses()
    else:
        args, training = parser.parse_dict({**defaults, **saved})
    check_flags(training, given, IGNORED_FOR_CLIPS if convex else IGNORED_FOR_FRAMES)
    check_processes(training, alone=convex)
    if convex:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    set_seed(training.seed)
    clips = listed.clips
    if args.calibration_share:
        clips, _ = hold_out_clips(clips, args.calibration_share, training.seed)
    clips = clips[:: max(1, len(clips) // args.max_clips)] if args.max_clips else clips
    Path(training.output_dir).mkdir(parents=True, exist_ok=True)
    protocol = Protocol(args, training, clips, listed.names, several=listed.several)
    protocol.left_out |= listed.left_out
    faults = list(protocol.left_out.items())
    check_share(faults, num_listed, args.clip_source)
    tell(faults, num_listed)
    return protocol


if __name__ == "__main__":
    with ended_by(Refused, code=USAGE):
        sys.exit(main())
