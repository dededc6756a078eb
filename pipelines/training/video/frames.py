"""Readers of frames trained and judged on clips: by named splits, or cross-validated by group.

N clips, S frames, P pooled width, E exits, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import set_seed

from ....data.labelled.clips import Clip, hold_out_clips
from ....data.names.unique_names import UniqueNames
from ....models import READERS
from ....models.operating_points import set_to
from ....models.rows_seen import RowsSeen, Shown, start_of
from ....training.exits import PooledClips, balanced_weights, fit_exits
from ...held_out.faulty import check_share
from ...held_out.unseen import rows_of
from .arguments import VideoArguments as VideoArguments
from .backbones import LITE0, freeze, load_backbone
from .data import Augmentation, KeptClips, PixelClips, targets, wanted
from .features import FeatureFiles
from .fit import Asked, ask, fit, trained_before
from .reading import unreadable

_NEVER = 1e9  # no confidence reaches it


class Protocol:
    """Trainings of one reader on parts of one list of clips.

    Args:
        args: which reader, and how.
        training: `TrainingArguments`.
        clips: those that cannot be read are left out (`left_out`).
        names: of the classes.
        several: clips may have several labels.

    Raises:
        TooManyFaulty: so many cannot be read that the others say little of the data.
    """

    def __init__(
        self,
        args: VideoArguments,
        training: Any,
        clips: Sequence[Clip],
        names: Sequence[str],
        *,
        several: bool = False,
    ) -> None:
        self.args, self.training, self.names, self.several = args, training, names, several
        self.convex = args.fits_convexly(several=several)
        kind: Any = READERS[args.model]
        self.classes = {
            "id2label": dict(enumerate(names)),
            "label2id": {name: k for k, name in enumerate(names)},
        }
        self.backbone, sizes = load_backbone(args.backbone, kind.backbone_class, **self.classes)
        known = kind.config_class().to_dict()
        self.sizes = {name: value for name, value in sizes.items() if name in known}
        shifts = [args.view_shift * k for k in (0, 1, -1, 2, -2)[: args.views]]
        self.keeps = args.unfreeze == "none" and "features" in wanted(self.new_reader())
        """Whether trainings are on features that were made before, and not on pixels."""
        self.curves: dict[str, list[dict[str, float]]] = {}
        """What each training by gradients said of itself as it went on."""
        if self.keeps:
            place = args.cache_dir or str(Path(training.output_dir, "features"))
            with training.main_process_first(desc="features of all clips"):
                self.files = FeatureFiles(place, self.new_reader().to(training.device), shifts)
                faults = self.files.extract(clips)
        else:
            faults = unreadable(self.new_reader(), clips)
        names_of_faults = UniqueNames()  # each is counted, whatever it is called
        self.left_out = {
            names_of_faults.take(clips[k].name): str(fault) for k, fault in faults.items()
        }
        """Why clips could not be read."""
        self.clips = [clip for k, clip in enumerate(clips) if k not in faults]
        if not self.clips:
            raise ValueError(f"no clip can be read: {next(iter(self.left_out.items()))}")
        check_share(list(self.left_out.items()), len(clips), args.clip_source)
        self.labels = targets(self.clips, len(names), several=several)
        if not several and len(classes := self.labels.unique()) < 2:
            raise ValueError(
                f"the {len(self.clips)} clips of {args.clip_source} that can be read are all of "
                f"the class {names[int(classes[0])]!r}: there must be two or more to tell apart"
            )
        if self.convex:
            self.views = [self._pooled(number) for number in range(len(shifts))]
            """Pooled states `[N, S, P]` of each view; the first is what the reader itself reads."""

    def new_reader(self) -> Any:
        """An untrained reader on the backbone, of which is frozen what is not trained."""
        args = self.args
        options = {**self.sizes, **args.own_options()}
        reader_class: Any = READERS[args.model]
        if args.threshold is not None:
            frames = options.get("num_frames", args.num_frames) or 1
            first = min(options.get("min_frames", args.min_frames) or 1, frames)
            options |= {"num_frames": frames, "min_frames": first}
            levels = [_NEVER] * (first - 1) + [args.threshold] * (frames - first)
            options.setdefault("thresholds", levels)
            options.setdefault("pooling", "change")
        if self.several:
            options["problem_type"] = "multi_label_classification"
        set_seed(self.training.seed)
        reader = reader_class.from_backbone(self.backbone, **self.classes, **options).eval()
        freeze(reader, args.unfreeze)
        return reader

    def train(
        self, rows: Sequence[int], *, folder: Path | None = None, judged: Sequence[int] = ()
    ) -> Any:
        """A reader that learned from these rows.

        Args:
            rows: numbers of clips.
            folder: where it is saved, and the checkpoints of a training by gradients are.
            judged: rows that a training by gradients is asked about as it goes on; of its own
                `rows`, if it selects a checkpoint by some that it holds out, those.
        """
        if self.convex:
            return self.save(self._train_convexly(rows), folder)
        assert folder is not None
        saved = trained_before(folder, self.training, self.args.model)
        if saved is not None:
            return saved
        rows, selected = self.without_selection(rows)
        reader = self.new_reader()
        reader.rows_seen = self.shown(rows, selected)
        evaluated = selected or list(judged)
        varied = Augmentation(
            min_area=self.args.crop_area,
            flip=self.args.flip,
            colour=self.args.colour,
            jitter=self.args.view_shift,
        )
        reader, logs = fit(
            reader,
            self.dataset(reader, rows, varied),
            self.dataset(reader, evaluated) if evaluated else None,
            self.training,
            folder,
            class_weights=self.weights(rows),
            selects=bool(selected),
        )
        self.curves[str(folder)] = logs
        return self.save(reader, folder)

    def save(self, reader: Any, folder: Path | None) -> Any:
        """Save a reader, by one process; None: nowhere."""
        if folder is not None and self.training.process_index == 0:
            reader.save_pretrained(folder)
        return reader

    def without_selection(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Rows to learn from, and those that the best checkpoint is picked by."""
        chosen = [row for row in rows if self.clips[row].split == "validation"]
        if chosen:
            return [row for row in rows if self.clips[row].split != "validation"], chosen
        if not self.args.selection_share:
            return list(rows), []
        by_clip = {id(self.clips[row]): row for row in rows}
        parts = hold_out_clips(
            [self.clips[row] for row in rows], self.args.selection_share, self.training.seed
        )
        kept, held = ([by_clip[id(clip)] for clip in part] for part in parts)
        if not held:
            raise ValueError(
                f"--selection_share ({self.args.selection_share}) of the groups is none: give more"
            )
        return kept, held

    def dataset(
        self, reader: Any, rows: Sequence[int], varied: Augmentation | None = None
    ) -> KeptClips | PixelClips:
        """Clips as the reader's `forward` takes them; `varied` for training."""
        clips, labels = [self.clips[row] for row in rows], self.labels[torch.tensor(list(rows))]
        if self.keeps:
            return KeptClips(self.files, clips, labels, draws=varied is not None)
        return PixelClips(reader, clips, labels, varied)

    def weights(self, rows: Sequence[int]) -> Tensor | None:
        """Class weights `[K]` of a training on these rows."""
        if self.several or not self.args.class_weights:
            return None
        return balanced_weights(self.labels[torch.tensor(list(rows))], len(self.names))

    def shown(self, rows: Sequence[int], selected: Sequence[int] = ()) -> RowsSeen:
        """What a training on these rows shows a reader, to be saved with it."""
        split: dict[str, Any] = {"file": self._source, "seed": self.training.seed}
        for name in ("calibration_share", "selection_share"):
            if getattr(self.args, name):
                split[name] = getattr(self.args, name)
        record = RowsSeen(shown={"training": self._shown(rows, split)})
        if selected:
            record = record.with_use("selection", self._shown(selected, split))
        if self.args.backbone == LITE0 or self.args.backbone.endswith(".json"):
            return record
        return start_of(self.args.backbone, self.args.backbone) | record

    @torch.inference_mode()
    def ask(
        self, reader: Any, rows: Sequence[int], policy: Mapping[str, Any] | None = None
    ) -> Asked:
        """What a reader says of these rows, under its own policy or another."""
        with set_to(reader.config, **(policy or {})):
            if not self.convex:
                return ask(reader, self.dataset(reader, rows), self.training)
            output = reader.cpu()(states=self.views[0][torch.tensor(list(rows))])
            logits, frames = reader.settled(output)
            seen = reader.frames_seen(output, output.exit_logits.shape[1])
        return Asked(logits_NK=logits, exits_NEK=output.exit_logits, frames_N=frames, seen_NS=seen)

    def ask_each(
        self,
        readers: Sequence[Any],
        folds: Sequence[Sequence[int]],
        policy: Mapping[str, Any] | None = None,
    ) -> Asked:
        """What each reader says of the rows of its fold, in the order of all their rows."""
        said = [self.ask(reader, held, policy) for reader, held in zip(readers, folds, strict=True)]
        order = torch.tensor([row for held in folds for row in held]).argsort()
        return Asked.joined(said, order)

    def cross_validate(
        self, folds: Sequence[Sequence[int]], folder: Path | None = None
    ) -> tuple[list[Any], Asked]:
        """For each fold a reader that saw nothing of it.

        Args:
            folds: rows of each; together all rows.
            folder: for `fold0`, `fold1` ..., see `train`.

        Returns:
            The readers, and what they say of the clips of their folds, in the order of all clips.
        """
        readers = []
        for k, held in enumerate(folds):
            others = [row for fold in folds if fold is not held for row in fold]
            place = None if folder is None else folder / f"fold{k}"
            readers.append(self.train(others, folder=place, judged=held))
        return readers, self.ask_each(readers, folds)

    def _train_convexly(self, rows: Sequence[int]) -> Any:
        """A reader whose exits saw these rows, all views of them."""
        picked = torch.tensor(list(rows))
        clips = PooledClips(
            torch.cat([view[picked] for view in self.views]),
            self.labels[picked].repeat(len(self.views)),
        )
        args = replace(self.training, per_device_train_batch_size=len(clips))
        reader = self.new_reader()
        reader.rows_seen = self.shown(rows)
        return fit_exits(reader, clips, args)

    @torch.inference_mode()
    def _pooled(self, number: int) -> Tensor:
        """Pooled states `[N, S, P]` of one view of all clips."""
        kept = KeptClips(self.files, self.clips, self.labels, draws=False)
        views = [kept.view(k, number) for k in range(len(self.clips))]
        longest = max(len(view["times"]) for view in views)
        features, times = (
            torch.stack([_repeated(view[name], longest) for view in views])
            for name in ("features", "times")
        )
        profiles = None
        if self.files.reader.sees_profile:
            profiles = torch.stack([view["motion_profile"] for view in views])
        states: Tensor = self.files.reader.pooled_states(features, times, profiles)
        return states

    def _shown(self, rows: Sequence[int], split: dict[str, Any]) -> Shown:
        shown = rows_of([self.clips[row] for row in rows], self.args.clip_source)
        groups = frozenset(group for group in shown.groups or () if group is not None)
        return Shown(rows=shown.shown, groups=groups, splits=(split,))

    @property
    def _source(self) -> str:
        """What the clips are listed in, as calibrate takes it."""
        place = Path(self.args.clip_source)
        if place.is_file():
            return place.name
        own = self.args.manifest or "groups.csv"
        return own if (place / own).is_file() else place.name


def _repeated(values: Tensor, count: int) -> Tensor:
    """The last value again and again, where there are too few."""
    return torch.cat([values, values[-1:].expand(count - len(values), *values.shape[1:])])
