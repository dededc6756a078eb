"""Plot accuracy against time from what benchmark_text.py --frontier printed.

python scripts/benchmarks/plot_frontier.py frontier.json docs/results/frontier.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CURVES = {
    "point_": ("reads what it needs (operating points)", "o-"),
    "first_": ("first k tokens", "s--"),
    "fixed_": ("fixed depth", "^--"),
    "transformers": ("transformers' pipeline", "kx"),
}


def curve(results: dict[str, Any], prefix: str) -> list[tuple[float, float]]:
    """Milliseconds a text and accuracy of the contestants of one kind, cheapest first."""
    return sorted(
        (1000 / row["texts_per_second"], row["accuracy"])
        for name, row in results.items()
        if name.startswith(prefix)
    )


def run_of(report: dict[str, Any], batch_size: int | None) -> dict[str, Any]:
    """The run at a batch size; None: the only one.

    Raises:
        ValueError: there is none, or there are several.
    """
    runs = {run["batch_size"]: run for run in report["runs"]}
    if batch_size is None and len(runs) == 1:
        return next(iter(runs.values()))
    if batch_size not in runs:
        raise ValueError(f"--batch_size ({batch_size}) must be one of the results': {sorted(runs)}")
    return runs[batch_size]


def main() -> None:
    """Draw one curve for each kind of contestant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="JSON of benchmark_text.py --frontier")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--title", default="")
    parser.add_argument("--batch_size", type=int, help="of the run; default: the only one")
    args = parser.parse_args()
    run = run_of(json.loads(args.results.read_text(encoding="utf-8")), args.batch_size)
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for prefix, (label, style) in CURVES.items():
        points = curve(run["results"], prefix)
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=5)
    axes.set(xscale="log", xlabel="milliseconds a text", ylabel="accuracy", title=args.title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(args.picture, dpi=150)


if __name__ == "__main__":
    main()
