"""What trained readers of frames are worth: scores, operating points, and uniform frames beside.

N clips, S frames, E exits, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....models.video.pooling import mean_pool
from ....training.accuracy import interval
from ....training.uniform_curve import UniformCurve, compare, how_right, uniform_curve
from ....training.video_trainer import answer_scores
from .data import KeptClips
from .decoding import Decoding
from .features import FeatureFiles
from .fit import Asked, features_of
from .frames import Protocol


def judge(asked: Asked, labels: Tensor, decoded: Decoding | None = None) -> dict[str, Any]:
    """Scores, frames read, and perhaps frames that a reading has to decode for them."""
    scores = answer_scores(asked.logits_NK.numpy(), labels.numpy())
    count = len(labels)
    result: dict[str, Any] = {"clips": count, **scores}
    if labels.ndim == 1:
        result["accuracy_interval"] = interval(scores["accuracy"], count)
    result["mean_frames_read"] = asked.frames_N.double().mean().item()
    if decoded is not None:
        result["mean_frames_decoded"] = decoded.frames
    return result


class UniformRival:
    """Uniform frames through the same backbone, for the readers of a protocol.

    Args:
        protocol: whose clips these are.
        folder: for features of backbones that were trained.
    """

    def __init__(self, protocol: Protocol, folder: Path) -> None:
        self.protocol, self.folder = protocol, folder

    def curve(self, reader: Any, train: Sequence[int], held: Sequence[int]) -> UniformCurve:
        """Classifiers of uniform frames that learned from some rows, on others."""
        protocol = self.protocol
        if protocol.keeps:
            files = protocol.files
        else:
            files = FeatureFiles(self.folder, reader)
            files.extract(protocol.clips)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for rows in (train, held):
            labels = protocol.labels[torch.tensor(list(rows))]
            clips = KeptClips(files, [protocol.clips[k] for k in rows], labels, draws=False)
            clips.names = frozenset({"features", "times"})
            features, times = features_of(reader, clips, protocol.training)
            assert times is not None
            parts.append((features, times, labels))
        (one, when, known), (other, then, asked) = parts
        return uniform_curve(
            (one, other),
            (when, then),
            (known, asked),
            len(protocol.names),
            getattr(reader, "pool", mean_pool),
            class_weights=protocol.weights(train),
        )


def learning_curve(logs: Sequence[dict[str, float]], curve: UniformCurve) -> list[dict[str, float]]:
    """What a policy scored after each epoch, beside uniform frames at its cost then."""
    return [
        {
            "epoch": entry["epoch"],
            "frames_read": entry["eval_frames_read"],
            "accuracy": entry["eval_accuracy"],
            "uniform_accuracy": curve.at(entry["eval_frames_read"]).mean().item(),
        }
        for entry in logs
    ]


def beside_uniform(
    asked: Asked,
    labels: Tensor,
    curves: Sequence[UniformCurve],
    parts: Sequence[Sequence[int]],
    decoded: Decoding,
) -> dict[str, Any]:
    """A policy beside uniform frames at equal cost, over all held-out parts.

    At as many frames read, which is what the backbone costs; and at as many frames decoded, as a
    frame that a policy only glances at has to be decoded, too.

    Args:
        asked: what its readers say of all clips of the parts.
        labels: of all clips.
        curves: of each part.
        parts: rows of each, as positions in `asked`.
        decoded: of the policy, and of uniform frames in the numbers of the curves.
    """
    right_N = how_right(asked.logits_NK, labels)
    uniform_N, as_decoded_N = torch.zeros(2, len(right_N))
    as_decoded = decoded.uniform_count()
    for curve, part in zip(curves, parts, strict=True):
        rows = torch.tensor(list(part))
        uniform_N[rows] = curve.at(asked.frames_N[rows].mean().item())
        as_decoded_N[rows] = curve.at(as_decoded)
    found = compare(right_N, uniform_N, asked.frames_N.double().mean().item())
    counts = sorted({count for curve in curves for count in curve.counts})
    whole = {}
    for count in counts:
        values = torch.cat([curve.at(count) for curve in curves])
        whole[str(count)] = values.mean().item()
    beside = compare(right_N, as_decoded_N, as_decoded).to_dict()
    del beside["accuracy"]  # the same
    return {
        **found.to_dict(),
        "frames_decoded": decoded.frames,
        "at_equal_decoding": {"uniform_frames": beside.pop("frames"), **beside},
        "uniform_curve": whole,
        "uniform_decoded": {str(count): frames for count, frames in decoded.uniform.items()},
    }


def said_of(verdict: dict[str, Any], model: str) -> str:
    """A sentence for a person."""
    return (
        f"{model}: {verdict['accuracy']:.3f} with {verdict['frames']:.2f} frames read and "
        f"{verdict['frames_decoded']:.1f} decoded. As many uniform frames read: "
        f"{_beside(verdict)}. As many frames decoded for uniform ones: "
        f"{_beside(verdict['at_equal_decoding'])}."
    )


def _beside(found: dict[str, Any]) -> str:
    low, high = found["difference_interval"]
    return (
        f"{found['uniform_accuracy']:.3f}, the policy is {found['verdict']} (95 % interval of the "
        f"difference {low:+.3f} to {high:+.3f})"
    )
