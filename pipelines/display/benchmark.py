"""A benchmark as a table in the terminal, and as a plot of accuracy against time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_SHOWN_ERRORS = 5
_CURVES = {
    "video": "uniform frames by our own reads",
    "decord": "uniform frames by decord",
    "point": "the reader's operating points",
}


def benchmark_table(report: Mapping[str, Any]) -> RenderableType:
    """Accuracy, time and share read of each contestant, and what was left out and why."""
    table = Table(
        title=f"{report['inputs']:,} inputs, median of {report['rounds']} rounds",
        title_justify="left",
        box=box.SIMPLE_HEAD,  # all columns whole in 80
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for name in ("accuracy", "95 %", "ms", "speed", "read", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("certified", no_wrap=True)
    for name, row in report["results"].items():
        low, high = row["accuracy_interval"]
        table.add_row(
            name,
            f"{row['accuracy']:.3f}",
            f"{low:.3f}-{high:.3f}",
            f"{row['ms_per_input']:.3g}",
            f"{row['relative_speed']:.2f}",
            _share(row["share_read"]),
            _share(row["macs_share"]),
            ("yes" if row["certified"] else "no") if "certified" in row else "-",
        )
    tables: list[RenderableType] = [table]
    words = f"ms: milliseconds an input; read: share of the {report['units']}"
    if any("decode_ms" in row for row in report["results"].values()):
        tables.append(_frames_table(report["results"]))
        words += (
            "; decoded, glanced, read: frames of a video, those passed on the way among the first; "
            "realised: share of the dense reading's time that is saved, over that of its MACs"
        )
    lines = [f"{name}: {row['says']}" for name, row in report["results"].items()]
    lines.append(words)
    lines.append(report["results"]["reader"]["promise"])
    left_out = report["left_out"]
    if left_out:
        reasons = Counter(one["reason"] for one in left_out)
        told = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        lines.append(f"{len(left_out):,} inputs left out: {told}")
        lines += [
            f"  {one['id']}: {one['reason']}: {one['message']}" for one in left_out[:_SHOWN_ERRORS]
        ]
        if len(left_out) > _SHOWN_ERRORS:
            lines.append(f"  and {len(left_out) - _SHOWN_ERRORS:,} more; --json tells all")
    return Group(*tables, Text("\n".join(lines)))


def _frames_table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """What contestants did with a video: frames, milliseconds, and savings that came true."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    names = ("decoded", "glanced", "read", "decode ms", "model ms", "realised")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in results.items():
        glanced, size = _number(row.get("frames_glanced")), row.get("glance_size")
        table.add_row(
            name,
            _number(row.get("frames_decoded")),
            f"{glanced} at {size[1]}x{size[0]}" if size else glanced,
            *(_number(row.get(key)) for key in ("frames_read", "decode_ms", "model_ms")),
            "-" if row.get("realised_share") is None else f"{row['realised_share']:.2f}",
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def save_benchmark_plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw accuracy, with its interval, against milliseconds an input.

    Raises:
        ValueError, OSError: the file cannot be written, or its suffix names no format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, row in report["results"].items():
        low, high = row["accuracy_interval"]
        above, below = max(high - row["accuracy"], 0.0), max(row["accuracy"] - low, 0.0)
        curve, _, number = name.partition("_")
        if number.isdigit():  # of a kind with several numbers
            curves.setdefault(curve, []).append((row["ms_per_input"], row["accuracy"]))
            continue
        axes.errorbar(
            row["ms_per_input"],
            row["accuracy"],
            yerr=[[below], [above]],
            fmt="o" if name == "reader" else "s",
            capsize=3,
            label=f"{name}: {row['says']}",
        )
    for curve, points in curves.items():
        ms, accuracies = zip(*sorted(points), strict=True)
        axes.plot(ms, accuracies, "--", marker=".", label=_CURVES.get(curve, curve))
    axes.set(xscale="log", xlabel="milliseconds an input", ylabel="accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)
