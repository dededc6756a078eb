"""What benchmark_video.py measured: who is beaten by uniform frames, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Results = dict[str, dict[str, Any]]


def beside_uniform(results: Results, uniform: Sequence[str], dense: str) -> None:
    """Add to each contestant what it saves, and whether uniform frames do as well.

    `realised_share` is (1 - time / dense time) / (1 - MACs / dense MACs); of those named
    `NAME/full`, there is also `realised_share_own` of `NAME`. `cheapest_as_good`: the fastest
    uniform frames by decord that are at least as accurate, in accuracy and in balanced accuracy;
    `speedup` over them. `beaten_by`: the most accurate uniform frames, by any way of reading, that
    are at least as accurate and as fast.

    Args:
        results: of all contestants.
        uniform: names of uniform frames.
        dense: name of those that savings are measured against.
    """
    whole = results[dense]
    for name, row in results.items():
        row["relative_time"] = row["ms"] / whole["ms"]
        row["realised_share"] = _realised(row, whole)
        full = results.get(f"{name.partition('/')[0]}/full")
        if full is not None:
            row["realised_share_own"] = _realised(row, full)
        if name in uniform:
            continue
        keys = ("accuracy", "balanced_accuracy")
        good = [
            other
            for other in uniform
            if "decord_" in other and all(results[other][key] >= row[key] for key in keys)
        ]
        best = min(good, key=lambda other: results[other]["ms"], default=None)
        row["cheapest_as_good"] = best
        row["speedup"] = None if best is None else results[best]["ms"] / row["ms"]
        better = [
            other
            for other in uniform
            if results[other]["accuracy"] >= row["accuracy"] and results[other]["ms"] <= row["ms"]
        ]
        row["beaten_by"] = max(better, key=lambda other: results[other]["accuracy"], default=None)


def _realised(row: dict[str, Any], whole: dict[str, Any]) -> float | None:
    saved = 1 - row["macs"] / whole["macs"]
    return (1 - row["ms"] / whole["ms"]) / saved if saved > 1e-9 else None


_COLUMNS = (
    "accuracy (95 %)",
    "balanced",
    "decoded",
    "glanced",
    "read",
    "GMACs",
    "decode ms",
    "model ms",
    "ms",
    "of dense",
    "realised",
    "does it pay",
)


def table(report: dict[str, Any]) -> str:
    """The contestants in Markdown, readers by accuracy, then the rest as they were given."""
    results: Results = report["results"]
    readers = [name for name, row in results.items() if "cheapest_as_good" in row]
    readers.sort(key=lambda name: (-results[name]["accuracy"], results[name]["ms"]))
    others = [name for name in results if name not in readers]
    lines = [f"| | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name in (*readers, *others):
        lines.append(f"| {name} | {' | '.join(_cells(results[name]))} |")
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["accuracy_interval"]
    size = row["glance_size"]
    glanced = f"{row['frames_glanced']:.1f} ({size[0]}x{size[1]})" if size else "-"
    realised = row["realised_share"]
    return [
        f"{row['accuracy']:.3f} ({low:.3f}-{high:.3f})",
        f"{row['balanced_accuracy']:.3f}",
        f"{row['frames_decoded']:.0f}",
        glanced,
        f"{row['frames_read']:.2f}",
        f"{row['macs'] / 1e9:.2f}",
        *(f"{row[name]:.0f}" for name in ("decode_ms", "model_ms", "ms")),
        f"{row['relative_time']:.2f}",
        "-" if realised is None else f"{realised:.2f}",
        _word(row),
    ]


def _word(row: dict[str, Any]) -> str:
    if "beaten_by" not in row:
        return ""
    if row["accuracy_interval"][0] <= row["most_frequent"]:
        return f"no: always the most frequent class is right {row['most_frequent']:.3f}"
    if row["beaten_by"] is not None:
        return f"no: {row['beaten_by']} is as accurate, and as fast"
    if row["cheapest_as_good"] is None:
        return "yes: no uniform frames are as accurate"
    return f"yes: {row['speedup']:.2f} times as fast as {row['cheapest_as_good']}"


def save_plot(report: dict[str, Any], path: Path) -> None:
    """Draw accuracy against milliseconds: a curve for each way of reading uniform frames."""
    from matplotlib.figure import Figure

    results: Results = report["results"]
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots()
    curves: dict[str, list[tuple[float, float, str]]] = {}
    for name, row in results.items():
        point = (row["ms"], row["accuracy"], name)
        if "cheapest_as_good" not in row:
            curves.setdefault(name.partition("_")[0], []).append(point)
            continue
        axes.plot(*point[:2], "o", markersize=5)
        axes.annotate(name, point[:2], xytext=(4, 3), textcoords="offset points", fontsize=7)
    for way, points in curves.items():
        columns = list(zip(*points, strict=True))
        axes.plot(columns[0], columns[1], "s--", markersize=4, label=f"uniform frames by {way}")
        for at, accuracy, name in points:
            count = name.rpartition("_")[2]
            axes.annotate(
                count, (at, accuracy), xytext=(0, -10), textcoords="offset points", fontsize=7
            )
    axes.set(xscale="log", xlabel="milliseconds a clip", ylabel="accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)
