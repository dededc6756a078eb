"""What a calibration and a check may be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class CalibrationOptions:
    """What a reader is calibrated to."""

    max_drop: float | None = field(
        default=None,
        metadata={"help": "Largest accuracy drop against reading everything, 0 to 1, certified."},
    )
    measured: bool = field(
        default=False,
        metadata={"help": "With --max_drop: by the measured drop instead, which promises nothing."},
    )
    budget: float | None = field(
        default=None, metadata={"help": "Share of the full cost that may be spent, 0 to 1."}
    )
    budget_cost: float | None = field(
        default=None, metadata={"help": "Mean cost of a source that may be spent, in --cost_unit."}
    )
    cost_unit: Literal["macs", "ms"] = field(
        default="macs",
        metadata={"help": "Multiply-accumulates, or milliseconds on this machine at --batch_size."},
    )
    risk: Literal["accuracy_drop", "lost_answers", "disagreement"] = field(
        default="accuracy_drop",
        metadata={"help": "What the bounds bound; without labels it is disagreement."},
    )
    confidence: float = field(default=0.95, metadata={"help": "Of the bounds, 0 to 1."})
    criterion: str | None = field(
        default=None,
        metadata={"help": "How an exit's certainty is measured; default: the reader's."},
    )
    per_exit: bool = field(
        default=False, metadata={"help": "Search a threshold for each exit; default: one for all."}
    )
    temperature_scaling: bool = field(
        default=False, metadata={"help": "Fit a temperature for each exit first."}
    )
    choose_share: float = field(
        default=0.33,
        metadata={
            "help": "Share of the rows that thresholds are searched, temperatures fitted or "
            "unordered policies sorted on; the bounds are from the others. Else all rows test."
        },
    )
    cost_samples: int = field(
        default=256, metadata={"help": "Readers with exits: inputs that costs are measured on."}
    )
    num_levels: int = field(
        default=8, metadata={"help": "chunk_reader: thresholds of each kind that are combined."}
    )
    num_points: int = field(default=20, metadata={"help": "Operating points to store at most."})
    output_dir: str | None = field(
        default=None,
        metadata={
            "help": "Save the calibrated reader here; default: in the place of --model. A "
            "classifier of transformers becomes a reader here, and stays as it is."
        },
    )
    chunk_size: int | None = field(
        default=None,
        metadata={"help": "Tokens of a chunk, where --model is a text classifier of transformers."},
    )
    token_reduction: str | None = field(
        default=None,
        metadata={
            "help": "Fewer tokens of each clip, where --model is a video classifier of "
            "transformers: merge or run_length; how many is then calibrated, too."
        },
    )
    sampling: str | None = field(
        default=None,
        metadata={
            "help": "Which frames or clips are read first, where --model is a classifier of images "
            "or videos: coarse_to_fine, end_first, uniform, sequential or motion."
        },
    )
    candidate_labels: list[str] | None = field(
        default=None,
        metadata={
            "help": "Zero-shot tasks: the names to choose from; default: the saved reader's. "
            "Without labels in the data, agreement with the full reading is what is certified."
        },
    )
    hypothesis_template: str | None = field(
        default=None,
        metadata={"help": "Zero-shot tasks: what each name is put into: 'This is a photo of {}.'"},
    )
    dtype: str | None = field(
        default=None,
        metadata={
            "help": "What the reader runs in from now on, e.g. bfloat16; default: as last time, "
            "or float32."
        },
    )

    def __post_init__(self) -> None:
        if not 0 < self.choose_share < 1:
            raise ValueError(
                f"--choose_share ({self.choose_share}) must be between 0 and 1, both excluded: "
                "some rows choose and the others test, 0.33 by default"
            )
        if self.measured and self.max_drop is None:
            raise ValueError(
                "--measured (True) says how --max_drop is met: give --max_drop, or leave it out"
            )
        goals = (self.max_drop, self.budget, self.budget_cost)
        if sum(goal is not None for goal in goals) != 1:
            raise ValueError("give one of --max_drop, --budget and --budget_cost")


@dataclass
class CheckOptions:
    """Which operating point is checked."""

    budget: float | None = field(
        default=None,
        metadata={"help": "Check the point for this share of the cost; default: the reader's own."},
    )
    max_drop: float | None = field(
        default=None, metadata={"help": "Check the point for this drop; default: the reader's own."}
    )

    dtype: str | None = field(
        default=None,
        metadata={"help": "What the reader runs in; default: as it was calibrated."},
    )

    def __post_init__(self) -> None:
        if self.budget is not None and self.max_drop is not None:
            raise ValueError(
                f"--budget ({self.budget}) and --max_drop ({self.max_drop}) name different points: "
                "give one of them, or neither for the reader's own"
            )
