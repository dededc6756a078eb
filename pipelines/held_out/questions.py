"""Questions about videos with their right answers, which a reader of questions is judged by."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data import Item, collect
from ...data.labelled.digests import digest_text
from ...models.rows_seen import Shown, Use
from .faulty import Faults, check_share, recorded, tell
from .unseen import Rows, digest_input, keep_unseen

_ASKED = ("question", "text", "options")
_LABEL = re.compile(r"\s*\(?([A-Za-z0-9]{1,2})[.):](?=\s|$)")
"""What an option begins with where options are lettered: `A. a dog`, `(B) a cat`."""


@dataclass
class QuestionRowsArguments:
    """A reader of questions, and the questions that it is judged on."""

    model: str = field(metadata={"help": "A model that answers questions about videos: a folder."})
    data_file: str = field(
        metadata={
            "help": "A table of video, question, answer and perhaps options (a list as JSON, or "
            "'yes|no'), with a row for each question; or videos, with --question."
        }
    )
    answer_column: str = field(
        default="answer",
        metadata={
            "help": "Column of the right answers: the text, one of the options, or the letter that "
            "one begins with. Of a table without it, agreement with the full reading counts."
        },
    )
    video_column: str | None = field(
        default=None, metadata={"help": "Column of the videos; default: video, or path."}
    )
    question: str | None = field(
        default=None, metadata={"help": "Asked about every video that comes without a question."}
    )
    options: list[str] | None = field(
        default=None, metadata={"help": "Answers to choose from, where a row has none."}
    )
    max_new_tokens: int | None = field(
        default=None, metadata={"help": "Of an answer that is written; default: the model's own."}
    )
    max_samples: int | None = field(
        default=None, metadata={"help": "Use only so many rows, the first."}
    )
    leave_out_seen: bool = field(
        default=False,
        metadata={"help": "Leave out rows that the reader has seen, instead of refusing them."},
    )
    batch_size: int | None = field(
        default=None, metadata={"help": "Rows computed at once; default: the pipeline's."}
    )
    dtype: str | None = field(
        default=None,
        metadata={
            "help": "What the reader runs in, e.g. bfloat16; default: as last time, or float32."
        },
    )
    task: str = field(default="video-text-to-text", metadata={"help": "video-text-to-text."})

    def __post_init__(self) -> None:
        if self.max_samples is not None and self.max_samples < 1:
            raise ValueError(
                f"--max_samples ({self.max_samples}) must be at least 1; leave it out to use all"
            )


@dataclass(frozen=True, kw_only=True)
class HeldOutQuestions:
    """Questions that a reader has not seen."""

    items: list[Item]
    """N inputs of its pipeline."""
    answers: list[str] | None
    """N, the right ones; None: the data has none, or they are not asked for."""
    report: dict[str, Any]
    """What is known of the rows."""
    shown: Shown
    """Their digests."""


def read_questions(
    args: QuestionRowsArguments,
    pipe: Any,
    *,
    with_answers: bool = True,
    refuse: Sequence[Use] = ("training", "selection"),
) -> HeldOutQuestions:
    """The rows that can be asked about, and what is wrong with the others.

    Args:
        args: which rows.
        pipe: of the task, which says what a row asks.
        with_answers: False: right answers are not looked at.
        refuse: uses that make a row unfit, see `keep_unseen`.

    Raises:
        TooManyFaulty: of rows that cannot be used there are too many.
        NotNew: rows are unfit, or none is left.
        ValueError: there is no such file, or it holds nothing.
    """
    if not Path(args.data_file).exists():
        raise ValueError(f"--data_file ({args.data_file}) must be a file or a folder that is there")
    listed = list(
        collect(
            args.data_file,
            kind="video",
            column=args.video_column,
            other_columns=(*_ASKED, args.answer_column),
            paths_repeat=True,
            limit=args.max_samples,
            notify=lambda sentence: print(sentence, file=sys.stderr),
        )
    )
    if not listed:
        raise ValueError(f"--data_file ({args.data_file}) must hold a video, and none is there")
    has_answers = with_answers and any(
        not _is_missing(item.extra.get(args.answer_column)) for item in listed
    )
    if with_answers and not has_answers:
        print(
            f"No column {args.answer_column!r} with right answers (--answer_column). What counts "
            "is the full reading's answers.",
            file=sys.stderr,
        )
    items: list[Item] = []
    answers: list[str] = []
    digests: list[int] = []
    videos: list[int] = []
    faults: list[tuple[str, str]] = []
    known: dict[str, int] = {}
    for item in listed:
        try:
            if item.error is not None:
                raise ValueError(f"{item.error.reason}: {item.error.message}")
            question = pipe.question_of(item)
            if has_answers:
                answers.append(_right(item.extra.get(args.answer_column), question.options, args))
        except (ValueError, TypeError) as error:
            faults.append((item.id, str(error)))
            continue
        items.append(item)
        place = str(item.value) if isinstance(item.value, str) else item.id
        if place not in known:  # several questions are about one file
            known[place] = digest_input(item.value, "video")
        videos.append(known[place])
        digests.append(digest_text("\n".join([f"{known[place]:x}", repr(question)])))
    _check(faults, len(listed), args.data_file)
    rows = Rows(source=args.data_file, rows=digests)
    unseen = keep_unseen(args.model, rows, refuse=refuse, leave_out=args.leave_out_seen, once=True)
    kept = unseen.kept
    num_videos = len({videos[k] for k in kept})
    if num_videos < len(kept):
        print(
            f"{len(kept)} questions are about {num_videos} videos: those about one video resemble "
            "each other and count for less than their number, which the bounds do not know.",
            file=sys.stderr,
        )
    return HeldOutQuestions(
        items=[items[k] for k in kept],
        answers=[answers[k] for k in kept] if has_answers else None,
        report={**unseen.report, "videos": num_videos, **recorded(faults)},
        shown=Shown(
            rows=frozenset(digests[k] for k in kept), splits=({"file": Path(args.data_file).name},)
        ),
    )


def right_option(answer: str, options: Sequence[str]) -> str | None:
    """The option that an answer names; None: it names none, or several.

    It is the option's text, in any case and but for spaces around it; or the letter or number that
    it begins with.

        "B", of "A. a dog", "B. a cat":   "B. a cat"

    Args:
        answer: as a table has it.
        options: to choose from.
    """
    wanted = answer.strip()
    exact = [one for one in options if one.strip() == wanted]
    alike = [one for one in options if one.strip().casefold() == wanted.casefold()]
    labels = [_LABEL.match(one) for one in options]
    lettered = [
        one
        for one, label in zip(options, labels, strict=True)
        if label is not None and label.group(1).casefold() == wanted.strip("().:").casefold()
    ]
    for found in (exact, alike, lettered):
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _right(cell: Any, options: Sequence[str], args: QuestionRowsArguments) -> str:
    """The right answer of a row.

    Raises:
        ValueError: it has none that could be given.
    """
    if _is_missing(cell):
        raise ValueError(
            f"no_answer: fill the column {args.answer_column!r}, or take the row out of the table"
        )
    if not isinstance(cell, str | int | float):
        raise ValueError(f"bad_row: the answer must be a text, not {type(cell).__name__}")
    is_whole = isinstance(cell, float) and cell.is_integer()  # a column of numbers with gaps
    answer = str(int(cell) if is_whole else cell)
    if not options:
        return answer
    option = right_option(answer, options)
    if option is None:
        raise ValueError(
            f"unknown_answer: {answer[:60]!r} must be one of the options "
            f"{', '.join(repr(one[:60]) for one in options[:6])}, or the letter that one begins "
            "with"
        )
    return option


def _is_missing(cell: Any) -> bool:
    """Whether a cell of a table is empty; of numbers, NaN is."""
    is_nan = isinstance(cell, float) and cell != cell
    return cell is None or is_nan or (isinstance(cell, str) and not cell.strip())


def _check(faults: Faults, total: int, source: str) -> None:
    tell(faults, total)
    check_share(faults, total, source)
