"""What fine-tuning and calibration need: losses, steps, thresholds, and what is certain of them."""

from typing import TYPE_CHECKING

from ..lazy import exports

if TYPE_CHECKING:
    from .calibration import OperatingPoint as OperatingPoint
    from .calibration import PolicyGrid as PolicyGrid
    from .calibration import certify as certify
    from .calibration import operating_points as operating_points
    from .calibration import split_rows as split_rows
    from .calibration import within_drop as within_drop
    from .exits import PooledClips as PooledClips
    from .exits import fit_exits as fit_exits
    from .model_card import CardFacts as CardFacts
    from .model_card import render_card as render_card
    from .skim import cross_fitted as cross_fitted
    from .skim import fit_skim as fit_skim
    from .steps import TrainingStep as TrainingStep
    from .temperature import fit_temperatures as fit_temperatures

_NAMES = {
    "CardFacts": ".model_card",
    "OperatingPoint": ".calibration",
    "PolicyGrid": ".calibration",
    "PooledClips": ".exits",
    "TrainingStep": ".steps",
    "certify": ".calibration",
    "cross_fitted": ".skim",
    "fit_exits": ".exits",
    "fit_skim": ".skim",
    "fit_temperatures": ".temperature",
    "operating_points": ".calibration",
    "render_card": ".model_card",
    "split_rows": ".calibration",
    "within_drop": ".calibration",
}
__getattr__ = exports(__name__, _NAMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
