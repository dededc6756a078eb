"""Calibrate a reader of questions: from a table of questions to how certain is enough.

temporal calibrate --task video-text-to-text --model MODEL --data_file asked.csv --max_drop 0.02
temporal check --task video-text-to-text --model MODEL --data_file others.csv
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from temporal.checks import check_in
from temporal.models.language.configuration_video_language import LANGUAGE_CRITERIA
from temporal.models.language.every_look import EveryLook
from temporal.models.language.video_language_reader import saved_settings
from temporal.models.operating_points import apply_point
from temporal.models.rows_seen import RowsSeen, Shown, load_rows_seen
from temporal.models.weights import digest_of_weights
from temporal.training.model_card import promise
from temporal.training.question_points import question_grid, tested_points

from ..held_out.faulty import Faults, check_share, recorded, tell
from ..held_out.questions import QuestionRowsArguments, read_questions
from ..loading.dtypes import dtype_of
from .calibrate import Calibration, CannotCalibrate, choose
from .check import point_to_check, verdict
from .offered import Offered
from .options import CalibrationOptions, CheckOptions

TASK = "video-text-to-text"
UNITS = "questions"


@dataclass
class QuestionCalibrationArguments(QuestionRowsArguments):
    """Choose how certain an answer must be, and say what that loses against all frames."""

    max_drop: float | None = field(
        default=None,
        metadata={"help": "Largest accuracy drop against reading all frames, 0 to 1, certified."},
    )
    measured: bool = field(
        default=False,
        metadata={"help": "With --max_drop: by the measured drop instead, which promises nothing."},
    )
    budget: float | None = field(
        default=None, metadata={"help": "Share of the full reading's frames, 0 to 1."}
    )
    risk: Literal["accuracy_drop", "lost_answers", "disagreement"] = field(
        default="accuracy_drop",
        metadata={"help": "What the bounds bound; without right answers it is disagreement."},
    )
    confidence: float = field(default=0.95, metadata={"help": "Of the bounds, 0 to 1."})
    criterion: str | None = field(
        default=None,
        metadata={"help": f"{', '.join(LANGUAGE_CRITERIA)}; default: the reader's."},
    )
    num_points: int = field(default=20, metadata={"help": "Operating points to store at most."})
    output_dir: str | None = field(
        default=None,
        metadata={
            "help": "Save the model with what was found here; default: beside the weights of "
            "--model, which stay as they are."
        },
    )
    num_frames: int | None = field(
        default=None, metadata={"help": "Of the full reading; default: as saved."}
    )
    first_frames: int | None = field(
        default=None, metadata={"help": "Of the first look; default: as saved, or 4."}
    )
    growth: float | None = field(
        default=None,
        metadata={
            "help": "Frames of a look over those of the one before; default: as saved, or 2."
        },
    )
    sampling: str | None = field(
        default=None, metadata={"help": "uniform, motion or query; default: as saved, or uniform."}
    )
    scorer: str | None = field(
        default=None, metadata={"help": "A CLIP or SigLIP model, for --sampling query."}
    )
    max_visual_tokens: int | None = field(
        default=None, metadata={"help": "To which looks are cut; default: as saved."}
    )
    repeat_threshold: float | None = field(
        default=None, metadata={"help": "Drop visual tokens that repeat, see the documentation."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.goal
        if self.criterion is not None:
            check_in("--criterion", self.criterion, LANGUAGE_CRITERIA)
        if self.num_points < 2:
            raise ValueError(f"--num_points ({self.num_points}) must be at least 2")

    @property
    def goal(self) -> CalibrationOptions:
        """What the point is chosen for."""
        return CalibrationOptions(
            max_drop=self.max_drop, measured=self.measured, budget=self.budget
        )

    @property
    def looks(self) -> dict[str, Any]:
        """Options of a pipeline that say what is looked at."""
        names: tuple[str, ...] = ("num_frames", "first_frames", "growth", "sampling", "scorer")
        names = (*names, "max_visual_tokens", "repeat_threshold")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass
class QuestionCheckArguments(CheckOptions, QuestionRowsArguments):
    """Compare what was certified of a reader of questions with what it does on new ones."""

    def __post_init__(self) -> None:
        QuestionRowsArguments.__post_init__(self)
        CheckOptions.__post_init__(self)


def calibrate_questions(
    pipe: Any,
    items: Sequence[Any],
    right_answers: Sequence[str] | None,
    goal: CalibrationOptions,
    *,
    risk: str = "accuracy_drop",
    confidence: float = 0.95,
    num_points: int = 20,
) -> tuple[Calibration, Faults]:
    """Find how certain is enough, from all looks at each question.

    Args:
        pipe: of `video-text-to-text`. Its reader is set to the point that was chosen.
        items: N questions, as `pipe.read` takes them, which the reader has not seen.
        right_answers: of each; None: an answer is to agree with that of all frames.
        goal: `max_drop` or `budget`.
        risk: what the bounds bound, with right answers.
        confidence: of the bounds.
        num_points: operating points at most.

    Returns:
        What was found, and the questions that could not be answered.

    Raises:
        CannotCalibrate: no point meets the goal.
        ValueError: too many questions cannot be answered.
    """
    every, right, faults = looks_at(pipe, items, right_answers)
    points = tested_points(every, right, count=num_points, risk=risk, confidence=confidence)
    try:
        chosen = choose(points, goal)
    except ValueError as error:
        raise CannotCalibrate(f"--{error}") from error
    points = [chosen if point.policy == chosen.policy else point for point in points]
    apply_point(pipe.model.config, {"policy": chosen.policy})
    dtype = str(dtype_of(pipe.model)).removeprefix("torch.")
    found = Calibration(points=points, chosen=chosen, fields={}, unread=len(faults), dtype=dtype)
    return found, faults


def looks_at(
    pipe: Any, items: Sequence[Any], right_answers: Sequence[str] | None
) -> tuple[EveryLook, list[str] | None, Faults]:
    """What all looks say, right answers of what was asked, and which cannot be answered, and why.

    Raises:
        TooManyFaulty: of these are too many.
    """
    offered = Offered(pipe, items)
    every: EveryLook = pipe.reader.answers(offered, batch_size=pipe.batch_size)
    faults = offered.left_out(every.faults)
    tell(faults, len(items))
    check_share(faults, len(items), "--data_file")
    right = None if right_answers is None else [right_answers[k] for k in offered.positions]
    return every, right, faults


def save_questions(
    source: str | Path, output_dir: str | Path | None, pipe: Any, found: Calibration, shown: Shown
) -> None:
    """Store what was found beside the weights, of the model itself or of a copy.

    Args:
        source: the model's folder, or its hub id.
        output_dir: where the copy is saved; None: nothing is copied.
        pipe: with the reader.
        found: its points carry the digest of the weights that they are of.
        shown: the rows.
    """
    seen = load_rows_seen(source) or RowsSeen(training_known=False)
    folder = Path(source if output_dir is None else output_dir)
    if output_dir is not None:
        pipe.reader.save_pretrained(folder)
    told = {"dtype": found.dtype}
    weights = digest_of_weights(folder)
    if weights is not None:
        told["weights"] = weights
    config = pipe.model.config
    config.operating_points = [point.to_dict() | told for point in found.points]
    apply_point(config, {"policy": found.chosen.policy})
    pipe.reader.save_settings(folder)
    seen.with_use("calibration", shown).save(folder)


def calibrate_questions_command(words: Sequence[str] | None, prog: str | None) -> dict[str, Any]:
    """`temporal calibrate --task video-text-to-text`: calibrate, save, and report."""
    from ..command.options import parsed

    args = parsed(QuestionCalibrationArguments, words, prog)
    if args.output_dir is None and not Path(args.model, "config.json").is_file():
        raise ValueError(
            f"--model ({args.model}) is no folder with a saved model, beside which the points "
            "could be stored: name a folder for a copy by --output_dir"
        )
    pipe = _opened(args, **args.looks)
    if args.criterion is not None:
        pipe.model.config.criterion = args.criterion
    rows = read_questions(args, pipe, with_answers=args.risk != "disagreement")
    found, unread = calibrate_questions(
        pipe,
        rows.items,
        rows.answers,
        args.goal,
        risk=args.risk,
        confidence=args.confidence,
        num_points=args.num_points,
    )
    save_questions(args.model, args.output_dir, pipe, found, rows.shown)
    report = found.report(with_faults(rows.report, unread))
    return {**report, "promise": promise(found.chosen.to_dict(), UNITS)}


def check_questions_command(words: Sequence[str] | None, prog: str | None) -> dict[str, Any]:
    """`temporal check --task video-text-to-text`: compare a promise with new questions."""
    from ..command.options import parsed

    args = parsed(QuestionCheckArguments, words, prog)
    pipe = _opened(args)
    reader = pipe.reader
    point = point_to_check(reader.config, args)
    refuse: Any = ("training", "selection", "calibration")
    wants_answers = point["risk"] != "disagreement"
    rows = read_questions(args, pipe, with_answers=wants_answers, refuse=refuse)
    if wants_answers and rows.answers is None:
        raise ValueError(
            f"--answer_column ({args.answer_column}) must hold right answers: what was certified "
            f"is {point['risk']}"
        )
    every, right, unread = looks_at(pipe, rows.items, rows.answers)
    policies = [reader.config.operating_points[0]["policy"], point["policy"]]
    found = verdict(point, question_grid(every, policies, right))
    rows_told = with_faults(rows.report, unread)
    rows_told |= {"unread": len(unread)} if unread else {}
    return {"promise": promise(point, UNITS), **found, "rows": rows_told}


def with_faults(report: dict[str, Any], more: Faults) -> dict[str, Any]:
    """A report of rows with others among those that are faulty."""
    both = [*report.get("faulty", []), *recorded(more).get("faulty", [])]
    return {**report, "faulty": both} if both else report


def _opened(args: QuestionRowsArguments, **looks: Any) -> Any:
    """A pipeline that asks as the arguments say."""
    from ..pipeline import pipeline

    points = saved_settings(args.model).get("operating_points")
    named: dict[str, Any] = {
        **{"question": args.question, "options": args.options},
        "max_new_tokens": args.max_new_tokens,
        "dtype": args.dtype or (points[0].get("dtype") if points else None),
    }
    given = {name: value for name, value in named.items() if value is not None}
    return pipeline(TASK, args.model, batch_size=args.batch_size, **given, **looks)
