"""One training of a reader of frames by gradients, and asking it about clips.

N clips, E exits, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from ....models import READERS
from ....models.weights import DIGESTS
from ....training.steps import TrainingStep
from ....training.video_trainer import VideoTrainer, answer_metrics
from .data import collate

_FOR_STATISTICS = 256  # clips that a reader's statistics are made of


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """What a reader says of clips."""

    logits_NK: Tensor
    """What it answers by its policy."""
    exits_NEK: Tensor
    """What all its exits say."""
    frames_N: Tensor
    """Frames that it reads of each."""
    seen_NS: Tensor
    """Which of the frames of `training_frames` it reads or glances at, bool."""

    @classmethod
    def joined(cls, parts: Sequence[Asked], order: Tensor | None = None) -> Asked:
        """One after another, perhaps in another order then; all of as many exits."""
        # Short clips have fewer frames, and no others are seen of them.
        longest = max(part.seen_NS.shape[1] for part in parts)
        wide = [F.pad(part.seen_NS, (0, longest - part.seen_NS.shape[1])) for part in parts]
        parts = [replace(part, seen_NS=seen) for part, seen in zip(parts, wide, strict=True)]
        names = [one.name for one in fields(cls)]
        whole = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        if order is not None:
            whole = {name: rows[order] for name, rows in whole.items()}
        return cls(**whole)


def fit(
    reader: Any,
    train: Dataset[Any],
    evaluated: Dataset[Any] | None,
    args: TrainingArguments,
    folder: Path,
    *,
    class_weights: Tensor | None,
    selects: bool,
) -> tuple[Any, list[dict[str, float]]]:
    """Train a reader.

    Args:
        reader: with its frozen parts frozen.
        train: items as its `forward` takes them.
        evaluated: the same, asked after each epoch (`eval_strategy`).
        args: of the training.
        folder: for its checkpoints; where it was trained before and `resume_from_checkpoint` is
            given, what is there is taken, or gone on from.
        class_weights: `[K]`.
        selects: keep the checkpoint that is best on what is evaluated; else the last.

    Returns:
        The reader, in eval mode, and what was logged of the evaluations.
    """
    resume = args.resume_from_checkpoint
    checkpoint = get_last_checkpoint(str(folder)) if resume and folder.is_dir() else None
    own = replace(
        args,
        output_dir=str(folder),
        remove_unused_columns=False,
        load_best_model_at_end=selects,
        eval_strategy=args.eval_strategy if evaluated is not None else "no",
    )
    own.label_names = ["labels"]
    if checkpoint is None and reader.has_frame_features:  # a checkpoint has been prepared
        _prepare(reader, train, own)
    trainer = VideoTrainer(
        model=reader,
        args=own,
        train_dataset=train,
        eval_dataset=evaluated,
        data_collator=collate,
        compute_metrics=answer_metrics,
        callbacks=[TrainingStep()],
        class_weights=class_weights,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    logs = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    return reader.eval(), logs


def trained_before(folder: Path, args: TrainingArguments, model: str) -> Any:
    """The reader that an interrupted run had trained and saved in a folder; None: it had not."""
    if not args.resume_from_checkpoint or not (folder / DIGESTS).is_file():
        return None
    return READERS[model].from_pretrained(folder).eval()


@torch.no_grad()
def ask(reader: Any, clips: Dataset[Any], args: TrainingArguments) -> Asked:
    """What a reader says of clips, in eval mode."""
    reader.eval().to(args.device)
    parts: list[Asked] = []
    for batch in _loader(clips, args):
        batch.pop("labels")
        output = reader(**{name: value.to(args.device) for name, value in batch.items()})
        said_BK, frames_B = reader.settled(output)
        every = said_BK[:, None] if output.exit_logits is None else output.exit_logits
        given = next(batch[name] for name in ("features", "pixel_values") if name in batch)
        part = Asked(
            logits_NK=said_BK.float().cpu(),
            exits_NEK=every.float().cpu(),
            frames_N=frames_B.float().cpu(),
            seen_NS=reader.frames_seen(output, given.shape[1]).cpu(),
        )
        parts.append(part)
    return Asked.joined(parts)


@torch.no_grad()
def features_of(
    reader: Any, clips: Dataset[Any], args: TrainingArguments, most: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Features `[N, S, D]` of clips, and the times of their frames, where the reader wants them."""
    features, times, count = [], [], 0
    reader.eval().to(args.device)
    for batch in _loader(clips, args):
        if "features" in batch:
            features.append(batch["features"])
        else:
            pixels = batch["pixel_values"]
            flat = reader.training_features(pixels.flatten(0, 1).to(args.device))
            features.append(flat.cpu().unflatten(0, pixels.shape[:2]))
        times.append(batch.get("times"))
        count += len(features[-1])
        if most is not None and count >= most:
            break
    longest = max(part.shape[1] for part in features)
    joined = torch.cat([_padded(part, longest) for part in features])
    known = [part for part in times if part is not None]
    return joined, torch.cat([_padded(part, longest) for part in known]) if known else None


def _prepare(reader: Any, train: Dataset[Any], args: TrainingArguments) -> None:
    features, times = features_of(reader, train, args, _FOR_STATISTICS)
    if times is None:
        count = features.shape[1]
        times = ((torch.arange(count) + 0.5) / count).expand(len(features), -1)
    statistics = [features, times]
    if reader.sees_profile:
        statistics.append(_profiles(train, len(features), args))
    reader.prepare_training(*(part.clone().to(args.device) for part in statistics))


def _profiles(clips: Dataset[Any], count: int, args: TrainingArguments) -> Tensor:
    """Profiles `[count, P]` of the first clips."""
    profiles: list[Tensor] = []
    for batch in _loader(clips, args):
        profiles.append(batch["motion_profile"])
        if sum(map(len, profiles)) >= count:
            break
    return torch.cat(profiles)[:count]


def _loader(clips: Dataset[Any], args: TrainingArguments) -> DataLoader[Any]:
    return DataLoader(
        clips,
        batch_size=args.per_device_eval_batch_size,
        collate_fn=collate,
        num_workers=args.dataloader_num_workers,
    )


def _padded(part: Tensor, longest: int) -> Tensor:
    missing = longest - part.shape[1]
    return torch.cat([part, part[:, -1:].expand(-1, missing, *part.shape[2:])], 1)
