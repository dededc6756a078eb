"""The run of finetune_video.py: train, judge, say whether a policy pays, store and save."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from ....data.labelled.clips import file_digest_of
from ....data.labelled.groups import grouped_folds, joined
from ....data.labelled.listed_clips import split_name
from .decoding import decoding
from .frames import Protocol
from .judge import UniformRival, beside_uniform, judge, learning_curve
from .points import store_inner_points, store_points


def training_defaults(*, convex: bool = True, frozen: bool = True) -> dict[str, Any]:
    """Options of the training where none are given.

    Convex: one batch of everything and a few steps of L-BFGS. Else AdamW over epochs.
    """
    quiet = {"report_to": "none", "dataloader_pin_memory": False}
    if convex:
        return {
            **quiet,
            "learning_rate": 1.0,
            "max_steps": 4,
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
            "weight_decay": 0.0,
            "max_grad_norm": 0.0,
        }
    return {
        **quiet,
        "learning_rate": 1e-3 if frozen else 1e-4,
        "num_train_epochs": 30 if frozen else 5,
        "per_device_train_batch_size": 32 if frozen else 8,
        "weight_decay": 0.01,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "epoch",
        "save_total_limit": 1,
    }


def run_splits(protocol: Protocol, output: Path) -> dict[str, Any]:
    """Train on the split `train`, judge on the others, save `final`.

    Raises:
        ValueError: there is no such split, or nothing to train on.
    """
    by_split: dict[str, list[int]] = {}
    for row, clip in enumerate(protocol.clips):
        by_split.setdefault(clip.split or "train", []).append(row)
    wanted = protocol.args.eval_split and split_name(protocol.args.eval_split)
    judged = [name for name in by_split if name != "train" and wanted in (None, name)]
    if not judged or "train" not in by_split:
        raise ValueError(
            f"eval_split ({wanted}) and train must be splits of the data that have clips, and it "
            f"has {sorted(by_split)}"
        )
    rows = list(by_split["train"])
    selects = not protocol.convex and "validation" in by_split
    if selects:  # the best checkpoint is picked by them, nothing else
        rows += by_split["validation"]
    first = "validation" if "validation" in judged else judged[0]
    reader = protocol.train(rows, folder=output / "final", judged=by_split[first])
    rival = UniformRival(protocol, output / "features")
    result: dict[str, Any] = {}
    for name in judged:
        held = by_split[name]
        asked = protocol.ask(reader, held)
        labels = protocol.labels[held]
        clips = [protocol.clips[row] for row in held]
        compares = not protocol.convex and reader.has_frame_features
        curve = rival.curve(reader, by_split["train"], held) if compares else None
        decoded = decoding(reader, clips, asked, [] if curve is None else curve.counts)
        result[name] = judge(asked, labels, decoded)
        if curve is not None:
            places = [range(len(held))]
            result[name]["policy"] = beside_uniform(asked, labels, [curve], places, decoded)
            if name == first:
                logs = protocol.curves.get(str(output / "final"), [])
                _write(
                    protocol, output / "learning_curve.json", {name: learning_curve(logs, curve)}
                )
        if name == first:
            store_points(reader, partial(protocol.ask, reader, held), labels)
            protocol.save(reader, output / "final")
    return result


def run_folds(protocol: Protocol, output: Path) -> dict[str, Any]:
    """Cross-validate by group, hold cameras out, train `final` on everything.

    Every clip is answered by a reader that saw no clip of its group.
    """
    clips, args = protocol.clips, protocol.args
    labels, digests = [clip.label for clip in clips], list(map(file_digest_of, clips))
    groups = joined([clip.group for clip in clips], digests)
    folds = grouped_folds(labels, groups, args.num_folds, protocol.training.seed)
    readers, asked = protocol.cross_validate(folds, output)
    for k, (reader, held) in enumerate(zip(readers, folds, strict=True)):
        others = sorted(set(range(len(clips))) - set(held))
        store_inner_points(protocol, reader, others, groups, output / f"fold{k}")
    curves, told = [], {}
    if not protocol.convex and readers[0].has_frame_features:
        rival = UniformRival(protocol, output / "features")
        for k, (reader, held) in enumerate(zip(readers, folds, strict=True)):
            others = sorted(set(range(len(clips))) - set(held))
            curves.append(rival.curve(reader, others, held))
            logs = protocol.curves.get(str(output / f"fold{k}"), [])
            told[f"fold{k}"] = learning_curve(logs, curves[-1])
    decoded = decoding(readers[0], clips, asked, curves[0].counts if curves else [])
    result = {"by_group": judge(asked, protocol.labels, decoded)}
    if curves:
        policy = beside_uniform(asked, protocol.labels, curves, folds, decoded)
        result["by_group"]["policy"] = policy
        _write(protocol, output / "learning_curve.json", told)
    of_cameras = joined([clip.camera or "-" for clip in clips], digests)
    cameras = sorted(set(of_cameras))
    if len(cameras) >= 2:
        held_out = [[k for k, own in enumerate(of_cameras) if own == name] for name in cameras]
        place = None if protocol.convex else output / "cameras"
        said = protocol.cross_validate(held_out, place)[1]
        result["cameras_held_out"] = judge(said, protocol.labels)
    final = protocol.train(range(len(clips)), folder=output / "final")
    store_points(final, partial(protocol.ask_each, readers, folds), protocol.labels)
    protocol.save(final, output / "final")
    names = [[clips[row].name for row in fold] for fold in folds]
    _write(protocol, output / "folds.json", names)
    return result


def _write(protocol: Protocol, file: Path, found: Any) -> None:
    if protocol.training.process_index == 0:
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
