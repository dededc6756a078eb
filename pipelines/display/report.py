"""Runs and readings in the terminal: the table after a run, strips and coloured words."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from temporal.trace import Trace

from ..jobs.table.row import spans_of
from ..jobs.table.summary import Summary
from ..jobs.table.trace_column import dense_macs_of, trace_of
from ..tasks.columns import CLASSES, OF_EVERY_ROW
from .audit import audit_remarks, audit_rows
from .event_lines import event_lines
from .seen import seen_lines
from .states import STATE_NAMES, State, bins, unit_states, words

_STYLES = {
    State.READ: "bold",
    State.SKIMMED: "cyan",
    State.SKIPPED: "bright_black strike",
    State.UNREACHED: "bright_black",
}
_CELLS = {
    State.READ: ("█", "blue"),
    State.SKIMMED: ("▒", "cyan"),
    State.SKIPPED: ("─", "bright_black"),
    State.UNREACHED: ("·", "bright_black"),
}
_STRIP_CELLS = 64
_MOST_WORDS = 220
_LONGEST_MESSAGE = 300
_MOST_VALUES = 4
_MOST_EVENTS = 40


def print_all(*renderables: RenderableType) -> None:
    """Print to stdout; whoever stopped listening (`| head`) stops nothing but the printing."""
    try:
        console = Console()
        for one in renderables:  # a line of its own is not cut: it may name a file
            console.print(one, soft_wrap=isinstance(one, Text))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def summary_table(summary: Summary) -> Table:
    """The table after a run: what was read beside what reading everything takes.

    A dash stands where a number is not known without running the dense reading.
    """
    table = Table(
        title=f"{summary.inputs:,} inputs: {summary.ok:,} ok, {summary.partial:,} partial, "
        f"{summary.error:,} error" + (f", {summary.skipped:,} skipped" if summary.skipped else ""),
        caption=_remarks(summary) or None,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for name in ("adaptive", "dense", "share"):
        table.add_column(name, justify="right")

    def add(name: str, adaptive: float, dense: float | None, shown: Any = count_of) -> None:
        share = f"{adaptive / dense:.1%}" if dense else "-"
        table.add_row(name, shown(adaptive), "-" if dense is None else shown(dense), share)

    units = summary.units
    # What is read says nothing of exits over depth, which read it all and compute a part.
    add("MACs", summary.macs, summary.dense_macs, scaled)
    if summary.exits_total:
        add("exits reached", summary.exits_computed, summary.exits_total)
    add(f"{units} read", summary.units_read, summary.units_total)
    if summary.units_skimmed:
        add(f"{units} skimmed", summary.units_skimmed, None)
    if units == "frames":
        add("frames decoded", summary.frames_decoded, summary.units_total)
    if summary.traced:
        halted = f"{summary.halted / summary.traced:.1%}"
        table.add_row("inputs halted early", f"{summary.halted:,}", "-", halted)
    add("decode seconds", summary.decode_seconds, None, seconds_of)
    add("model seconds", summary.model_seconds, None, seconds_of)
    if summary.accuracy is not None:
        right = f"{summary.correct:,} of {summary.with_target:,}"
        table.add_row("right predictions", right, "-", f"{summary.accuracy:.1%}")
    if summary.audit is not None:
        for row in audit_rows(summary.audit):
            table.add_row(*row)
    return table


def _remarks(summary: Summary) -> Text:
    """First errors of each reason, labels that the model does not have, and what tokenized."""
    lines = []
    if bad := summary.partial + summary.error:
        reasons = ", ".join(f"{reason} {count}" for reason, count in summary.reasons.items())
        lines.append(f"{bad:,} with an error: {reasons}")
        for reason in summary.reasons:
            message = summary.first_errors.get(reason, "")
            cut = (
                message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "..."
            )
            lines.append(f"  first {reason}: {cut}")
    if summary.foreign:
        few = ", ".join(map(repr, summary.foreign_labels))
        models = ", ".join(map(repr, summary.model_labels))
        lines.append(
            f"{summary.foreign:,} with a label that is none of the model's: {few} ... "
            f"(the model's: {models} ...); these are not counted as right or wrong"
        )
    if summary.audit is not None:
        lines += audit_remarks(summary.audit)
    if summary.halved:
        lines.append(
            f"{summary.halved:,} in batches that did not fit into memory and were halved; "
            "a smaller --batch-size saves the attempts"
        )
    if summary.tokenized_by is not None:
        lines.append(f"tokenized by {summary.tokenized_by}")
    return Text("\n".join(lines))


def reading_panel(row: Mapping[str, Any]) -> RenderableType:
    """One row for the terminal: its answer, a strip of its units, its words, its cost."""
    trace = trace_of(row)
    if trace is None:
        return Panel(
            Text(f"{row['error_reason']} ({row['error_stage']}): {row['error_message']}"),
            title=Text(f"{row['id']} · {row['status']}"),
            title_align="left",
            border_style="red",
        )
    parts: list[RenderableType] = [_strip(trace)]
    if row.get("text") is not None and (spans := spans_of(row)) is not None:
        parts.append(_words(row["text"], spans, trace))
    if events := event_lines(row):
        parts.append(Text("\n".join([*events[:_MOST_EVENTS], *_more(events)])))
    if seen := seen_lines(trace):
        parts.append(Text(" · ".join(seen)))
    parts.append(Text(cost_line(trace, dense_macs=dense_macs_of(row)), style="bright_black"))
    return Panel(Group(*parts), title=Text(title_of(row)), title_align="left")


def _more(events: list[str]) -> list[str]:
    left = len(events) - _MOST_EVENTS
    return [f"... {left:,} more events"] if left > 0 else []


def legend() -> Text:
    """What the strips' cells mean."""
    text = Text()
    for state, (cell, colour) in sorted(_CELLS.items(), reverse=True):
        text.append(f"{cell * 2} ", style=colour)
        text.append(f"{STATE_NAMES[state]}   ")
    return text


def title_of(row: Mapping[str, Any]) -> str:
    """`clip.mp4 · cat 93.1%`, with the input's own label where it is another one.

    Of other tasks, the columns of the best prediction: `clip.mp4 · vector [0.12, 2, -1, 5 ... 76]`.
    """
    title = Path(row["id"]).name or row["id"]
    if row.get("label") is not None:
        title += f"  ·  {row['label']}"
    if row.get("score") is not None:
        title += f" {row['score']:.1%}"
    for name, value in row.items():
        if name not in OF_EVERY_ROW and name not in CLASSES and value is not None:
            title += f"  ·  {name} {_shown(value)}"
    if row["target"] is not None and row["target"] != row.get("label"):
        title += f"  ·  labelled {row['target']}"
    if row["status"] == "partial":
        title += f"  ·  partial ({row['error_reason']})"
    return title


def _shown(value: Any) -> str:
    if isinstance(value, list):
        more = f" ... {len(value):,}" if len(value) > _MOST_VALUES else ""
        return f"[{', '.join(map(_shown, value[:_MOST_VALUES]))}{more}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def cost_line(trace: Trace, *, with_exit: bool = True, dense_macs: int | None = None) -> str:
    """What a reading read and what that cost, in one line.

    Args:
        trace: Of the reading.
        with_exit: Say which exit answered.
        dense_macs: Multiply-accumulates of reading everything, where they are known.
    """
    unit, cost = trace.unit, trace.cost
    pieces = [
        f"read {trace.units_read:,} of {trace.units_total:,} {unit}s ({trace.share_read:.1%})"
    ]
    if trace.skimmed:
        pieces.append(f"skimmed {len(trace.skimmed):,}")
    if trace.halted_at_seconds is not None:
        pieces.append(f"halted at {trace.halted_at_seconds:.1f} s")
    elif trace.halted_at is not None:
        pieces.append(f"halted at {unit} {trace.halted_at:,}")
    if with_exit and trace.exit is not None and trace.num_exits is not None:
        pieces.append(f"exit {trace.exit + 1} of {trace.num_exits}")
    if unit in ("frame", "clip"):
        glances = f" ({cost.frames_glanced:,} to glance)" if cost.frames_glanced else ""
        pieces.append(f"{cost.frames_decoded:,} frames decoded{glances}")
    if trace.batches_halved:
        pieces.append(f"{trace.batches_halved:,} batches halved for want of memory")
    share = f" ({cost.macs / dense_macs:.1%} of a full reading)" if dense_macs else ""
    pieces.append(f"{scaled(cost.macs)} MACs{share}")
    pieces.append(f"decode {cost.decode_seconds * 1e3:.1f} ms")
    pieces.append(f"model {cost.model_seconds * 1e3:.1f} ms")
    return " · ".join(pieces)


def count_of(number: float) -> str:
    """`12,345`."""
    return f"{number:,.0f}"


def seconds_of(number: float) -> str:
    """`12.35`."""
    return f"{number:,.2f}"


def scaled(number: float) -> str:
    """`1.2 G`: three figures and the SI prefix."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:.0f}"


def _strip(trace: Trace) -> Text:
    text = Text()
    for state in bins(unit_states(trace), _STRIP_CELLS):
        cell, colour = _CELLS[state]
        text.append(cell, style=colour)
    return text


def _words(text: str, spans: list[tuple[int, int]], trace: Trace) -> Text:
    found = words(text, spans, trace)
    shown = Text()
    for word in found[:_MOST_WORDS]:
        shown.append(word.text, style=_STYLES[word.state])
        shown.append(" ⏹ halted here" if word.halts else "", style="bold red")
        shown.append(" ")
    if len(found) > _MOST_WORDS:
        shown.append(f"... {len(found) - _MOST_WORDS:,} more words", style="italic")
    return shown
