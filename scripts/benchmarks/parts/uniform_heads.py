"""What readers of frames are measured against: frames that nobody learned to choose.

For each number of frames a head is trained for each fold, as finetune_video.py trains FrameExit's,
on the frames that are then read; it answers after all of them.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from temporal.pipelines import pipeline
from temporal.pipelines.benchmark.folds import FoldContestant, Folds
from temporal.pipelines.benchmark.uniform_videos import WAYS, UniformReader
from temporal.pipelines.benchmark.video_seen import VideoSeen
from temporal.pipelines.training.video.frames import Protocol, VideoArguments

_FEW = 4
"""Of more uniform frames, shifted views would repeat their neighbours."""


def heads(
    count: int,
    args: VideoArguments,
    training: Any,
    folds: Folds,
    names: Sequence[str],
    **frames: Any,
) -> list[Any]:
    """A reader for each fold that answers after so many frames.

    Args:
        count: of frames.
        args: of the training: backbone, features, weight of the squared weights.
        training: `TrainingArguments`.
        folds: of the clips.
        names: of the classes.
        **frames: other arguments, of which frames are read.
    """
    asked = {"order": "uniform", "snap_share": 0.0, **frames}
    views = args.views if count <= _FEW else 1
    own = replace(args, num_frames=count, min_frames=count, views=views, **asked)
    protocol = Protocol(own, training, folds.clips, names)
    if protocol.left_out:
        raise ValueError(f"data_dir must hold clips that can be read: {protocol.left_out}")
    rows = [[row for fold in folds.rows if fold is not held for row in fold] for held in folds.rows]
    return [protocol.train(part) for part in rows]


def uniform_readers(
    counts: Sequence[int],
    args: VideoArguments,
    training: Any,
    folds: Folds,
    names: Sequence[str],
    dtypes: Sequence[str] = ("float32",),
) -> dict[str, FoldContestant]:
    """Uniform frames by each way of reading, by names such as `decord_4`, `bfloat16 decord_4`.

    Heads are trained in float32, and compute in each of `dtypes` as the backbone does.
    """
    found: dict[str, FoldContestant] = {}
    for count in sorted(set(counts)):
        whole = heads(count, args, training, folds, names)
        for dtype, (way, fetch) in itertools.product(dtypes, WAYS.items()):
            trained = [copy.deepcopy(reader).to(getattr(torch, dtype)) for reader in whole]
            readers = [UniformReader(reader, fetch) for reader in trained]

            def run(
                fold: int,
                paths: Sequence[str],
                counts: bool,
                readers: Sequence[UniformReader] = readers,
            ) -> list[VideoSeen]:
                return [readers[fold](path, counts=counts) for path in paths]

            said = f"{count} uniform frame{'s' * (count > 1)} by {way}"
            name, says = in_type(f"{way}_{count}", said, dtype)
            found[name] = FoldContestant(says=says, run=run, key=_key(trained))
    by_way = sorted(found, key=lambda name: name.partition("_")[0])
    return {name: found[name] for name in by_way}


def choosers(
    counts: Sequence[int],
    args: VideoArguments,
    training: Any,
    folds: Folds,
    names: Sequence[str],
    batch_size: int = 1,
) -> dict[str, FoldContestant]:
    """Frames snapped to keyframes, and by motion, through the pipeline."""
    found: dict[str, FoldContestant] = {}
    for count in sorted(set(counts)):
        ways = {
            "keyframes": ({"snap_share": 0.5 / count}, "uniform frames, each the nearest keyframe"),
            "motion": ({"order": "motion"}, "frames between which about as much moves (packets)"),
        }
        for way, (frames, says) in ways.items():
            trained = heads(count, args, training, folds, names, **frames)
            pipes = [
                pipeline("video-classification", one, batch_size=batch_size) for one in trained
            ]

            def run(
                fold: int, paths: Sequence[str], counts: bool, pipes: Sequence[Any] = pipes
            ) -> list[VideoSeen]:
                read = pipes[fold].read(list(paths), on_error="raise")
                return [VideoSeen.of(reading) for reading in read]

            told = f"{count} {says}"
            found[f"{way}_{count}"] = FoldContestant(says=told, run=run, key=_key(trained))
    return found


def in_type(name: str, says: str, dtype: str) -> tuple[str, str]:
    """A contestant's name and what is said of it, with the type unless that is float32."""
    return (name, says) if dtype == "float32" else (f"{dtype} {name}", f"{says}, in {dtype}")


def _key(readers: Sequence[Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for reader in readers:
        digest.update(repr(sorted(reader.config.to_dict().items())).encode())
        for name, tensor in sorted(reader.exits.state_dict().items()):
            digest.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
