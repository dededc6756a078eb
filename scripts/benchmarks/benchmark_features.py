"""Readers of frames on features that were kept of clips, beside uniform frames at equal cost.

    python scripts/benchmarks/benchmark_features.py --data_dir ucf101_features --output_dir out

The folder holds a safetensors file with `feats` [N, T, D], `label` and `subset` (1: train, 2:
test), and `video_names.txt`, whose names end in `_gXX_cXX.avi`: clips of one group are of one
recording. These are features, and no pixels: nothing is decoded, no time is measured.

Two protocols. `official`: trained on subset 1, judged on subset 2. `cross`: five parts by group,
each judged by readers that saw none of its groups. In both, some groups of the training part are
held out, and the threshold for each budget of frames is picked on them. A reader then reads the
clips that it is judged on by its own `read`, whose traces are counted. A glance sees the first
`GLANCE` numbers of a row. Uniform frames are read by the same code, by readers that read all of K
frames, with three kinds of head.

What was read is kept in the output folder, and a run goes on from there; `--splits 0 1` reads some
of the six splits (0: official), so that several processes may share the work, and prints JSON of
these.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from parts.feature_contestants import (
    BUDGETS,
    CONTESTANTS,
    COUNTS,
    MORE_COUNTS,
    Contestant,
    uniform_readers,
)
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import HfArgumentParser, TrainingArguments, set_seed

from temporal.data import FrameFeatures
from temporal.engine import Engine
from temporal.models import READERS, GivenFeatures
from temporal.pipelines.training.video.feature_clips import FeatureClips
from temporal.pipelines.training.video.fit import fit
from temporal.training.accuracy import interval
from temporal.training.exits import PooledClips, fit_exits
from temporal.training.uniform_curve import UniformCurve


@dataclass
class Arguments:
    """What to measure."""

    data_dir: str = field(metadata={"help": "Folder of features, see the head of this file."})
    output_dir: str = field(metadata={"help": "Folder for what was read, and the table."})
    splits: list[int] = field(
        default_factory=lambda: list(range(6)), metadata={"help": "Which of the six splits."}
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Some of the clips."""

    rows: Tensor
    clips: list[FrameFeatures]
    labels: Tensor


class Clips:
    """All clips, and the splits of them."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("*.safetensors")
        self._data = load_file(file)
        self._names = (folder / "video_names.txt").read_text(encoding="utf-8").split()
        self.labels = self._data["label"].long()
        self.num_labels = int(self.labels.max()) + 1
        self.groups = torch.tensor([int(n.rsplit("_", 2)[1][1:]) for n in self._names])
        self.recordings = self.labels * 100 + self.groups

    def part(self, chosen_N: Tensor) -> Part:
        """The clips that are chosen."""
        rows = chosen_N.nonzero()[:, 0]
        features = self._data["feats"]
        clips = [FrameFeatures(features[k].float(), id=self._names[k]) for k in rows.tolist()]
        return Part(rows=rows, clips=clips, labels=self.labels[rows])

    def split(self, number: int) -> tuple[Part, Part, Part]:
        """Clips to fit, to pick thresholds by, and to be judged on."""
        if number == 0:
            test, pick = self._data["subset"] == 2, self.groups >= 22
        else:
            fifth = (self.groups - 1) // 5
            test, pick = fifth == number - 1, fifth == number % 5
        return self.part(~(test | pick)), self.part(pick), self.part(test)


def train(one: Contestant, part: Part, num_labels: int) -> Any:
    """A reader trained by what finetune_video.py trains by."""
    kind: Any = READERS[one.model]
    set_seed(0)
    width = part.clips[0].index.width
    reader = kind.from_backbone(GivenFeatures(width), num_labels=num_labels, **one.options)
    quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
    quiet |= {"save_strategy": "no", "logging_strategy": "no", "dataloader_pin_memory": False}
    with TemporaryDirectory() as folder:
        if reader.exits_fit_convexly(reader.config):
            clips = FeatureClips(reader, part.clips, part.labels)
            items = [clips[k] for k in range(len(clips))]
            seen = [torch.stack([item[name] for item in items]) for name in ("features", "times")]
            pooled = PooledClips(reader.pooled_states(*seen), part.labels)
            steps = {"learning_rate": 1.0, "max_steps": 4, "lr_scheduler_type": "constant"}
            whole = {"per_device_train_batch_size": len(pooled), "max_grad_norm": 0.0}
            return fit_exits(reader, pooled, TrainingArguments(folder, **steps, **whole, **quiet))
        args = TrainingArguments(
            folder,
            per_device_train_batch_size=64,
            learning_rate=3e-3,
            weight_decay=1.0,
            num_train_epochs=15,
            **quiet,
        )
        clips = FeatureClips(reader, part.clips, part.labels, jitter=0.04)
        return fit(reader, clips, None, args, Path(folder), class_weights=None, selects=False)[0]


def run(read: Any, clips: Sequence[FrameFeatures]) -> list[Any]:
    """Outcomes in the order of the clips.

    Raises:
        Exception: a clip's.
    """
    engine = Engine(64, max_batch_size=64, deterministic=True, count_macs=False)
    outcomes = list(engine.run(read, clips))
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return outcomes


def read(reader: Any, part: Part) -> dict[str, Tensor]:
    """Read clips by the reader's own `read`, and count the traces.

    Returns:
        `rows`; whether each was `right`; `frames` read, and `glances`, of each.
    """
    right, frames, glances = [], [], []
    for outcome, label in zip(run(reader.read, part.clips), part.labels, strict=True):
        right.append(float(outcome.value.argmax() == label))
        frames.append(float(len(set(outcome.trace.read))))
        seen = [view.units for view in outcome.trace.views if view.is_glance]
        glances.append(float(len({unit for units in seen for unit in units})))
    counted = {"right": right, "frames": frames, "glances": glances}
    return {"rows": part.rows, **{name: torch.tensor(values) for name, values in counted.items()}}


def thresholds(reader: Any, part: Part, criterion: str) -> dict[float, float | None]:
    """For each budget, the threshold whose readings come nearest to it from below.

    Everything is read once. None: what is read without halting is below the budget.
    """
    reader.set_policy(criterion, None)

    async def told(video: Any) -> tuple[list[float], list[int]]:
        await reader.read(video)
        trace = video.trace()
        certain = video.told or list(trace.confidences[:-1])
        frames = list(range(1, len(certain) + 2))
        if len(frames) > len(trace.read):  # its exits are where it looked
            looks = reader.training_frames(len(video), video.index.keyframes)
            frames = list(accumulate(int(frame in trace.read) for frame in looks))
        return certain, frames

    clips = [outcome.value for outcome in run(told, part.clips)]
    levels = sorted({round(level, 4) for certain, _ in clips for level in certain})
    levels = levels[:: max(1, len(levels) // 200)]

    def cost(level: float) -> float:
        spent = 0
        for certain, frames in clips:
            halted = (n for c, n in zip(certain, frames, strict=False) if c >= level)
            spent += next(halted, frames[-1])
        return spent / len(clips)

    costs = [cost(level) for level in levels]
    most = cost(float("inf"))
    found: dict[float, float | None] = {}
    for budget in BUDGETS:
        fitting = [level for level, own in zip(levels, costs, strict=True) if own <= budget]
        found[budget] = None if most <= budget else max(fitting, default=levels[0])
    return found


class Kept:
    """What was read, kept in files: each is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, name: str) -> bool:
        """Whether it was read."""
        return self._file(name).is_file()

    def save(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Keep what was read."""
        save_file(tensors, self._file(name))

    def load(self, names: Sequence[str]) -> dict[str, Tensor] | None:
        """What was read of several parts, in the order of the clips; None: some is missing."""
        if not all(map(self.has, names)):
            return None
        parts = [load_file(self._file(name)) for name in names]
        joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        order = joined["rows"].argsort()
        return {key: values[order] for key, values in joined.items()}

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def measure(clips: Clips, number: int, kept: Kept) -> None:
    """Train and read all contestants of a split."""
    fitted, picked, test = clips.split(number)
    for one in CONTESTANTS:
        name = f"{number}-{one.model}"
        if kept.has(f"{name}-done"):
            continue
        reader = train(one, fitted, clips.num_labels)
        for criterion in one.criteria:
            for budget, level in thresholds(reader, picked, criterion).items():
                reader.set_policy(criterion, level)
                kept.save(f"{name}-{criterion}-{budget}", read(reader, test))
        if one.is_rival:
            reader.set_policy("confidence", None)
            for count in (*COUNTS, *MORE_COUNTS):
                reader.config.num_candidates = reader.config.num_frames = count
                kept.save(f"{number}-{one.head}-{count}", read(reader, test))
        kept.save(f"{name}-done", {"rows": test.rows})
    for count in COUNTS:
        for one in uniform_readers(count):
            if not kept.has(f"{number}-{one.head}-{count}"):
                reader = train(one, fitted, clips.num_labels)
                kept.save(f"{number}-{one.head}-{count}", read(reader, test))


def difference(right_N: Tensor, other_N: Tensor, recordings_N: Tensor) -> dict[str, Any]:
    """How much oftener one is right than the other, with its 95 % interval over recordings.

    Clips of one recording resemble each other: the recording is what is drawn (Liang & Zeger,
    Biometrika 1986).
    """
    gaps_N = right_N.double() - other_N.double()
    mean = gaps_N.mean()
    numbers_N = recordings_N.unique(return_inverse=True)[1]
    count = int(numbers_N.max()) + 1
    sums_G = torch.zeros(count, dtype=torch.double).index_add_(0, numbers_N, gaps_N - mean)
    error = (sums_G.square().sum() * count / (count - 1)).sqrt() / len(gaps_N)
    low, high = (mean - 1.96 * error).item(), (mean + 1.96 * error).item()
    verdict = "better" if low > 0 else "worse" if high < 0 else "no better, no worse"
    return {"difference": mean.item(), "interval": [low, high], "verdict": verdict}


def best_so_far(right: dict[int, Tensor]) -> UniformCurve:
    """The curve whose frames may be fewer, where more frames are worse: the harder rival."""
    rows: list[Tensor] = []
    for own_N in right.values():
        is_best = not rows or own_N.mean() > rows[-1].mean()
        rows.append(own_N if is_best else rows[-1])
    return UniformCurve(counts=list(right), right=torch.stack(rows))


def table(clips: Clips, kept: Kept, splits: Sequence[int]) -> dict[str, Any]:
    """What was read of some splits: uniform frames, and each reader beside those at its cost."""

    def load(name: str) -> dict[str, Tensor] | None:
        return kept.load([f"{number}-{name}" for number in splits])

    curves: dict[str, UniformCurve] = {}
    uniform: dict[str, dict[int, float]] = {}
    for head in ("pooled", "averaged", "recurrent"):
        found = {count: load(f"{head}-{count}") for count in (*COUNTS, *MORE_COUNTS)}
        right = {count: one["right"] for count, one in found.items() if one is not None}
        if right:
            curves[head] = best_so_far(right)
            uniform[head] = {count: own.mean().item() for count, own in right.items()}
    rows = []
    for one in CONTESTANTS:
        for criterion, budget in product(one.criteria, BUDGETS):
            had = load(f"{one.model}-{criterion}-{budget}")
            if had is None or one.head not in curves:
                continue
            frames, right_N = had["frames"].mean().item(), had["right"]
            uniform_N = curves[one.head].at(frames)
            rows.append(
                {
                    "reader": one.model,
                    "criterion": criterion,
                    "budget": budget,
                    "frames": frames,
                    "glances": had["glances"].mean().item(),
                    "accuracy": right_N.mean().item(),
                    "accuracy_interval": interval(right_N.mean().item(), len(right_N)),
                    "head": one.head,
                    "uniform_accuracy": uniform_N.mean().item(),
                    **difference(right_N, uniform_N, clips.recordings[had["rows"]]),
                }
            )
    return {"uniform": uniform, "readers": rows}


def main() -> None:
    """Train, read and print."""
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    logging.disable(logging.WARNING)
    clips, kept = Clips(Path(args.data_dir)), Kept(Path(args.output_dir))
    for number in args.splits:
        measure(clips, number, kept)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    parts = [number for number in args.splits if number]
    protocols = {"official": [0] if 0 in args.splits else [], "cross": parts}
    result = {name: table(clips, kept, splits) for name, splits in protocols.items() if splits}
    print(json.dumps({"python": platform.python_version(), **versions, **result}))


if __name__ == "__main__":
    main()
