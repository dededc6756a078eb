"""A model card for a saved reader: what it is, what its operating points cost, what is certain."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from .exit_policies import NEVER

_WIDTH = 100

_RISKS = {
    "accuracy_drop": "accuracy is at most {points:.1f} points below that of reading everything",
    "lost_answers": "at most {points:.1f} % of {units} are answered wrongly that reading "
    "everything gets right",
    "disagreement": "at most {points:.1f} % of {units} are answered otherwise than by reading "
    "everything",
    "missed_events": "at most {points:.1f} % of {units} are missed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """What a configuration does not know of its reader."""

    name: str
    """Title of the card."""
    summary: str
    """A paragraph: what it reads, how, and for what."""
    facts: Mapping[str, str]
    """Points of a list, by their headings: how it was made, data, results, limits."""
    units: str
    """What it reads, as a plural: `"reviews"`."""


def promise(point: Mapping[str, Any], units: str = "sources") -> str:
    """What is certain about an operating point, in one sentence with risk, level, confidence and n.

    Args:
        point: of a configuration's `operating_points`.
        units: what is read, as a plural.
    """
    number = f"{point['num_calibration']:,}" if "num_calibration" in point else "the"
    if point["cost_share"] >= 1:
        return "This point reads everything, so it loses nothing against that."
    if point.get("risk") is None:
        return (
            f"Nothing is certified: this was measured on {number} held-out {units}, and others may "
            "lose more."
        )
    bound = point["drop_bound_all"] if point["max_drop"] is None else point["max_drop"]
    loses = _RISKS[point["risk"]].format(points=100 * _rounded_up(bound), units=units)
    return (
        f"With {100 * point['confidence']:g} % confidence, {loses}: tested on {number} held-out "
        f"{units}, for {units} drawn like them."
    )


def render_card(config: PreTrainedConfig, facts: CardFacts) -> str:
    """The card as Markdown.

    Args:
        config: a calibrated reader's; its first operating point reads everything.
        facts: the rest.

    Returns:
        The text of `README.md`.

    Raises:
        ValueError: the reader is not calibrated.
    """
    points = config.operating_points
    if not points:
        raise ValueError("a card needs operating points: run temporal calibrate first")
    now = next((point for point in points if _is_current(config, point)), None)
    parts = [f"# {facts.name}", _wrap(facts.summary)]
    parts.append("\n".join(_item(f"**{key}**: {text}") for key, text in facts.facts.items()))
    parts.append(_wrap(_calibration(points[0], facts.units)))
    parts.append(_table(points, now))
    if now is not None:
        parts.append(_wrap("**The default point.** " + promise(now, facts.units)))
    if points[0].get("risk") is not None:
        parts.append(
            _wrap(
                "The bounds of the table hold for all of its rows at once; `pipeline(..., "
                "budget=0.5)` picks the row that spends most of the budget. A drop that is named "
                "before the table is seen is tested alone: `pipeline(..., max_drop=0.01)` picks "
                "the cheapest row that is certified for it, which may lie further down than the "
                "last column says."
            )
        )
    return "\n\n".join(parts) + "\n"


def _is_current(config: PreTrainedConfig, point: Mapping[str, Any]) -> bool:
    return all(getattr(config, field, None) == value for field, value in point["policy"].items())


def _calibration(full: Mapping[str, Any], units: str) -> str:
    counted = {"macs": f"{full['cost'] / 1e6:,.1f} M MACs", "ms": f"{full['cost']:.2f} ms"}
    cost = counted.get(full["cost_unit"], f"{full['cost']:,.4g} {full['cost_unit']}")
    singular = units.removesuffix("s")
    return (
        f"Cost against {_right(full)}, on {full['num_calibration']:,} held-out {units}. Reading "
        f"everything costs {cost} a {singular}, which is 1 below."
    )


def _right(full: Mapping[str, Any]) -> str:
    return "agreement" if full.get("risk") == "disagreement" else "accuracy"


def _table(points: list[dict[str, Any]], now: Mapping[str, Any] | None) -> str:
    confidence = points[0].get("confidence")
    bound = "" if confidence is None else f" | drop at most ({100 * confidence:g} %)"
    lines = [
        f"| policy | cost | {_right(points[0])} | drop{bound} |",
        "|---|---|---|---" + "|---" * bool(bound) + "|",
    ]
    for point in points:
        cells = [
            f"**{_describe(point)}** (default)" if point is now else _describe(point),
            f"{point['cost_share']:.2f}",
            f"{point['accuracy']:.3f}",
            f"{round(point['drop'], 3) + 0.0:.3f}",  # never -0.000
        ]
        if bound:
            cells.append(f"{_rounded_up(point['drop_bound_all']):.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _describe(point: Mapping[str, Any]) -> str:
    """A policy in a few words."""
    if point["cost_share"] >= 1:
        return "reads all"
    policy = dict(point["policy"])
    thresholds = policy.pop("thresholds", None)
    if thresholds is None:
        return ", ".join(f"{field} {value:g}" for field, value in policy.items())
    levels = sorted({level for level in thresholds if level < NEVER})
    shown = f">= {levels[0]:.3g}" if len(levels) == 1 else "at a threshold for each exit"
    return f"{policy['criterion']} {shown}"


def _rounded_up(bound: float) -> float:
    """To three decimals: a bound that is shown must hold, too."""
    return math.ceil(1000 * bound - 1e-6) / 1000


def _wrap(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
