"""Held-out rows to judge a saved reader by: texts or clips, with labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from ...data import Document, collect
from ...data.labelled.clips import hold_out_clips
from ...data.labelled.digests import digest_text
from ...data.labelled.files import LONE, read_labelled_texts
from ...data.labelled.listed_clips import list_clips
from ...data.labelled.splits import held_out_rows
from ...data.labelled.tables import LeftOut
from ...models.rows_seen import Shown, Use
from ..jobs.table.targets import label_names
from ..scores import class_numbers_by_name
from .arguments import HeldOutArguments, RowsArguments
from .faulty import are_too_many, check_share, recorded, tell
from .labelled import class_of, holds_clips, labelled_inputs, with_listed_parts
from .unseen import Rows, keep_unseen, rows_of, rows_of_inputs

_CALLED = {"video_column": "a table with one of these", "label_column": "--label_column"}
"""What says which columns are read, as messages call it: no option names that of the videos."""


@dataclass(frozen=True)
class HeldOut:
    """Inputs of a pipeline."""

    inputs: list[Any]
    """N texts, or videos: paths, the bytes that a table holds, or parts of these."""
    labels: Tensor | None
    """int64 `[N]`, class numbers of the reader; None: there are none."""
    report: dict[str, Any] = field(default_factory=dict)
    """What is known of them: of `unseen.py`."""
    shown: Shown = field(default_factory=Shown)
    """Their digests, to be remembered by whoever uses them."""


def text_rows(
    args: RowsArguments, *, phrases: bool = False, left_out: LeftOut | None = None
) -> Dataset:
    """The labelled texts that the arguments name, blank ones among them.

    Args:
        args: which.
        phrases: whole sentences of trees whose phrases were trained on.
        left_out: see `read_labelled_texts`; of rows that a training held out, None.

    Raises:
        TooManyFaulty: of these are too many.
    """
    share = args.calibration_share or args.validation_share
    rows = read_labelled_texts(
        args.data_file,
        args.text_column,
        args.label_column,
        phrases=phrases,
        block_column=args.block_column,
        group_column=args.groups_by(),
        blank=not share,  # a training refuses them
        left_out=left_out,
    )
    check_share(left_out or (), len(rows) + len(left_out or ()), args.data_file)
    rows = held_out_rows(
        rows,
        args.split_seed(),
        calibration_share=args.calibration_share,
        validation_share=args.validation_share,
    )
    if phrases and "whole" not in rows.column_names:
        raise ValueError(
            f"--train_phrases needs trees, and {args.data_file} holds none: leave it out, or give "
            "the .txt treebank file that the training split"
        )
    if phrases:  # the same split as in training, but whole sentences only
        rows = rows.filter(lambda row: row["whole"])
    if args.max_samples:
        rows = rows.select(range(min(args.max_samples, len(rows))))
    return rows


def without_blanks(rows: Dataset, source: str) -> Dataset:
    """The rows that have a text.

    Raises:
        ValueError: none has.
    """
    good = [k for k, t in enumerate(rows["text"]) if isinstance(t, str) and t.strip()]
    if not good:
        raise ValueError(
            f"{source} must hold a text to judge the reader by, and of {len(rows)} rows that are "
            "left none has one: give more rows, or a larger share"
        )
    return rows.select(good)


def unseen_texts(
    args: RowsArguments,
    rows: Dataset,
    refuse: Sequence[Use] = ("training", "selection"),
    *,
    once: bool = False,
) -> tuple[Dataset, Rows, dict[str, Any]]:
    """The texts that are new to the reader, their digests, and what is known of them.

    `once` leaves out copies of a text.

    Raises:
        NotNew: some are not, and --leave_out_seen was not given.
    """
    groups: list[int | None] | None = None
    if args.groups_by() is not None:
        groups = [None if g.startswith(LONE) else digest_text(g) for g in rows["group"]]
    digests = Rows(
        source=args.data_file, rows=[digest_text(text) for text in rows["text"]], groups=groups
    )
    unseen = keep_unseen(
        args.model, digests, refuse=refuse, leave_out=args.leave_out_seen, once=once
    )
    return rows.select(unseen.kept), digests.take(unseen.kept), unseen.report


def read_held_out(
    args: HeldOutArguments, pipe: Any, refuse: Sequence[Use] = ("training", "selection")
) -> HeldOut:
    """The rows that the arguments name, of copies one; blank texts are left out.

    Args:
        args: which rows.
        pipe: of the reader.
        refuse: what rows must not have done for this reader before.

    Raises:
        NotNew: rows did, and --leave_out_seen was not given.
    """
    if args.record.kind == "video":
        if args.manifest is None and not args.calibration_share:
            return _listed_videos(args, pipe, refuse)
        return _videos(args, class_numbers_by_name(pipe.model.config), refuse)
    is_split = args.calibration_share or args.validation_share or args.block_column
    faults: LeftOut = []
    found = text_rows(args, phrases=args.train_phrases, left_out=None if is_split else faults)
    total = len(found) + len(faults)
    rows = without_blanks(found, args.data_file)
    blank = [k for k, text in enumerate(found["text"]) if not (text and text.strip())]
    faults += [(f"{args.data_file}, text {k + 1}", "it is empty") for k in blank]
    names = class_numbers_by_name(pipe.model.config)
    kept, strange = _of_classes(rows["label"], names)
    faults += [(str(rows[k]["text"]), why) for k, why in strange]
    rows = rows.select(kept)
    check_share(faults, total, args.data_file)
    tell(faults, total)
    rows, digests, report = unseen_texts(args, rows, refuse, once=True)
    numbers = class_numbers(rows["label"], names)
    report = {**report, **recorded(faults)}
    return HeldOut(list(rows["text"]), torch.tensor(numbers), report, shown_by(args, digests))


def _of_classes(
    labels: Sequence[Any], names: dict[str, int]
) -> tuple[list[int], list[tuple[int, str]]]:
    """Numbers of the rows whose labels are the reader's; those of the others, and why not.

    Raises:
        ValueError: so many are not that the labels are other ones.
    """
    known = known_classes(labels, names)
    strange = [k for k, number in enumerate(known) if number is None]
    if are_too_many(len(strange), len(known)):
        class_numbers(labels, names)
    kept = [k for k, number in enumerate(known) if number is not None]
    return kept, [(k, f"the label {labels[k]!r} is none of the reader's") for k in strange]


def shown_by(args: HeldOutArguments, rows: Rows) -> Shown:
    """Rows with how they were picked."""
    split: dict[str, Any] = {"file": Path(args.data_file).name, "seed": args.split_seed()}
    for name in ("calibration_share", "validation_share", "block_column"):
        if getattr(args, name) is not None:
            split[name] = getattr(args, name)
    if args.record.kind == "text" and (groups_by := args.groups_by()) is not None:
        split["group_column"] = groups_by
    groups = frozenset(group for group in rows.groups or () if group is not None)
    return Shown(rows=rows.shown, groups=groups, splits=(split,))


def documents_of(texts: list[str], pipe: Any) -> list[Any]:
    """The texts as the pipeline's reader gets them."""
    return Document.batch(
        texts,
        pipe.tokenizer,
        max_tokens=pipe.max_tokens,
        add_special_tokens=pipe.adds_special_tokens,
    )


def _listed_videos(args: HeldOutArguments, pipe: Any, refuse: Sequence[Use]) -> HeldOut:
    """The videos of a folder or a table, with their labels where any has one of the reader's."""
    if not (Path(args.data_file).exists() or holds_clips(args.data_file)):
        raise ValueError(f"--data_file ({args.data_file}) must be a file or a folder that is there")
    found = labelled_inputs(
        args.data_file,
        kind="video",
        names=label_names(pipe),
        label_column=args.label_column,
        column_called=_CALLED["video_column"],
        limit=args.max_samples,
        notify=_tell,
    )
    labels = found.classes
    items, faults = found.items, found.left_out
    if not items and not holds_clips(
        args.data_file
    ):  # without labels of its own, its full reading's answers stand in
        options: Any = {"kind": "video", "paths_repeat": True, "notify": lambda _: None}
        files = with_listed_parts(collect(args.data_file, **options), args.data_file)
        listed = list(islice(files, args.max_samples))
        faults = [one for one in faults if one.reason not in ("no_label", "unknown_label")]
        bad = {fault.id for fault in faults}
        items = [item for item in listed if item.error is None and item.id not in bad]
        strange = next((one for one in found.left_out if one.reason == "unknown_label"), None)
        if items:
            why = f": of the first, {strange.id}, {strange.message}" if strange else ""
            _tell(f"No labels that can be used{why}. What counts is the full reading's answers.")
    told = [(fault.id, f"{fault.reason}: {fault.message}") for fault in faults]
    tell(told, len(items) + len(told))
    if not items:
        why = f" that can be used; of the first, {told[0][0]}, {told[0][1]}" if told else ""
        raise ValueError(
            f"--data_file ({args.data_file}) must hold a video, and none is there{why}"
        )
    check_share(told, len(items) + len(told), args.data_file)
    values = [item.value for item in items]
    digests = rows_of_inputs(values, "video", args.data_file)
    unseen = keep_unseen(
        args.model, digests, refuse=refuse, leave_out=args.leave_out_seen, once=True
    )
    shown = shown_by(args, digests.take(unseen.kept))
    numbers = torch.tensor([labels[k] for k in unseen.kept]) if labels else None
    report = {**unseen.report, **recorded(told)}
    return HeldOut([values[k] for k in unseen.kept], numbers, report, shown)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _videos(args: HeldOutArguments, names: dict[str, int], refuse: Sequence[Use]) -> HeldOut:
    """The videos that a training listed, and of these the ones that it held out."""
    listed = list_clips(
        args.data_file, manifest=args.manifest, label_column=args.label_column, called=_CALLED
    )
    clips, labels = listed.clips, listed.names
    faults = list(listed.left_out.items())
    total = len(clips) + len(faults)
    if args.calibration_share:
        clips = hold_out_clips(clips, args.calibration_share, args.split_seed())[1]
    clips = clips[: args.max_samples]
    kept, strange = _of_classes([labels[clip.label] for clip in clips], names)
    faults += [(clips[k].name, why) for k, why in strange]
    clips = [clips[k] for k in kept]
    check_share(faults, total, args.data_file)
    tell(faults, total)
    unseen = keep_unseen(
        args.model,
        rows_of(clips, args.data_file),
        refuse=refuse,
        leave_out=args.leave_out_seen,
        once=True,
    )
    clips = [clips[k] for k in unseen.kept]
    numbers = class_numbers([labels[clip.label] for clip in clips], names)
    shown = shown_by(args, rows_of(clips, args.data_file))
    videos = [clip.input() for clip in clips]
    report = {**unseen.report, **recorded(faults)}
    return HeldOut(videos, torch.tensor(numbers), report, shown)


def class_numbers(labels: Any, names: dict[str, int]) -> list[int]:
    """Labels are numbers of classes, or their names, in any case.

    Raises:
        ValueError: one is neither.
    """
    known = known_classes(labels, names)
    strange = sorted(
        {str(label) for label, number in zip(labels, known, strict=True) if number is None}
    )
    if strange:
        raise ValueError(
            f"labels {strange[:5]} must be among the reader's: {sorted(names)[:5]}; name the "
            "column of the labels by --label_column, or give the data that it was trained for"
        )
    return [number for number in known if number is not None]


def known_classes(labels: Any, names: dict[str, int]) -> list[int | None]:
    """The class number of each label; None: it is none of the reader's."""
    by_number = {number: name for name, number in names.items()}
    found: dict[Any, int | None] = {label: names.get(str(label)) for label in labels}
    for label, number in found.items():
        found[label] = class_of(label, by_number) if number is None else number
    return [found[label] for label in labels]
