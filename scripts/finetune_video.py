"""Fine-tune FrameExit's exits on clips, with a frozen backbone, cross-validated by group.

    python scripts/finetune_video.py --data_dir CLIPS --output_dir out/tank

The folder holds a manifest `groups.csv` with the columns path, label, group and perhaps camera.
Every clip is answered by a reader that saw no clip of its group. Prints one JSON line with
accuracy, balanced accuracy and frames read, with 95 % intervals, and the same with whole cameras
held out. Saves the reader of each fold (for scripts/benchmarks/benchmark_video.py) and one trained
on all clips. Options of transformers.TrainingArguments work, or are refused
(temporal.pipelines.training.flags).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import HfArgumentParser, TrainingArguments, set_seed
from transformers.utils import logging

from temporal.data.labelled.clips import hold_out_clips, read_clips
from temporal.data.labelled.groups import grouped_folds, joined
from temporal.pipelines.training.flags import (
    IGNORED_FOR_CLIPS,
    check_flags,
    check_processes,
    given_options,
)
from temporal.pipelines.training.frames import Protocol, VideoArguments, training_defaults


def main() -> None:
    """Cross-validate, hold cameras out, train on everything, save and print."""
    kinds = (VideoArguments, TrainingArguments)
    parser = HfArgumentParser(kinds)
    parser.set_defaults(**training_defaults())
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        saved = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        args, training = parser.parse_dict({**training_defaults(), **saved})
        given = set(saved)
    else:
        args, training = parser.parse_args_into_dataclasses()
        given = given_options(kinds, sys.argv[1:])
    check_flags(training, given, IGNORED_FOR_CLIPS)
    check_processes(training, alone=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    set_seed(training.seed)
    clips, names = read_clips(args.data_dir, args.manifest)
    if args.calibration_share:
        clips, _ = hold_out_clips(clips, args.calibration_share, training.seed)
    clips = clips[:: max(1, len(clips) // args.max_clips)] if args.max_clips else clips
    output = Path(training.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    protocol = Protocol(args, training, clips, names)

    labels, digests = [clip.label for clip in clips], [clip.digest for clip in clips]
    groups = joined([clip.group for clip in clips], digests)
    folds = grouped_folds(labels, groups, args.num_folds, training.seed)
    readers, logits = protocol.cross_validate(folds)
    config = readers[0].config
    result = {"by_group": protocol.judge(config, logits)}
    for k, reader in enumerate(readers):
        reader.save_pretrained(output / f"fold{k}")
    of_cameras = joined([clip.camera or "-" for clip in clips], digests)
    cameras = sorted(set(of_cameras))
    if len(cameras) >= 2:
        held = [[k for k, own in enumerate(of_cameras) if own == name] for name in cameras]
        result["cameras_held_out"] = protocol.judge(config, protocol.cross_validate(held)[1])
    final = protocol.train(range(len(clips)))
    protocol.store_points(final, logits)
    final.save_pretrained(output / "final")
    paths = [[clips[row].path for row in fold] for fold in folds]
    (output / "folds.json").write_text(json.dumps(paths, indent=1))
    (output / "all_results.json").write_text(json.dumps(result, indent=2))
    print(json.dumps({"output_dir": str(output), **result}))


if __name__ == "__main__":
    main()
