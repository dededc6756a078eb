"""Readers of the folds of cross-validated trainings: each answers the clips that it has not seen.

Several trainings, of any readers, are compared on the same folds: `Folds` holds these,
`FoldReaders` one training's readers at one or several operating points.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from ...data.labelled.clips import Clip
from ...data.tables.times import is_whole
from ...models.operating_points import point_for_budget, set_to
from ...models.rows_seen import load_rows_seen
from ...models.weights import DIGESTS
from ...training.calibration import OperatingPoint, within_drop
from ...training.exit_policies import NEVER
from ..held_out.unseen import keep_unseen, rows_of
from ..pipeline import pipeline
from .video_seen import VideoSeen


@dataclass(frozen=True, kw_only=True)
class FoldContestant:
    """Something that answers each clip by a reader that has not seen it."""

    says: str
    """What it is, in a few words."""
    run: Callable[[int, Sequence[str], bool], list[VideoSeen]]
    """Number of a fold, paths of clips, whether to count what is dear to count."""
    key: str
    """Another one where it may answer otherwise."""

    def answer(self, work: Sequence[tuple[int, Clip]], *, counts: bool) -> list[VideoSeen]:
        """What it does with clips, in their order: those of a fold that follow each other at once.

        Args:
            work: clips with the numbers of their folds.
            counts: count what is dear to count.
        """
        seen: list[VideoSeen] = []
        for fold, clips in itertools.groupby(work, key=itemgetter(0)):
            seen += self.run(fold, [clip.path for _, clip in clips], counts)
        return seen


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Clips, split into folds by groups."""

    clips: Sequence[Clip]
    rows: Sequence[Sequence[int]]
    """Numbers of the clips of each fold."""
    seed: int | None
    """Of the trainings; None: they have not written it down."""

    @property
    def work(self) -> list[tuple[int, Clip]]:
        """Every clip, with the number of its fold."""
        return [(k, self.clips[row]) for k, fold in enumerate(self.rows) for row in fold]


def same_folds(folders: Sequence[Path], clips: Sequence[Clip], source: str) -> Folds:
    """The folds of some trainings, which must be the same ones.

    Args:
        folders: outputs of finetune_video.py without named splits.
        clips: of the data.
        source: where they are listed.

    Raises:
        ValueError: clips are parts of videos; or a folder has no folds, or they are of other
            clips, or the trainings differ in their folds or seeds.
        NotNew: a reader has seen clips of its own fold.
    """
    if parts := [clip.name for clip in clips if not is_whole(clip.part)]:
        raise ValueError(
            f"{source} must list whole videos, for other decoders read these beside ours, and has "
            f"{len(parts)} parts: {parts[0]}; `temporal benchmark` measures parts, too"
        )
    first, known = folders[0], {Path(clip.path).resolve(): k for k, clip in enumerate(clips)}
    found: dict[Path, tuple[list[list[int]], int | None]] = {}
    for folder in folders:
        file = folder / "folds.json"
        if not file.is_file():
            raise ValueError(
                f"{folder} must hold folds.json and a reader for each fold: train by "
                "finetune_video.py on data without named splits"
            )
        paths = [[Path(path).resolve() for path in fold] for fold in json.loads(file.read_text())]
        strange = next((path for fold in paths for path in fold if path not in known), None)
        if strange is not None:
            raise ValueError(f"{file} names {strange}, which is no clip of {source}")
        rows = [sorted(known[path] for path in fold) for fold in paths]
        found[folder] = rows, _seed(folder / "fold0")
        for part, other in zip(("folds", "seed"), found[first], strict=True):
            own = found[folder][part == "seed"]
            if own != other:
                told = f": {own} and {other}" if part == "seed" else ""
                raise ValueError(
                    f"{folder} and {first} have other {part}{told}: train them with the same "
                    "--data_dir, --num_folds, --calibration_share and --seed"
                )
        for k, fold in enumerate(rows):
            held = rows_of([clips[row] for row in fold], source)
            keep_unseen(str(folder / f"fold{k}"), held)
    rows, seed = found[first]
    return Folds(clips=clips, rows=rows, seed=seed)


class FoldReaders:
    """The readers of one training, loaded.

    Args:
        folder: output of finetune_video.py.
        num_folds: readers that it holds.
        dtype: they compute in, such as `"bfloat16"`; None: as they are saved.
        batch_size: clips that are read together.
    """

    def __init__(
        self, folder: Path, num_folds: int, *, dtype: str | None = None, batch_size: int = 1
    ) -> None:
        self.places = [folder / f"fold{k}" for k in range(num_folds)]
        self.dtype = dtype
        options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
        self.pipes: list[Any] = [
            pipeline("video-classification", model=str(place), batch_size=batch_size, **options)
            for place in self.places
        ]

    def contestant(self, point: str) -> FoldContestant | None:
        """The readers at an operating point; None: there is no such one.

        Args:
            point: `"own"`, as they were trained and saved; `"full"`, nothing is skipped and nothing
                halts; `"chosen"`, the cheapest that lost nothing on clips of each fold's own
                training part (`--selection_share` or `--inner_folds` of the training); or a budget,
                such as `"0.5"`: of these points that which spends most of it.
        """
        policies = [self._policy(pipe, point) for pipe in self.pipes]
        if any(policy is None for policy in policies):
            return None
        digest = hashlib.blake2b((self.dtype or "").encode(), digest_size=8)
        for place, policy in zip(self.places, policies, strict=True):
            digest.update((place / DIGESTS).read_bytes() + (place / "config.json").read_bytes())
            digest.update(json.dumps(policy, sort_keys=True).encode())

        def run(fold: int, paths: Sequence[str], counts: bool) -> list[VideoSeen]:
            pipe = self.pipes[fold]
            with set_to(pipe.reader.config, **(policies[fold] or {})):
                return [VideoSeen.of(one) for one in pipe.read(list(paths), on_error="raise")]

        return FoldContestant(
            says=_SAYS.get(point, f"budget {point}"), run=run, key=digest.hexdigest()
        )

    @property
    def halts_by_itself(self) -> bool:
        """Whether the readers' own policy is another one than to read everything."""
        config = self.pipes[0].reader.config
        full = self.pipes[0].reader.policy_space().full
        own = {name: getattr(config, name) for name in full}
        if "thresholds" in own and own["thresholds"] is None:
            own["thresholds"] = [NEVER] * len(full["thresholds"])
        return own != full

    @staticmethod
    def _policy(pipe: Any, point: str) -> Mapping[str, Any] | None:
        reader = pipe.reader
        if point == "own":
            return {}
        if point == "full":
            return dict(reader.policy_space().full)
        stored = reader.config.operating_points
        if not stored:
            return None
        if point == "chosen":
            return within_drop([OperatingPoint(**one) for one in stored], 0.0).policy
        try:
            return dict(point_for_budget(stored, float(point))["policy"])
        except ValueError:  # no point is so cheap
            return None


_SAYS = {
    "own": "as it was trained",
    "full": "reads everything",
    "chosen": "the cheapest point that lost nothing on clips of its own training part",
}


def _seed(folder: Path) -> int | None:
    seen = load_rows_seen(folder)
    splits = seen.of("training").splits if seen is not None else ()
    return splits[-1].get("seed") if splits else None
